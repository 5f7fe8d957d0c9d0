"""One pass of the extension stores and computes what plain NumPy does."""

import itertools
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from omnimouse_cli._native import ResponseEncoder
from omnimouse_cli.shard.checksum import compute_checksum, format_checksum
from omnimouse_cli.shard.responses import TENSOR_DTYPES


def encode(values, dtype):
    """Round float32 values to nearest, ties to even; bfloat16 as its bits in uint16."""
    if dtype == "float32":
        return values
    if dtype == "float16":
        with np.errstate(over="ignore", under="ignore"):
            return values.astype(np.float16)
    bits = values.view(np.uint32)
    rounded = bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))
    upper = (rounded >> np.uint32(16)).astype(np.uint16)
    # Rounding the bits of a NaN could give an infinity or a zero.
    upper[np.isnan(values)] = 0x7FC0
    return upper


def decode(stored, tensor_dtype):
    """Return stored responses (`F16`, `BF16` or `F32`) as float32."""
    if tensor_dtype == "BF16":
        return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return stored.astype(np.float32)


def write_in_blocks(path, values, counted, dtype, cuts, *, portable=False, first_byte=0):
    """Write rows in blocks; return the file's bytes, the checksum, finite rows and statistics."""
    columns = values.shape[1]
    facts = {name: np.empty(columns) for name in ("mean", "squares", "square_error")}
    facts["largest_error"] = np.empty(columns, dtype=np.float32)
    finite = np.empty(len(values), dtype=np.bool_)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        encoder = ResponseEncoder(
            descriptor, first_byte=first_byte, dtype=dtype, num_columns=columns, portable=portable
        )
        edges = [0, *sorted(cuts), len(values)]
        for first, last in itertools.pairwise(edges):
            block = values[first:last].copy()
            marks = np.empty(last - first, dtype=np.uint8)
            assert encoder.write(block, counted[first:last].astype(np.uint8), marks) is None
            finite[first:last] = marks
        counts, digits = encoder.statistics(**facts), encoder.finish()
        return path.read_bytes()[first_byte:], digits, finite, (*counts, facts)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("dtype", TENSOR_DTYPES)
@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**32 - 1),
    columns=st.integers(1, 35),
    cuts=st.lists(st.integers(0, 600), max_size=5),
    portable=st.booleans(),
)
def test_one_pass_is_what_numpy_gives(tmp_path_factory, dtype, *, seed, columns, cuts, portable):
    rng = np.random.default_rng(seed)
    missing, offset = rng.choice([0.0, 0.002, 0.1]), rng.choice([0.0, -3.0, 1e4])
    scale = 10.0 ** rng.integers(-8, 3, columns)
    values = (rng.normal(size=(600, columns)) * scale + offset).astype(np.float32)
    values[rng.random(values.shape) < missing] = np.nan
    values[rng.random(values.shape) < missing] = -np.inf
    counted = rng.random(600) < 0.8
    path = tmp_path_factory.getbasetemp() / "rows"
    stored, digits, finite, facts = write_in_blocks(
        path, values, counted, dtype, cuts, portable=portable, first_byte=5
    )
    expected = encode(values, dtype)
    assert stored == expected.tobytes()
    assert format_checksum(digits) == compute_checksum(stored)
    np.testing.assert_array_equal(finite, np.isfinite(values).all(axis=1))
    num_finite, num_counted, negative, computed = facts
    whole, chosen = values[finite].astype(float), values[finite & counted].astype(float)
    assert (num_finite, num_counted) == (len(whole), len(chosen))
    assert negative == (whole < 0).any()
    error = np.abs(decode(expected, TENSOR_DTYPES[dtype])[finite] - values[finite])
    np.testing.assert_array_equal(computed["largest_error"], error.max(axis=0, initial=0.0))
    np.testing.assert_allclose(
        computed["square_error"], np.square(error.astype(float)).sum(axis=0), rtol=1e-12
    )
    if len(chosen):
        close = {"rtol": 1e-11, "atol": 1e-12 * scale.max()}
        np.testing.assert_allclose(computed["mean"], chosen.mean(axis=0), **close)
        squares = np.square(chosen - chosen.mean(axis=0)).sum(axis=0)
        np.testing.assert_allclose(computed["squares"], squares, rtol=1e-9, atol=1e-20)


