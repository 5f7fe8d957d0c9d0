"""Reading labeled images: scikit-learn's digits, .npz, MNIST's idx files, CIFAR-10's binaries."""

import gzip
import re
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.dendrites.images.data import Images
from omnimouse_cli.dendrites.images.generated import GENERATED, generate_images
from omnimouse_cli.errors import OmniMouseError

DIGITS = "digits"
# Names that arrays go by in .npz files: training images, or all images; test images.
PAIRS = (("x_train", "y_train"), ("train_images", "train_labels"), ("images", "labels"), ("x", "y"))
TEST_PAIRS = (("x_test", "y_test"), ("test_images", "test_labels"))
MAX_CLASSES = 1000
MIN_SIDE = 4
NPZ_HINT = (
    "an .npz file holds x_train, y_train, x_test, y_test, or images and labels; images are "
    "(N, height, width), (N, height, width, channels) or (N, channels, height, width)"
)
CIFAR_SIDE, CIFAR_CHANNELS, CIFAR_CLASSES = 32, 3, 10
CIFAR_RECORD = 1 + CIFAR_CHANNELS * CIFAR_SIDE**2
# An idx file begins with two zeros, the code of its type, its number of dimensions.
IDX_UINT8 = 8
BINARY_HINT = (
    "a folder with MNIST's train-images-idx3-ubyte, train-labels-idx1-ubyte and the t10k ones "
    "(also .gz), or CIFAR-10's data_batch_1.bin ... and test_batch.bin"
)

# Images and labels as they are stored.
Part = tuple[NDArray[np.generic], NDArray[np.generic]]


def load_images(source: str) -> Images:
    """Read all images of a data set.

    Args:
        source: `digits`, `xor-images`, `linear-images`, or the path of an .npz file or of a file or
            folder in the format of MNIST or CIFAR-10.

    Raises:
        OmniMouseError: The path does not exist, or does not hold labeled images.
    """
    if source == DIGITS:
        return _load_digits()
    if source in GENERATED:
        return generate_images(source)
    path = Path(source)
    if not path.exists():
        names = ", ".join((DIGITS, *GENERATED))
        raise OmniMouseError(f"{path} does not exist", hint=f"--data takes {names} or a path")
    if path.suffix == ".npz":
        train, test = _read_npz(path)
    elif path.suffix == ".bin" or any(path.glob("*.bin")):
        train, test = _read_cifar(path)
    elif path.is_dir() or "idx" in path.name:
        train, test = _read_mnist(path)
    else:
        raise OmniMouseError(f"{path} is no image file that can be read", hint=BINARY_HINT)
    return _build_images(path, train, test)


def _load_digits() -> Images:
    from sklearn.datasets import load_digits

    digits = load_digits()
    return Images(
        name=DIGITS,
        # Counts of ink from 0 to 16 in each of 8 x 8 cells.
        pixels=np.asarray(digits.images / 16, np.float32)[:, None],
        labels=np.asarray(digits.target, np.int64),
        num_classes=10,
        num_test=0,
    )


def _read_npz(path: Path) -> tuple[Part, Part | None]:
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

    def find(pairs: tuple[tuple[str, str], ...]) -> Part | None:
        pair = next((pair for pair in pairs if all(name in arrays for name in pair)), None)
        return None if pair is None else (arrays[pair[0]], arrays[pair[1]])

    train = find(PAIRS)
    if train is None:
        names_found = ", ".join(arrays) or "nothing"
        raise OmniMouseError(
            f"{path} has no images and labels by a known name: {names_found}", hint=NPZ_HINT
        )
    return train, find(TEST_PAIRS)


def _read_mnist(path: Path) -> tuple[Part, Part | None]:
    """Read a folder of training and test files, or one file of images with its labels beside it."""
    if path.is_file():
        return _read_idx_pair(path), None
    train, test = (
        next(iter(sorted(path.glob(f"{part}-images*idx3*"))), None) for part in ("train", "t10k")
    )
    if train is None:
        raise OmniMouseError(f"{path} holds no image files that can be read", hint=BINARY_HINT)
    return _read_idx_pair(train), None if test is None else _read_idx_pair(test)


def _read_idx_pair(images: Path) -> Part:
    labels = images.with_name(images.name.replace("images", "labels").replace("idx3", "idx1"))
    if labels == images or not labels.exists():
        raise OmniMouseError(f"{images} has no file of labels beside it", hint=BINARY_HINT)
    return _read_idx(images, 3), _read_idx(labels, 1)


