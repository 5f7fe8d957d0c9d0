"""The schedule of a simulated session: trials, tiers, repeated clips, times of all signals."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.recording import TrialKind, latest_index
from omnimouse_cli.recording.simulated.settings import (
    FRAME_HEIGHT,
    FRAME_RATE_HZ,
    FRAME_WIDTH,
    GREY,
    ORIGIN_SECONDS,
    RESPONSE_RATE_HZ,
    SimulationConfig,
    make_generator,
)
from omnimouse_cli.recording.simulated.video import draw_clip, draw_image

CLIP_FRAMES = 300
IMAGE_FRAMES = 15
PAUSE_FRAMES = 9
IMAGES_PER_BLOCK = 12
IMAGE_BLOCK_SHARE = 0.15
LEAD_SECONDS = 1.5
TAIL_SECONDS = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTrial:
    """One trial before it is drawn.

    Args:
        kind: Content of the screen.
        num_frames: Duration in frames of 1/30 s.
        tier: None for blanks and invalid time.
        condition: Name of the stimulus; trials with the same name show the same frames.
        stream: Stream of random numbers of the stimulus.
    """

    kind: TrialKind
    num_frames: int
    tier: str | None = None
    condition: str | None = None
    stream: tuple[int | str, ...] = ()

    @property
    def num_flips(self) -> int:
        """Number of stored flips: one for an image or a blank, of any duration."""
        return self.num_frames if self.kind == "video" else 1


def draw_frames(trial: PlannedTrial, seed: int) -> NDArray[np.uint8]:
    """Draw the frames of `trial`, uint8 `(num_flips, 36, 64)`; equal streams give equal frames."""
    if trial.kind == "video":
        rng = make_generator(seed, *trial.stream)
        return draw_clip(rng, trial.num_frames, "noise" if rng.random() < 0.4 else "objects")
    if trial.kind == "image":
        return draw_image(make_generator(seed, *trial.stream))[None]
    return np.full((1, FRAME_HEIGHT, FRAME_WIDTH), GREY, np.uint8)


def _plan_clip(tier: str, number: int, *session: int) -> PlannedTrial:
    """Plan a clip; without `session` it is the same in all sessions, as in the published data."""
    stream: tuple[int | str, ...] = ("clip", tier, *session, number)
    name = f"{tier}-clip-{'-'.join(str(part) for part in (*session, number))}"
    return PlannedTrial(
        kind="video", num_frames=CLIP_FRAMES, tier=tier, condition=name, stream=stream
    )


def _plan_image_block(block: int, session: int) -> list[PlannedTrial]:
    trials = []
    for number in range(block * IMAGES_PER_BLOCK, (block + 1) * IMAGES_PER_BLOCK):
        trials += [
            PlannedTrial(
                kind="image",
                num_frames=IMAGE_FRAMES,
                tier="train",
                condition=f"image-{session}-{number}",
                stream=("image", session, number),
            ),
            PlannedTrial(kind="blank", num_frames=PAUSE_FRAMES),
        ]
    return trials


def _plan_blocks(num_blocks: int, session: int) -> list[list[PlannedTrial]]:
    """Distribute `num_blocks` blocks of about ten seconds over the tiers."""
    num_oracle = max(2, round(0.1 * num_blocks))
    num_test = max(1, round(0.17 * num_blocks))
    num_validation = max(1, round(0.08 * num_blocks))
    num_train = max(1, num_blocks - num_oracle - num_test - num_validation)
    num_images = round(IMAGE_BLOCK_SHARE * num_train)
    pause = PlannedTrial(kind="blank", num_frames=PAUSE_FRAMES)
    oracle_clips = max(1, num_oracle // 8)
    # Half of the test clips are shown twice: repeats for the noise ceiling, variety for the scores.
    test_clips = max(1, (2 * num_test + 2) // 3)
    blocks = [[_plan_clip("train", i, session), pause] for i in range(num_train - num_images)]
    blocks += [_plan_image_block(i, session) for i in range(num_images)]
    blocks += [[_plan_clip("validation", i), pause] for i in range(num_validation)]
    blocks += [[_plan_clip("oracle", i % oracle_clips), pause] for i in range(num_oracle)]
    blocks += [[_plan_clip("test", i % test_clips), pause] for i in range(num_test)]
    return blocks


def plan_trials(config: SimulationConfig, number: int) -> list[PlannedTrial]:
    """Plan the trials of session `number`: blocks in random order, one interval of invalid time.

    The trials fill the recording except for `LEAD_SECONDS` at either end.
    """
    total = int((config.minutes * 60.0 - 2 * LEAD_SECONDS) * FRAME_RATE_HZ)
    invalid = PlannedTrial(
        kind="invalid", num_frames=int(FRAME_RATE_HZ * max(4.0, 0.02 * 60.0 * config.minutes))
    )
    blank = PlannedTrial(kind="blank", num_frames=int(0.5 * FRAME_RATE_HZ))
    available = total - invalid.num_frames - 2 * blank.num_frames
    blocks = _plan_blocks(available // (CLIP_FRAMES + PAUSE_FRAMES), number)
    rng = make_generator(config.seed, "schedule", number)
    order = [blocks[i] for i in rng.permutation(len(blocks))]
    order.insert(len(order) // 2, [invalid, blank])
    trials = [blank, *(trial for block in order for trial in block)]
    rest = total - sum(trial.num_frames for trial in trials)
    assert rest > 0, "the number of blocks leaves time for a last blank"
    return [*trials, PlannedTrial(kind="blank", num_frames=rest)]


class Timeline:
    """Starts and ends of all signals, times of rows and flips, in absolute seconds."""

    def __init__(self, config: SimulationConfig, number: int, trials: list[PlannedTrial]) -> None:
        rng = make_generator(config.seed, "timeline", number)
        duration = config.minutes * 60.0
        self.eye_start = ORIGIN_SECONDS + 86_400.0 * number + rng.uniform(0.0, 3600.0)
        self.treadmill_start = self.eye_start + rng.uniform(0.02, 0.09)
        self.responses_start = self.eye_start + rng.uniform(8.3, 10.0)
        self.responses_end = self.responses_start + duration
        # A resampled export has two or three rows fewer than its interval can hold.
        self.num_rows = int(duration * RESPONSE_RATE_HZ) - 2
        self.row_seconds = self.responses_start + np.arange(self.num_rows) / RESPONSE_RATE_HZ
        self.behavior_end = self.responses_end + TAIL_SECONDS
        # Flips lie between rows, so that rounding of clocks does not change the frame of a row.
        screen_start = self.responses_start + LEAD_SECONDS + rng.uniform(0.2, 0.8) / FRAME_RATE_HZ
        frame = 0
        flips = []
        for trial in trials:
            flips.append(frame + np.arange(trial.num_flips))
            frame += trial.num_frames
        jitter = rng.uniform(-2e-5, 2e-5, sum(trial.num_flips for trial in trials))
        self.flip_seconds = screen_start + np.concatenate(flips) / FRAME_RATE_HZ + jitter
        self.shown_flip = latest_index(self.flip_seconds, self.row_seconds)
