"""The binary files that MNIST (idx) and CIFAR-10 (records of 3073 bytes) are published as."""

import gzip
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import OmniMouseError

U8 = NDArray[np.uint8]
CIFAR_SIDE, CIFAR_CHANNELS = 32, 3
CIFAR_RECORD = 1 + CIFAR_CHANNELS * CIFAR_SIDE**2
CIFAR_CLASSES = 10
# An idx file begins with two zeros, the code of its type, its number of dimensions.
IDX_UINT8 = 8
BINARY_HINT = (
    "a folder with MNIST's train-images-idx3-ubyte, train-labels-idx1-ubyte and the t10k ones "
    "(also .gz), or CIFAR-10's data_batch_1.bin ... and test_batch.bin"
)


def read_idx(path: Path) -> tuple[tuple[U8, U8], tuple[U8, U8] | None]:
    """Read MNIST-like files: a folder of four, or one file of images with its labels beside it.

    Returns:
        Images and labels of the training part, and of the test part where there is one.

    Raises:
        OmniMouseError: A file is missing or damaged.
    """
    if path.is_file():
        return _idx_pair(path), None
    train, test = (_find(path, part) for part in ("train", "t10k"))
    if train is None:
        raise OmniMouseError(f"{path} holds no image files that can be read", hint=BINARY_HINT)
    return _idx_pair(train), None if test is None else _idx_pair(test)


def _find(folder: Path, part: str) -> Path | None:
    return next(iter(sorted(folder.glob(f"{part}-images*idx3*"))), None)


def _idx_pair(images: Path) -> tuple[U8, U8]:
    labels = images.with_name(images.name.replace("images", "labels").replace("idx3", "idx1"))
    if labels == images or not labels.exists():
        raise OmniMouseError(f"{images} has no file of labels beside it", hint=BINARY_HINT)
    return _idx(images, 3), _idx(labels, 1)


def _idx(path: Path, num_dimensions: int) -> U8:
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
            f"{path} promises {shape} bytes after its header and has {len(content) - header}"
        )
    return np.frombuffer(content[header:], np.uint8).reshape(shape)


def read_cifar(path: Path) -> tuple[tuple[U8, U8], tuple[U8, U8] | None]:
    """Read CIFAR-10's binary files: a folder of them, or one alone.

    Returns:
        Images and labels of the training part, and of the test part where there is one.

    Raises:
        OmniMouseError: A file is missing or damaged.
    """
    if path.is_file():
        return _cifar([path]), None
    batches = [
        found for found in sorted(path.glob("*.bin")) if re.search(r"batch_\d+$", found.stem)
    ]
    test = path / "test_batch.bin"
    if not batches:
        raise OmniMouseError(f"{path} holds no data_batch_1.bin", hint=BINARY_HINT)
    return _cifar(batches), _cifar([test]) if test.exists() else None


def _cifar(paths: list[Path]) -> tuple[U8, U8]:
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