def _read_idx(path: Path, num_dimensions: int) -> NDArray[np.uint8]:
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise OmniMouseError(f"{path} cannot be read: {error}") from error
    header = 4 + 4 * num_dimensions
    if len(content) < header or tuple(content[:4]) != (0, 0, IDX_UINT8, num_dimensions):
        raise OmniMouseError(
            f"{path} is not an idx file of bytes with {num_dimensions} dimensions",
            hint=BINARY_HINT,
        )
    shape = tuple(np.frombuffer(content[4:header], ">u4").tolist())
    if len(content) - header != np.prod(shape, dtype=np.int64):
        raise OmniMouseError(
            f"{path} must have {shape} bytes after its header and has {len(content) - header}"
        )
    return np.frombuffer(content[header:], np.uint8).reshape(shape)


def _read_cifar(path: Path) -> tuple[Part, Part | None]:
    """Read a folder of CIFAR-10's binary files, or one such file."""
    if path.is_file():
        return _read_cifar_records([path]), None
    batches = [
        batch for batch in sorted(path.glob("*.bin")) if re.search(r"batch_\d+$", batch.stem)
    ]
    test = path / "test_batch.bin"
    if not batches:
        raise OmniMouseError(f"{path} holds no data_batch_1.bin", hint=BINARY_HINT)
    return _read_cifar_records(batches), _read_cifar_records([test]) if test.exists() else None


def _read_cifar_records(paths: list[Path]) -> Part:
    records = []
    for path in paths:
        content = np.fromfile(path, np.uint8)
        if not len(content) or len(content) % CIFAR_RECORD:
            raise OmniMouseError(
                f"{path} must consist of records of {CIFAR_RECORD} bytes (a label and 3 x 32 x 32 "
                f"pixels) and has {len(content)} bytes",
                hint=BINARY_HINT,
            )
        records.append(content.reshape(-1, CIFAR_RECORD))
        highest = int(records[-1][:, 0].max())
        if highest >= CIFAR_CLASSES:
            raise OmniMouseError(
                f"{path}: labels must be from 0 to {CIFAR_CLASSES - 1}: {highest}",
                hint="CIFAR-100 has another layout; store it as .npz",
            )
    table = np.concatenate(records)
    return table[:, 1:].reshape(-1, CIFAR_CHANNELS, CIFAR_SIDE, CIFAR_SIDE), table[:, 0]


def _build_images(path: Path, train: Part, test: Part | None) -> Images:
    parts = [train] if test is None else [train, test]
    pixels = [_convert_pixels(path, part[0]) for part in parts]
    if len({array.shape[1:] for array in pixels}) > 1:
        raise OmniMouseError(
            f"{path}: training images are {pixels[0].shape[1:]} and test images "
            f"{pixels[1].shape[1:]}"
        )
    labels = [
        _convert_labels(path, part[1], len(array))
        for part, array in zip(parts, pixels, strict=True)
    ]
    # A network cannot learn classes that only the test images have.
    num_classes = int(labels[0].max()) + 1
    for one in labels:
        outside = one[(one < 0) | (one >= min(num_classes, MAX_CLASSES))]
        if outside.size:
            raise OmniMouseError(
                f"{path}: labels must be from 0 to {min(num_classes, MAX_CLASSES) - 1}: "
                f"{outside[0]}",
                hint="labels are whole numbers from 0; those of test images occur in training",
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


def _convert_pixels(path: Path, stored: NDArray[np.generic]) -> NDArray[np.float32]:
    """Convert images to float32 `(images, channels, height, width)` from 0 to 1."""
    shape = stored.shape
    if stored.ndim == 3:
        stored = stored[:, None]
    elif stored.ndim == 4 and shape[1] not in (1, 3) and shape[3] in (1, 3):
        stored = np.moveaxis(stored, 3, 1)
    if stored.ndim != 4 or stored.shape[1] not in (1, 3) or min(stored.shape[2:]) < MIN_SIDE:
        raise OmniMouseError(
            f"{path}: images must be (N, height, width) with 1 or 3 channels and at least "
            f"{MIN_SIDE} pixels a side: {shape}",
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


def _convert_labels(path: Path, stored: NDArray[np.generic], num_images: int) -> NDArray[np.int64]:
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
