"""Perturbations of the video that a model sees, in grey levels of the screen."""

import importlib.util
import itertools
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.errors import ConfigError, OmniMouseError
from omnimouse_cli.evaluation.forward import MaskedModel
from omnimouse_cli.evaluation.robustness.attack import WHITE, attack_video
from omnimouse_cli.evaluation.robustness.corruption import CORRUPTIONS, corrupt
from omnimouse_cli.text import suggest_name

ADVERSARIAL = "adversarial"
FAMILIES = (*CORRUPTIONS, ADVERSARIAL)
# Grey levels of 255 by which an attack may change a pixel.
BUDGETS = (1.0, 2.0, 4.0, 8.0, 16.0)
# Severities under which a model of the brain is scored, of the five that there are.
SCORED_SEVERITIES = (1, 3, 5)
BUDGET_UNIT = "grey levels of 255 by which a pixel may change"


@dataclass(frozen=True, slots=True, kw_only=True)
class Perturbation:
    """A change of every frame of a window.

    Random numbers differ from frame to frame for noise and impulses, and are one set for a window
    for fog and elastic deformation. They are the same for all severities, and for all runs.

    Args:
        family: One of `FAMILIES`.
        severity: From 1 to 5.
        seed: Seed of the random numbers.
        config: How the run scales grey levels.
    """

    family: str
    severity: int
    seed: int
    config: DataConfig

    @property
    def level(self) -> float:
        """The strength of the perturbation, in `level_unit`."""
        attack = self.family == ADVERSARIAL
        levels = BUDGETS if attack else CORRUPTIONS[self.family].levels
        return levels[self.severity - 1]

    @property
    def level_unit(self) -> str:
        """Unit of `level`."""
        return BUDGET_UNIT if self.family == ADVERSARIAL else CORRUPTIONS[self.family].level_unit

    def corrupt(self, session: str, batch: Batch) -> Batch:
        """Return the batch with a corrupted video."""
        assert batch.video is not None, "only a video is perturbed"
        seeds = make_seeds(self.seed, self.family, session, batch)
        video_BTYX = batch.video * self.config.video_std + self.config.video_mean
        pixels = np.clip(video_BTYX.cpu().numpy() / WHITE, 0, 1)
        changed = np.stack(
            [self._corrupt(window, seed) for window, seed in zip(pixels, seeds, strict=True)]
        )
        grey_BTYX = torch.from_numpy(changed).to(batch.video)
        scaled = (grey_BTYX - self.config.video_mean) / self.config.video_std
        return replace(batch, video=scaled)

    def _corrupt(
        self, frames: np.ndarray[tuple[int, ...], np.dtype[np.float32]], seed: int
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        # Frames are channels of one image; a JPEG file has no so many channels.
        images = frames[:, None] if self.family == "jpeg" else frames[None]
        return corrupt(images, self.family, self.severity, seed).reshape(frames.shape)


def make_seeds(seed: int, family: str, session: str, batch: Batch) -> list[int]:
    """Return a seed for each window, by its session and start."""
    return [
        zlib.crc32(f"{seed} {family} {session} {start:.4f}".encode())
        for start in batch.start_seconds
    ]


def perturb(
    perturbations: Sequence[Perturbation], model: MaskedModel, batch: Batch
) -> Iterator[Batch]:
    """Yield the batch under each perturbation, severities of a family one after the other.

    Args:
        perturbations: As `make_perturbations` returns them.
        model: The model that an attack is on.
        batch: With the clean video.
    """
    for family, group in itertools.groupby(perturbations, key=lambda one: one.family):
        of_family = list(group)
        if family != ADVERSARIAL:
            yield from (one.corrupt(model.session, batch) for one in of_family)
            continue
        yield from attack_video(
            model,
            batch,
            budgets=[one.level for one in of_family],
            seeds=make_seeds(of_family[0].seed, family, model.session, batch),
            config=of_family[0].config,
        )


def make_perturbations(
    families: Sequence[str], seed: int, config: DataConfig
) -> tuple[Perturbation, ...]:
    """Return the scored severities of some families, ascending."""
    return tuple(
        Perturbation(family=family, severity=severity, seed=seed, config=config)
        for family in families
        for severity in SCORED_SEVERITIES
    )


def require_families(families: Sequence[str]) -> None:
    """Refuse families that do not exist or need a library that is not installed.

    Raises:
        ConfigError: There is no such family; the hint names the nearest.
        OmniMouseError: A library is missing.
    """
    for family in families:
        if family not in FAMILIES:
            raise ConfigError(
                f"there is no perturbation {family!r}", hint=suggest_name(family, FAMILIES)
            )
        library = CORRUPTIONS[family].library if family in CORRUPTIONS else None
        if library is not None and importlib.util.find_spec(library) is None:
            raise OmniMouseError(
                f"the perturbation {family} needs {library}, which is not installed",
                hint="install the extra: pip install 'omnimouse[report]'",
            )
