"""Images by name or path: digits, .npz, MNIST's idx files, CIFAR-10's binary files."""

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.dendrites.images.binary_files import BINARY_HINT, read_cifar, read_idx
from omnimouse_cli.dendrites.images.images import Images
from omnimouse_cli.errors import OmniMouseError

DIGITS = "digits"
# Names that arrays go by in .npz files: train and test parts, or one part.
PAIRS = (("x_train", "y_train"), ("train_images", "train_labels"), ("images", "labels"), ("x", "y"))
TEST_PAIRS = (("x_test", "y_test"), ("test_images", "test_labels"))
MOST_CLASSES = 1000
FEWEST_PIXELS = 4
NPZ_HINT = (
    "an .npz file holds x_train, y_train, x_test, y_test, or images and labels; images are "
    "(N, height, width), (N, height, width, channels) or (N, channels, height, width)"
)

Part = tuple[NDArray[np.generic], NDArray[np.generic]]


def load_images(source: str) -> Images:
    """Read all images of `digits`, an .npz file, or a folder or file of MNIST's or CIFAR's kind.

    Args:
        source: A name or a path.

    Raises:
        OmniMouseError: There is nothing, or it holds something else than labelled images.
    """
    if source == DIGITS:
        return _digits()
    path = Path(source)
    if not path.exists():
        raise OmniMouseError(f"{path} does not exist", hint=f"--data takes {DIGITS} or a path")
    if path.suffix == ".npz":
        train, test = _npz(path)
    elif path.suffix == ".bin" or any(path.glob("*.bin")):
        train, test = read_cifar(path)
    elif path.is_dir() or "idx" in path.name:
        train, test = read_idx(path)
    else:
        raise OmniMouseError(f"{path} is no image file that can be read", hint=BINARY_HINT)
    return _assembled(path, train, test)


def _digits() -> Images:
    from sklearn.datasets import load_digits

    found = load_digits()
    return Images(
        name=DIGITS,
        # Counts of ink from 0 to 16 in each of 8 x 8 cells.
        pixels=np.asarray(found.images / 16, np.float32)[:, None],
        labels=np.asarray(found.target, np.int64),
        num_classes=10,
        num_test=0,
    )


def _npz(path: Path) -> tuple[Part, Part | None]:
    try:
        # NumPy leaves a file of its own open when it is damaged.
        with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            stream.seek(0)
            stored = np.load(stream)
            arrays = {name: stored[name] for name in names}
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise OmniMouseError(
            f"{path} is not an .npz file of numbers: {error}", hint=NPZ_HINT
        ) from error
    for pair in PAIRS:
        if all(name in arrays for name in pair):
            test = next((p for p in TEST_PAIRS if all(name in arrays for name in p)), None)
            return (
                (arrays[pair[0]], arrays[pair[1]]),
                None if test is None else (arrays[test[0]], arrays[test[1]]),
            )
    held = ", ".join(arrays) or "nothing"
    raise OmniMouseError(f"{path} has no images and labels by a known name: {held}", hint=NPZ_HINT)


def _assembled(path: Path, train: Part, test: Part | None) -> Images:
    parts = [train] if test is None else [train, test]
    pixels = [_pixels(path, part[0]) for part in parts]
    if len({array.shape[1:] for array in pixels}) > 1:
        raise OmniMouseError(
            f"{path}: training images are {pixels[0].shape[1:]} and test images "
            f"{pixels[1].shape[1:]}"
        )
    labels = [_labels(path, part[1], len(array)) for part, array in zip(parts, pixels, strict=True)]
    # The training part says how many classes there are: a network cannot learn others.
    num_classes = int(labels[0].max()) + 1
    for one in labels:
        outside = one[(one < 0) | (one >= min(num_classes, MOST_CLASSES))]
        if outside.size:
            raise OmniMouseError(
                f"{path}: labels must be from 0 to {min(num_classes, MOST_CLASSES) - 1}: "
                f"{outside[0]}",
                hint="labels are whole numbers from 0; those of the test part occur in training",
            )
    try:
        return Images(
            name=path.stem if path.is_file() else path.resolve().name,
            pixels=np.concatenate(pixels),
            labels=np.concatenate(labels),
            num_classes=num_classes,
            num_test=0 if test is None else len(labels[1]),
        )
    except ValueError as error:
        raise OmniMouseError(f"{path}: {error}") from error


def _pixels(path: Path, stored: NDArray[np.generic]) -> NDArray[np.float32]:
    """Bring images to float32 `(images, channels, height, width)` from 0 to 1."""
    shape = stored.shape
    if stored.ndim == 3:
        stored = stored[:, None]
    elif stored.ndim == 4 and shape[1] not in (1, 3) and shape[3] in (1, 3):
        stored = np.moveaxis(stored, 3, 1)
    if stored.ndim != 4 or stored.shape[1] not in (1, 3) or min(stored.shape[2:]) < FEWEST_PIXELS:
        raise OmniMouseError(
            f"{path}: images must be (N, height, width) with 1 or 3 channels and at least "
            f"{FEWEST_PIXELS} pixels a side: {shape}",
            hint=NPZ_HINT,
        )
    if stored.dtype == np.uint8:
        return np.asarray(np.asarray(stored, np.float32) / 255, np.float32)
    if not np.issubdtype(stored.dtype, np.floating):
        raise OmniMouseError(
            f"{path}: images must be uint8, or floats from 0 to 1: {stored.dtype}", hint=NPZ_HINT
        )
    pixels = np.ascontiguousarray(stored, np.float32)
    # NaN fails both comparisons.
    if not (pixels.min(initial=0) >= 0 and pixels.max(initial=0) <= 1):
        raise OmniMouseError(
            f"{path}: images of floats must be from 0 to 1: {pixels.min():g} to {pixels.max():g}",
            hint="divide them by 255, or store them as uint8",
        )
    return pixels


def _labels(path: Path, stored: NDArray[np.generic], num_images: int) -> NDArray[np.int64]:
    # CIFAR's own files as .npz carry labels as a column.
    labels = stored[:, 0] if stored.ndim == 2 and stored.shape[1] == 1 else stored
    if labels.shape != (num_images,) or not np.issubdtype(labels.dtype, np.integer):
        raise OmniMouseError(
            f"{path}: labels must be {num_images} whole numbers, one per image: "
            f"{stored.dtype} {stored.shape}",
            hint=NPZ_HINT,
        )
    if num_images == 0:
        raise OmniMouseError(f"{path} holds no images")
    return labels.astype(np.int64)
