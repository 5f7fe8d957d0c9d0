"""Rounding to 16 bits is that of the libraries that define it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from omnimouse_cli.shard.numbers import decode, encode

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
