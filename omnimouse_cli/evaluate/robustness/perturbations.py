"""Perturbations of the video that a row sees, in grey levels of the screen."""

import importlib.util
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.errors import ConfigError, OmniMouseError
from omnimouse_cli.evaluate.network import Question
from omnimouse_cli.evaluate.robustness.attack import WHITE, attacked
from omnimouse_cli.evaluate.robustness.corruption import CORRUPTIONS, LEVELS, SEVERITIES, corrupted
from omnimouse_cli.text import suggest_name

ADVERSARIAL = "adversarial"
FAMILIES = (*CORRUPTIONS, ADVERSARIAL)
# Grey levels of 255 by which an attack may change a pixel.
BUDGETS = (1.0, 2.0, 4.0, 8.0, 16.0)
BUDGET_UNIT = "grey levels of 255 by which a pixel may change"
NEEDS = {
    "blur": "scipy",
    "fog": "scipy",
    "elastic": "scipy",
    "pixelate": "PIL",
    "jpeg": "PIL",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Perturbation:
    """A change of every frame that a window shows.

    What is random differs from frame to frame for noise and impulses, and is one for a window for
    fog and elastic deformation. Two severities, or two runs, are given the same random numbers.

    Args:
        family: One of `FAMILIES`.
        severity: From 1 to 5.
        seed: Of what is random.
        config: How the run scales grey levels.
    """

    family: str
    severity: int
    seed: int
    config: DataConfig

    @property
    def level(self) -> float:
        """How much that is, in `level_unit`."""
        if self.family == ADVERSARIAL:
            return BUDGETS[self.severity - 1]
        return LEVELS[self.family][1][self.severity - 1]

    @property
    def level_unit(self) -> str:
        """What `level` counts."""
        return BUDGET_UNIT if self.family == ADVERSARIAL else LEVELS[self.family][0]

    def __call__(self, question: Question, batch: Batch) -> Batch:
        """Change the video of a batch."""
        assert batch.video is not None, "only a video is perturbed"
        seeds = [
            zlib.crc32(f"{self.seed} {self.family} {question.session} {start:.4f}".encode())
            for start in batch.start_seconds
        ]
        if self.family == ADVERSARIAL:
            return attacked(
                question, batch, grey_levels=self.level, seeds=seeds, config=self.config
            )
        video_BTYX = batch.video * self.config.video_std + self.config.video_mean
        pixels = np.clip(video_BTYX.cpu().numpy() / WHITE, 0, 1)
        changed = np.stack(
            [self._window(window, seed) for window, seed in zip(pixels, seeds, strict=True)]
        )
        grey_BTYX = torch.from_numpy(changed).to(batch.video)
        scaled = (grey_BTYX - self.config.video_mean) / self.config.video_std
        return replace(batch, video=scaled)

    def _window(
        self, frames: np.ndarray[tuple[int, ...], np.dtype[np.float32]], seed: int
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        # Frames are channels of one image, but a picture file has no so many.
        images = frames[:, None] if self.family == "jpeg" else frames[None]
        return corrupted(images, self.family, self.severity, seed).reshape(frames.shape)


def perturbations_of(
    families: Sequence[str], seed: int, config: DataConfig
) -> tuple[Perturbation, ...]:
    """Give every severity of some families."""
    return tuple(
        Perturbation(family=family, severity=severity, seed=seed, config=config)
        for family in families
        for severity in SEVERITIES
    )


def require_families(families: Sequence[str]) -> None:
    """Refuse what there is not, and what cannot be computed here.

    Raises:
        ConfigError: There is no such family; the hint names the nearest.
        OmniMouseError: A library is missing.
    """
    for family in families:
        if family not in FAMILIES:
            raise ConfigError(
                f"there is no perturbation {family!r}", hint=suggest_name(family, FAMILIES)
            )
        library = NEEDS.get(family)
        if library is not None and importlib.util.find_spec(library) is None:
            raise OmniMouseError(
                f"the perturbation {family} needs {library}, which is not installed",
                hint="install the extra: pip install 'omnimouse[report]'",
            )
