"""What is shown when: trials, their tiers, and the clips that come again."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.recording import TrialKind
from omnimouse_cli.recording.simulated.settings import (
    FRAME_HEIGHT,
    FRAME_RATE_HZ,
    FRAME_WIDTH,
    GREY,
    SimulationConfig,
    generator,
)
from omnimouse_cli.recording.simulated.video import draw_clip, draw_image

CLIP_FRAMES = 300
IMAGE_FRAMES = 15
PAUSE_FRAMES = 9
IMAGES_PER_BLOCK = 12
IMAGE_BLOCK_SHARE = 0.15
LEAD_SECONDS = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTrial:
    """One trial before it is drawn.

    Args:
        kind: What is on the screen.
        frames: Duration, in frames of 1/30 s.
        tier: None on blanks and in invalid time.
        condition: Name of the stimulus; equal names show equal frames.
        stream: Random stream of the stimulus.
    """

    kind: TrialKind
    frames: int
    tier: str | None = None
    condition: str | None = None
    stream: tuple[int | str, ...] = ()

    @property
    def num_flips(self) -> int:
        """Stored flips: an image or a blank is one frame, however long it is shown."""
        return self.frames if self.kind == "video" else 1


def draw_frames(trial: PlannedTrial, seed: int) -> NDArray[np.uint8]:
    """Draw what `trial` shows: `(num_flips, 36, 64)`; equal streams give equal frames."""
    if trial.kind == "video":
        rng = generator(seed, *trial.stream)
        return draw_clip(rng, trial.frames, "noise" if rng.random() < 0.4 else "objects")
    if trial.kind == "image":
        return draw_image(generator(seed, *trial.stream))[None]
    return np.full((1, FRAME_HEIGHT, FRAME_WIDTH), GREY, np.uint8)


def _clip(tier: str, number: int, *place: int) -> PlannedTrial:
    """Plan a clip; clips outside training are the same in every session, as in the real corpus."""
    stream: tuple[int | str, ...] = ("clip", tier, *place, number)
    name = f"{tier}-clip-{'-'.join(str(part) for part in (*place, number))}"
    return PlannedTrial(kind="video", frames=CLIP_FRAMES, tier=tier, condition=name, stream=stream)


def _image_block(block: int, session: int) -> list[PlannedTrial]:
    trials = []
    for number in range(block * IMAGES_PER_BLOCK, (block + 1) * IMAGES_PER_BLOCK):
        trials += [
            PlannedTrial(
                kind="image",
                frames=IMAGE_FRAMES,
                tier="train",
                condition=f"image-{session}-{number}",
                stream=("image", session, number),
            ),
            PlannedTrial(kind="blank", frames=PAUSE_FRAMES),
        ]
    return trials


def _blocks(num_blocks: int, session: int) -> list[list[PlannedTrial]]:
    """Divide `num_blocks` stretches of about ten seconds among the tiers."""
    num_oracle = max(2, round(0.1 * num_blocks))
    num_test = max(1, round(0.17 * num_blocks))
    num_validation = max(1, round(0.08 * num_blocks))
    num_train = max(1, num_blocks - num_oracle - num_test - num_validation)
    num_images = round(IMAGE_BLOCK_SHARE * num_train)
    pause = PlannedTrial(kind="blank", frames=PAUSE_FRAMES)
    oracle_clips = max(1, num_oracle // 8)
    # Half of the test clips come twice: repeats for the ceilings, variety for the scores.
    test_clips = max(1, (2 * num_test + 2) // 3)
    blocks = [[_clip("train", i, session), pause] for i in range(num_train - num_images)]
    blocks += [_image_block(i, session) for i in range(num_images)]
    blocks += [[_clip("validation", i), pause] for i in range(num_validation)]
    blocks += [[_clip("oracle", i % oracle_clips), pause] for i in range(num_oracle)]
    blocks += [[_clip("test", i % test_clips), pause] for i in range(num_test)]
    return blocks


def plan_trials(config: SimulationConfig, number: int) -> list[PlannedTrial]:
    """Plan the trials of session `number`: tiers shuffled in time, one stretch invalid.

    The trials fill the recording but for `LEAD_SECONDS` at either end.
    """
    total = int((config.minutes * 60.0 - 2 * LEAD_SECONDS) * FRAME_RATE_HZ)
    invalid = PlannedTrial(
        kind="invalid", frames=int(FRAME_RATE_HZ * max(4.0, 0.02 * 60.0 * config.minutes))
    )
    blank = PlannedTrial(kind="blank", frames=int(0.5 * FRAME_RATE_HZ))
    room = total - invalid.frames - 2 * blank.frames
    blocks = _blocks(room // (CLIP_FRAMES + PAUSE_FRAMES), number)
    rng = generator(config.seed, "schedule", number)
    order = [blocks[i] for i in rng.permutation(len(blocks))]
    order.insert(len(order) // 2, [invalid, blank])
    trials = [blank, *(trial for block in order for trial in block)]
    rest = total - sum(trial.frames for trial in trials)
    assert rest > 0, "the blocks are counted so that a last blank remains"
    return [*trials, PlannedTrial(kind="blank", frames=rest)]
