"""Common corruptions of images at five severities."""

import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
# Images `(images, channels, height, width)` from 0 to 1, the level, the random numbers.
Apply = Callable[[F32, float, np.random.Generator], F32]

SEVERITIES = (1, 2, 3, 4, 5)
# Lengths are given for images of this side and grow with the image.
REFERENCE_SIDE = 32
ELASTIC_SMOOTHNESS = 6.0


class Corruption(NamedTuple):
    """A family of corruptions.

    Args:
        apply: The corruption.
        levels: Its strength at each of the `SEVERITIES`.
        level_unit: What the levels are.
        library: Optional library that it needs.
    """

    apply: Apply
    levels: tuple[float, ...]
    level_unit: str
    library: str | None = None


def corrupt(pixels: F32, family: str, severity: int, seed: int) -> NDArray[np.uint8]:
    """Corrupt images; the result has 8 bits a pixel, as cameras and files have.

    Args:
        pixels: `(images, channels, height, width)` from 0 to 1.
        family: One of `CORRUPTIONS`.
        severity: From 1 to 5.
        seed: Seed of the random numbers.

    Returns:
        uint8, of the same shape.
    """
    corruption = CORRUPTIONS[family]
    level = corruption.levels[severity - 1]
    corrupted = corruption.apply(pixels, level, np.random.default_rng(seed))
    return np.rint(np.clip(corrupted, 0, 1) * 255).astype(np.uint8)


def _noise(pixels: F32, level: float, generator: np.random.Generator) -> F32:
    noise = generator.standard_normal(pixels.shape, np.float32)
    return np.asarray(pixels + np.float32(level) * noise, np.float32)


def _impulse(pixels: F32, level: float, generator: np.random.Generator) -> F32:
    draw = generator.random(pixels.shape, np.float32)
    kept = np.where(draw > 1 - level / 2, 1, pixels)
    return np.asarray(np.where(draw < level / 2, 0, kept), np.float32)


def _blur(pixels: F32, level: float, generator: np.random.Generator) -> F32:  # noqa: ARG001
    from scipy.ndimage import gaussian_filter

    sigma = level * _scale(pixels)
    return np.asarray(gaussian_filter(pixels, (0, 0, sigma, sigma), mode="nearest"), np.float32)


def _contrast(pixels: F32, level: float, generator: np.random.Generator) -> F32:  # noqa: ARG001
    mean = pixels.mean(axis=(2, 3), keepdims=True)
    return np.asarray(mean + level * (pixels - mean), np.float32)


def _brightness(pixels: F32, level: float, generator: np.random.Generator) -> F32:  # noqa: ARG001
    return np.asarray(pixels + level, np.float32)


def _pixelate(pixels: F32, level: float, generator: np.random.Generator) -> F32:  # noqa: ARG001
    from PIL import Image

    height, width = pixels.shape[2:]
    small = (max(1, round(width * level)), max(1, round(height * level)))

    def pixelate(plane: F32) -> F32:
        picture = Image.fromarray(plane).resize(small, Image.Resampling.BOX)
        return np.asarray(picture.resize((width, height), Image.Resampling.NEAREST), np.float32)

    planes = pixels.reshape(-1, height, width)
    return np.stack([pixelate(plane) for plane in planes]).reshape(pixels.shape)


def _jpeg(pixels: F32, level: float, generator: np.random.Generator) -> F32:  # noqa: ARG001
    from PIL import Image

    def compress(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        stream = io.BytesIO()
        plain = picture[0] if len(picture) == 1 else np.moveaxis(picture, 0, 2)
        Image.fromarray(plain).save(stream, "JPEG", quality=int(level))
        with Image.open(stream) as decoded:
            read = np.asarray(decoded)
        return read[None] if read.ndim == 2 else np.moveaxis(read, 2, 0)

    whole = np.rint(pixels * 255).astype(np.uint8)
    return np.asarray(np.stack([compress(picture) for picture in whole]) / 255, np.float32)


def _fog(pixels: F32, level: float, generator: np.random.Generator) -> F32:
    """Add a bright veil of several scales; the brightest pixel keeps its grey level."""
    from scipy.ndimage import gaussian_filter

    num_images, _, height, width = pixels.shape
    veil = np.zeros((num_images, height, width))
    for share in (0.5, 0.25, 0.125):
        sigma = max(height, width) * share / 2
        octave = gaussian_filter(
            generator.standard_normal(veil.shape), (0, sigma, sigma), mode="wrap"
        )
        veil += share * octave / octave.std()
    veil -= veil.min(axis=(1, 2), keepdims=True)
    veil /= np.maximum(veil.max(axis=(1, 2), keepdims=True), 1e-12)
    brightest = pixels.max(axis=(1, 2, 3), keepdims=True)
    foggy = pixels + level * veil[:, None]
    return np.asarray(foggy * brightest / (brightest + level), np.float32)


def _elastic(pixels: F32, level: float, generator: np.random.Generator) -> F32:
    from scipy.ndimage import gaussian_filter, map_coordinates

    num_images, _, height, width = pixels.shape
    scale = _scale(pixels)
    smooth = ELASTIC_SMOOTHNESS * scale
    shifts = gaussian_filter(
        generator.standard_normal((2, num_images, height, width)), (0, 0, smooth, smooth)
    )
    shifts *= level * scale / shifts.std()
    grid = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    deformed = np.empty_like(pixels)
    for image in range(num_images):
        coordinates = [axis + shift[image] for axis, shift in zip(grid, shifts, strict=True)]
        for channel in range(pixels.shape[1]):
            deformed[image, channel] = map_coordinates(
                pixels[image, channel], coordinates, order=1, mode="nearest"
            )
    return deformed


def _scale(pixels: F32) -> float:
    return float(max(pixels.shape[2:]) / REFERENCE_SIDE)


GREY_RANGE = "of the range from black to white"
# To add a corruption, write a function of the signature `Apply` and add it to this table.
CORRUPTIONS: dict[str, Corruption] = {
    "noise": Corruption(_noise, (0.05, 0.1, 0.2, 0.3, 0.4), f"standard deviation, {GREY_RANGE}"),
    "impulse": Corruption(_impulse, (0.02, 0.05, 0.1, 0.17, 0.25), "share of pixels"),
    "blur": Corruption(
        _blur,
        (1.2, 1.6, 2.0, 2.6, 3.2),
        "standard deviation in pixels, of an image 32 wide",
        library="scipy",
    ),
    "contrast": Corruption(
        _contrast, (0.75, 0.5, 0.4, 0.3, 0.15), "share of the contrast that is left"
    ),
    "brightness": Corruption(_brightness, (0.1, 0.2, 0.3, 0.4, 0.5), f"added, {GREY_RANGE}"),
    "pixelate": Corruption(
        _pixelate,
        (0.85, 0.7, 0.6, 0.5, 0.4),
        "share of the pixels along a side that is left",
        library="PIL",
    ),
    "jpeg": Corruption(_jpeg, (60, 40, 25, 15, 8), "quality", library="PIL"),
    "fog": Corruption(_fog, (0.2, 0.4, 0.6, 0.9, 1.3), f"veil, {GREY_RANGE}", library="scipy"),
    "elastic": Corruption(
        _elastic,
        (1.0, 1.75, 2.5, 3.25, 4.0),
        "displacement in pixels, of an image 32 wide",
        library="scipy",
    ),
}
