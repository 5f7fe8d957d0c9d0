"""Natural corruptions of images at five severities, none of which needs a download."""

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
Corruption = Callable[[F32, int, np.random.Generator], F32]

SEVERITIES = (1, 2, 3, 4, 5)
# Lengths are given for images of this side and grow with the image.
REFERENCE_SIDE = 32
NOISE_STD = (0.05, 0.1, 0.2, 0.3, 0.4)
IMPULSE_SHARE = (0.02, 0.05, 0.1, 0.17, 0.25)
BLUR_PIXELS = (1.2, 1.6, 2.0, 2.6, 3.2)
CONTRAST = (0.75, 0.5, 0.4, 0.3, 0.15)
BRIGHTNESS = (0.1, 0.2, 0.3, 0.4, 0.5)
PIXELATE = (0.85, 0.7, 0.6, 0.5, 0.4)
JPEG_QUALITY = (60, 40, 25, 15, 8)
FOG = (0.2, 0.4, 0.6, 0.9, 1.3)
ELASTIC_PIXELS, ELASTIC_SMOOTHNESS = (1.0, 1.75, 2.5, 3.25, 4.0), 6.0


def corrupted(pixels: F32, family: str, severity: int, seed: int) -> NDArray[np.uint8]:
    """Corrupt images; 8 bits a pixel, as cameras and files have them.

    Args:
        pixels: `(images, channels, height, width)` from 0 to 1.
        family: One of `CORRUPTIONS`.
        severity: From 1 to 5.
        seed: Of what is random.

    Returns:
        uint8, of the same shape.
    """
    generator = np.random.default_rng(seed)
    worse = CORRUPTIONS[family](pixels, severity - 1, generator)
    return np.rint(np.clip(worse, 0, 1) * 255).astype(np.uint8)


def _noise(pixels: F32, level: int, generator: np.random.Generator) -> F32:
    noise = generator.standard_normal(pixels.shape, np.float32)
    return np.asarray(pixels + np.float32(NOISE_STD[level]) * noise, np.float32)


def _impulse(pixels: F32, level: int, generator: np.random.Generator) -> F32:
    draw = generator.random(pixels.shape, np.float32)
    share = IMPULSE_SHARE[level]
    kept = np.where(draw > 1 - share / 2, 1, pixels)
    return np.asarray(np.where(draw < share / 2, 0, kept), np.float32)


def _blur(pixels: F32, level: int, generator: np.random.Generator) -> F32:  # noqa: ARG001
    from scipy.ndimage import gaussian_filter

    sigma = BLUR_PIXELS[level] * _scale(pixels)
    return np.asarray(gaussian_filter(pixels, (0, 0, sigma, sigma), mode="nearest"), np.float32)


def _contrast(pixels: F32, level: int, generator: np.random.Generator) -> F32:  # noqa: ARG001
    mean = pixels.mean(axis=(2, 3), keepdims=True)
    return np.asarray(mean + CONTRAST[level] * (pixels - mean), np.float32)


def _brightness(pixels: F32, level: int, generator: np.random.Generator) -> F32:  # noqa: ARG001
    return np.asarray(pixels + BRIGHTNESS[level], np.float32)


def _pixelate(pixels: F32, level: int, generator: np.random.Generator) -> F32:  # noqa: ARG001
    from PIL import Image

    height, width = pixels.shape[2:]
    small = (max(1, round(width * PIXELATE[level])), max(1, round(height * PIXELATE[level])))

    def one(channel: F32) -> F32:
        picture = Image.fromarray(channel).resize(small, Image.Resampling.BOX)
        return np.asarray(picture.resize((width, height), Image.Resampling.NEAREST), np.float32)

    planes = pixels.reshape(-1, height, width)
    return np.stack([one(plane) for plane in planes]).reshape(pixels.shape)


def _jpeg(pixels: F32, level: int, generator: np.random.Generator) -> F32:  # noqa: ARG001
    from PIL import Image

    def one(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        stream = io.BytesIO()
        plain = picture[0] if len(picture) == 1 else np.moveaxis(picture, 0, 2)
        Image.fromarray(plain).save(stream, "JPEG", quality=JPEG_QUALITY[level])
        with Image.open(stream) as decoded:
            read = np.asarray(decoded)
        return read[None] if read.ndim == 2 else np.moveaxis(read, 2, 0)

    whole = np.rint(pixels * 255).astype(np.uint8)
    return np.asarray(np.stack([one(picture) for picture in whole]) / 255, np.float32)


def _fog(pixels: F32, level: int, generator: np.random.Generator) -> F32:
    """Add a bright veil of several scales, and bring the brightest back to where it was."""
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
    foggy = pixels + FOG[level] * veil[:, None]
    return np.asarray(foggy * brightest / (brightest + FOG[level]), np.float32)


def _elastic(pixels: F32, level: int, generator: np.random.Generator) -> F32:
    from scipy.ndimage import gaussian_filter, map_coordinates

    num_images, _, height, width = pixels.shape
    scale = _scale(pixels)
    smooth = ELASTIC_SMOOTHNESS * scale
    shifts = gaussian_filter(
        generator.standard_normal((2, num_images, height, width)), (0, 0, smooth, smooth)
    )
    shifts *= ELASTIC_PIXELS[level] * scale / shifts.std()
    places = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    bent = np.empty_like(pixels)
    for image in range(num_images):
        where = [place + shift[image] for place, shift in zip(places, shifts, strict=True)]
        for channel in range(pixels.shape[1]):
            bent[image, channel] = map_coordinates(
                pixels[image, channel], where, order=1, mode="nearest"
            )
    return bent


def _scale(pixels: F32) -> float:
    return float(max(pixels.shape[2:]) / REFERENCE_SIDE)


# What the levels of each family are, and the level of each severity.
LEVELS: dict[str, tuple[str, tuple[float, ...]]] = {
    "noise": ("standard deviation, of the range from black to white", NOISE_STD),
    "impulse": ("share of pixels", IMPULSE_SHARE),
    "blur": ("standard deviation in pixels, of an image 32 wide", BLUR_PIXELS),
    "contrast": ("share of the contrast that is left", CONTRAST),
    "brightness": ("added, of the range from black to white", BRIGHTNESS),
    "pixelate": ("share of the pixels along a side that is left", PIXELATE),
    "jpeg": ("quality", JPEG_QUALITY),
    "fog": ("veil, of the range from black to white", FOG),
    "elastic": ("displacement in pixels, of an image 32 wide", ELASTIC_PIXELS),
}

CORRUPTIONS: dict[str, Corruption] = {
    "noise": _noise,
    "impulse": _impulse,
    "blur": _blur,
    "contrast": _contrast,
    "brightness": _brightness,
    "pixelate": _pixelate,
    "jpeg": _jpeg,
    "fog": _fog,
    "elastic": _elastic,
}