@settings(max_examples=20)
@given(arrays(np.uint32, 24, elements=st.integers(0, 2**32 - 1)), st.booleans())
def test_any_bits_are_stored_as_the_reference_rounds_them(tmp_path_factory, bits, portable):
    path = tmp_path_factory.getbasetemp() / "bits"
    # Each number is a row, so that one which is not finite hides no other.
    values = bits.view(np.float32)[:, None]
    for dtype in TENSOR_DTYPES:
        expected = encode(values, dtype)
        fits = ~(np.isfinite(values) & np.isinf(decode(expected, TENSOR_DTYPES[dtype])))[:, 0]
        counted = np.zeros(int(fits.sum()), dtype=np.bool_)
        stored, *_ = write_in_blocks(
            path, values[fits], counted, dtype, [len(counted) // 3], portable=portable
        )
        assert stored == expected[fits].tobytes()


def test_blocks_and_instructions_change_no_bit(tmp_path):
    rng = np.random.default_rng(0)
    values = (rng.gamma(0.5, 2.0, (1000, 13)) + 1e3).astype(np.float32)
    counted = np.arange(1000) % 7 > 0
    results = [
        write_in_blocks(tmp_path / "rows", values, counted, "float16", cuts, portable=portable)
        for portable in (False, True)
        for cuts in ([], [1, 2, 500], list(range(0, 1000, 9)))
    ]
    for stored, digits, _, (*counts, facts) in results[1:]:
        assert (stored, digits) == results[0][:2]
        assert counts == list(results[0][3][:3])
        for name, column in facts.items():
            np.testing.assert_array_equal(column, results[0][3][3][name])


def test_a_small_spread_on_a_large_mean_survives_and_a_constant_has_none(tmp_path):
    rows = np.arange(1000)
    # The first row lies far from the others.
    jump = np.where(rows == 0, 0, 16_000_000 + rows % 2)
    values = np.stack([16_000_000 + rows % 2, np.full(1000, 0.1), jump], axis=1).astype(np.float32)
    counted = np.ones(1000, dtype=np.bool_)
    *_, (_, _, _, facts) = write_in_blocks(tmp_path / "rows", values, counted, "float32", [10, 333])
    whole = values.astype(float)
    squares = np.square(whole - whole.mean(axis=0)).sum(axis=0)
    assert facts["squares"][0] == pytest.approx(250.0, rel=1e-12)
    assert facts["squares"][1] < 1e-24 * 1000 * 0.1**2
    assert facts["squares"][2] == pytest.approx(squares[2], rel=1e-12)


def test_the_first_number_that_does_not_fit_is_named_and_nothing_is_written(tmp_path):
    values = np.ones((20, 9), dtype=np.float32)
    values[3, 8], values[4, 2] = np.nan, 7e4
    values[3, 0] = 1e38
    path = tmp_path / "rows"
    with path.open("wb") as stream:
        rows = ResponseEncoder(stream.fileno(), first_byte=0, dtype="float16", num_columns=9)
        marks = np.empty(20, dtype=np.uint8)
        assert rows.write(values, np.ones(20, dtype=np.uint8), marks) == (4, 2)
    assert marks.tolist() == [1, 1, 1, 0] + [1] * 16
    assert path.stat().st_size == 0


@pytest.mark.parametrize("num_blocks", [1, 100])
def test_what_cannot_be_written_is_an_error(tmp_path, num_blocks):
    (tmp_path / "rows").write_bytes(b"")
    with (tmp_path / "rows").open("rb") as stream:
        rows = ResponseEncoder(stream.fileno(), first_byte=0, dtype="float32", num_columns=1)
        one = np.ones(1, dtype=np.uint8)
        num_fed = 0
        with pytest.raises(OSError, match="the shard cannot be written: Bad file descriptor"):
            for _ in range(num_blocks):
                rows.write(np.ones((1, 1), dtype=np.float32), one, one.copy())
                num_fed += 1
            rows.finish()
    # The queue of the thread is bounded, and an error of the thread is raised by the next block.
    assert num_fed <= 5


def test_blocks_of_another_shape_and_unknown_types_are_refused(tmp_path):
    with (tmp_path / "rows").open("wb") as stream:
        with pytest.raises(ValueError, match="must be float16, bfloat16 or float32: float8"):
            ResponseEncoder(stream.fileno(), first_byte=0, dtype="float8", num_columns=3)
        with pytest.raises(ValueError, match="open file: -1"):
            ResponseEncoder(-1, first_byte=0, dtype="float16", num_columns=3)
        rows = ResponseEncoder(stream.fileno(), first_byte=0, dtype="float16", num_columns=3)
        one = np.ones(1, dtype=np.uint8)
        with pytest.raises(ValueError, match="`rows` must have 3 columns"):
            rows.write(np.ones((1, 2), dtype=np.float32), one, one.copy())
        with pytest.raises(ValueError, match="must have 2 numbers"):
            rows.write(np.ones((2, 3), dtype=np.float32), one, one.copy())


any_bits = arrays(np.uint32, 64, elements=st.integers(0, 2**32 - 1))


@given(any_bits)
def test_bfloat16_is_rounded_as_torch_rounds_it(bits):
    values = bits.view(np.float32)
    ours = decode(encode(values, "bfloat16"), "BF16")
    torch_values = torch.from_numpy(values.copy()).to(torch.bfloat16).to(torch.float32).numpy()
    np.testing.assert_array_equal(ours, torch_values)


@given(any_bits)
def test_float16_is_rounded_as_torch_rounds_it(bits):
    values = bits.view(np.float32)
    ours = decode(encode(values, "float16"), "F16")
    torch_values = torch.from_numpy(values.copy()).to(torch.float16).to(torch.float32).numpy()
    np.testing.assert_array_equal(ours, torch_values)


@pytest.mark.parametrize(("dtype", "name"), [("float16", "F16"), ("bfloat16", "BF16")])
def test_what_is_stored_once_is_stored_again_unchanged(dtype, name):
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    once = encode(values, dtype)
    np.testing.assert_array_equal(encode(decode(once, name), dtype), once)


def test_float32_is_kept_bit_by_bit():
    values = np.array([1.0, np.nan, -0.0, 1e-45], dtype=np.float32)
    stored = encode(values, "float32")
    np.testing.assert_array_equal(stored.view(np.uint32), values.view(np.uint32))
