"""Images come from .npz, idx and CIFAR files as they were written, and damage is named."""

import gzip
import struct

import numpy as np
import pytest

from omnimouse_cli.dendrites.images.data import Images, split_images
from omnimouse_cli.dendrites.images.read import load_images
from omnimouse_cli.errors import OmniMouseError

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 6, 5), dtype=np.uint8)
LABELS = np.arange(30) % 3


def save(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


def test_digits_are_real_and_from_0_to_1():
    digits = load_images("digits")
    assert digits.pixels.shape == (1797, 1, 8, 8)
    assert (digits.pixels.min(), digits.pixels.max()) == (0, 1)
    assert np.bincount(digits.labels).min() > 170


def test_npz_with_two_parts_keeps_the_test_part_at_the_end(tmp_path):
    path = save(
        tmp_path / "a.npz",
        x_train=PIXELS,
        y_train=LABELS,
        x_test=PIXELS[:4],
        y_test=LABELS[:4, None],
    )
    found = load_images(path)
    assert found.num_test == 4
    assert found.num_classes == 3
    assert np.array_equal(
        found.pixels[:, 0], np.concatenate([PIXELS, PIXELS[:4]]) / np.float32(255)
    )


def test_channels_may_come_last(tmp_path):
    color = np.random.default_rng(1).integers(0, 256, (30, 6, 5, 3), dtype=np.uint8)
    found = load_images(save(tmp_path / "a.npz", images=color, labels=LABELS))
    assert np.array_equal(found.pixels[:, 2], color[..., 2] / np.float32(255))


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def test_idx_files_are_read_also_compressed(tmp_path):
    labels = LABELS.astype(np.uint8)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(PIXELS))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(labels))
    for name, array in (("images-idx3", PIXELS[:5]), ("labels-idx1", labels[:5])):
        (tmp_path / f"t10k-{name}-ubyte.gz").write_bytes(gzip.compress(idx(array)))
    found = load_images(str(tmp_path))
    assert found.num_test == 5
    assert np.array_equal(found.pixels[-5:, 0], PIXELS[:5] / np.float32(255))
    assert np.array_equal(found.labels[:30], LABELS)


def test_cifar_records_are_a_label_and_planes(tmp_path):
    records = np.random.default_rng(2).integers(0, 256, (25, 3073), dtype=np.uint8)
    records[:, 0] = np.arange(25) % 10
    records.tofile(tmp_path / "data_batch_1.bin")
    records[:2].tofile(tmp_path / "test_batch.bin")
    found = load_images(str(tmp_path))
    assert found.shape == (3, 32, 32)
    assert found.num_test == 2
    assert found.pixels[3, 1, 0, 2] == records[3, 1 + 1024 + 2] / np.float32(255)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": PIXELS, "labels": LABELS - 1}, "labels must be from 0 to 1: -1"),
        (
            {"x_train": PIXELS, "y_train": LABELS, "x_test": PIXELS, "y_test": LABELS + 1},
            "labels must be from 0 to 2: 3",
        ),
        ({"images": PIXELS[0], "labels": LABELS}, "images must be"),
        ({"images": PIXELS.reshape(30, 15, 2), "labels": LABELS}, "images must be"),
        ({"images": PIXELS / 100, "labels": LABELS}, "from 0 to 1: 0 to 2.55"),
        ({"images": np.full(PIXELS.shape, np.nan), "labels": LABELS}, "from 0 to 1"),
        ({"images": PIXELS.astype(int), "labels": LABELS}, "uint8, or floats"),
        ({"images": PIXELS, "labels": LABELS[:9]}, "labels must be 30 whole numbers"),
        ({"images": PIXELS, "labels": LABELS / 2}, "labels must be 30 whole numbers"),
        ({"images": PIXELS[:8], "labels": LABELS[:8]}, "at least 20 images"),
        ({"images": PIXELS[:0], "labels": LABELS[:0]}, "holds no images"),
        ({"pictures": PIXELS}, "no images and labels by a known name: pictures"),
    ],
)
def test_an_npz_file_that_cannot_be_used_is_refused_with_the_reason(tmp_path, arrays, words):
    with pytest.raises(OmniMouseError, match=words):
        load_images(save(tmp_path / "a.npz", **arrays))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.npz", None, "does not exist"),
        ("a.npz", b"PK\x03\x04 no archive", "is not an .npz file"),
        ("a.bin", b"\0" * 3000, "records of 3073 bytes"),
        ("a.bin", b"\x0c" + b"\0" * 3072, "labels must be from 0 to 9: 12"),
        ("a.txt", b"hello", "no image file"),
        ("images-idx3", idx(PIXELS), "no file of labels"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(OmniMouseError, match=words):
        load_images(str(tmp_path / name))


def test_a_truncated_idx_file_is_refused(tmp_path):
    (tmp_path / "a-images-idx3").write_bytes(idx(PIXELS)[:-1])
    (tmp_path / "a-labels-idx1").write_bytes(idx(LABELS.astype(np.uint8)))
    with pytest.raises(OmniMouseError, match="must have"):
        load_images(str(tmp_path / "a-images-idx3"))


@pytest.mark.parametrize(("num_test", "most"), [(0, None), (20, None), (0, 50), (20, 60)])
def test_parts_share_no_image_and_depend_on_the_seed_alone(num_test, most):
    images = Images(
        name="a",
        pixels=np.zeros((100, 1, 4, 4), np.float32),
        labels=np.zeros(100, np.int64),
        num_classes=1,
        num_test=num_test,
    )
    first, again, other = (split_images(images, seed, max_images=most) for seed in (1, 1, 2))
    parts = [first.train, first.validation, first.test]
    joined = np.concatenate(parts)
    assert len(set(joined.tolist())) == len(joined) == (most or 100)
    assert all(len(part) for part in parts)
    assert np.array_equal(first.train, again.train)
    assert not np.array_equal(first.train, other.train)
    if num_test:
        assert first.test.min() >= 80
        assert first.train.max() < 80
