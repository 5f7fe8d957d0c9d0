"""Options of a probe: its stimuli, and the thresholds below which a number is unknown."""

from dataclasses import dataclass, fields

import numpy as np

from omnimouse_cli.errors import ConfigError

# Half octaves; the screen of 36 x 64 pixels holds 1.3 to 11 cycles of these along its width.
SPATIAL_FREQUENCIES = (0.0208, 0.0295, 0.0417, 0.0589, 0.0833, 0.1179, 0.1667)
TEMPORAL_FREQUENCIES = (1.0, 2.0, 4.0, 8.0)
DIAMETERS = (4.0, 6.0, 9.0, 13.0, 18.0, 26.0, 36.0, 52.0)
INNER_DIAMETERS = (4.0, 9.0, 13.0, 18.0, 26.0)
APERTURE_PX = 20.0
CONTRASTS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeOptions:
    """How neurons are probed.

    Args:
        directions: Number of directions of motion, in equal steps; even.
        spatial_frequencies: Cycles per pixel, ascending.
        temporal_frequencies: In Hz, ascending. The response is averaged over one second, so that
            whole numbers average over whole cycles.
        phases: Number of phases of every grating, in equal steps.
        contrast: Michelson contrast of gratings, except where contrast is varied.
        aperture_px: Diameter of the discs about receptive fields in which the tuning for direction
            is measured; None measures it with gratings that fill the screen.
        diameters: Diameters of discs in pixels, ascending.
        inner_diameters: Inner diameters of annuli in pixels, ascending; their outer one is that of
            the largest disc.
        contrasts: Contrasts of the contrast response, ascending.
        noise_windows: Windows of sparse noise.
        square_px: Side of the squares of sparse noise.
        gradient_windows: Windows over which squared gradients are averaged; 0 computes none.
        min_score: Least prediction score of neurons that are given numbers.
        min_modulation: Without scores: least standard deviation of such a neuron's response over
            gratings, in standard deviations of the recorded response.
        min_reliability: Least correlation between halves (phases, windows or runs of an ensemble)
            of a property that is given a number.
        min_snr: Least signal-to-noise ratio of a receptive field with numbers.
        min_explained: Least share of the variance of a map by gradient that the Gaussian of such a
            receptive field explains. Maps by noise are exempt: no Gaussian explains their noise.
        seed: Seed of the noise and of the choice of windows.
    """

    directions: int = 16
    spatial_frequencies: tuple[float, ...] = SPATIAL_FREQUENCIES
    temporal_frequencies: tuple[float, ...] = TEMPORAL_FREQUENCIES
    phases: int = 2
    contrast: float = 0.8
    aperture_px: float | None = APERTURE_PX
    diameters: tuple[float, ...] = DIAMETERS
    inner_diameters: tuple[float, ...] = INNER_DIAMETERS
    contrasts: tuple[float, ...] = CONTRASTS
    noise_windows: int = 640
    square_px: int = 4
    gradient_windows: int = 8
    min_score: float = 0.1
    min_modulation: float = 0.1
    min_reliability: float = 0.5
    min_snr: float = 3.0
    min_explained: float = 0.85
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ConfigError for values out of range."""
        for name, low, high in (
            ("phases", 1, 360),
            ("contrast", 1e-6, 1.0),
            ("noise_windows", 2, 10**6),
            ("square_px", 1, 10**4),
            ("gradient_windows", 0, 10**6),
            ("min_reliability", -1.0, 1.0),
            ("seed", 0, 2**63),
        ):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(
                    f"`{name}` must lie between {low:g} and {high:g}: {getattr(self, name)}"
                )
        if self.aperture_px is not None and not self.aperture_px > 0:
            raise ConfigError(f"`aperture_px` must be positive: {self.aperture_px}")
        if self.directions < 4 or self.directions % 2:
            raise ConfigError(f"`directions` must be even and at least 4: {self.directions}")
        for entry in fields(self):
            values = getattr(self, entry.name)
            if isinstance(values, tuple):
                _require_axis(entry.name, values)
        if max(self.contrasts) > 1:
            raise ConfigError(f"`contrasts` must be at most 1: {max(self.contrasts):g}")
        if max(self.spatial_frequencies) > 0.5:
            raise ConfigError(
                "`spatial_frequencies` must be at most 0.5 cycles per pixel: "
                f"{max(self.spatial_frequencies):g}",
                hint="a grating needs two pixels per cycle",
            )
        if max(self.inner_diameters) >= max(self.diameters):
            raise ConfigError(
                "`inner_diameters` must be smaller than the largest of `diameters`: "
                f"{max(self.inner_diameters):g}"
            )

    @property
    def directions_deg(self) -> tuple[float, ...]:
        """Directions of motion, from 0 on."""
        return tuple(360 * number / self.directions for number in range(self.directions))

    @property
    def phases_deg(self) -> tuple[float, ...]:
        """Phases, from 0 on, within half a cycle: the other half only inverts the contrast."""
        return tuple(180 * number / self.phases for number in range(self.phases))


def _require_axis(name: str, values: tuple[float, ...]) -> None:
    if not values or not np.all(np.isfinite(values)) or min(values) <= 0:
        raise ConfigError(f"`{name}` must be positive numbers: {values}")
    if any(np.diff(values) <= 0):
        raise ConfigError(f"`{name}` must be ascending: {values}")
