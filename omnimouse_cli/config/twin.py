"""Configuration of a convolutional digital twin."""

from dataclasses import dataclass

from omnimouse_cli.config.checks import require_positive


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinConfig:
    """The core of a convolutional digital twin: layers of a spatial and a temporal convolution.

    Each of the first five options has a value per layer.

    Args:
        channels: Feature maps.
        pooling: Side of the squares that a layer's input is averaged over, in its positions.
        spatial_kernels: Side of the spatial kernel, in positions after pooling.
        spatial_strides: Positions between two of its outputs, along rows and columns.
        temporal_kernels: Length of the temporal kernel, in samples of 1/30 s, to the past.
        contrast_floor: Mean square of a layer's features at a time point below which they are
            hardly normalized, so that noise on a blank screen is not amplified.
    """

    channels: tuple[int, ...] = (16, 32)
    pooling: tuple[int, ...] = (2, 1)
    spatial_kernels: tuple[int, ...] = (9, 3)
    spatial_strides: tuple[int, ...] = (2, 1)
    temporal_kernels: tuple[int, ...] = (11, 7)
    contrast_floor: float = 0.1

    def __post_init__(self) -> None:
        """Raise ValueError for values that cannot work."""
        require_positive(contrast_floor=self.contrast_floor)
        per_layer = {
            "channels": self.channels,
            "pooling": self.pooling,
            "spatial_kernels": self.spatial_kernels,
            "spatial_strides": self.spatial_strides,
            "temporal_kernels": self.temporal_kernels,
        }
        for name, values in per_layer.items():
            if len(values) != len(self.channels) or not values or min(values) < 1:
                raise ValueError(
                    f"`{name}` must have a positive number for each of the "
                    f"{max(1, len(self.channels))} layers: {values}"
                )
        if any(side % 2 == 0 for side in self.spatial_kernels):
            raise ValueError(
                f"`spatial_kernels` must be odd, so that they are centered: {self.spatial_kernels}"
            )
