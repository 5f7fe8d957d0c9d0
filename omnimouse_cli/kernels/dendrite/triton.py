"""Dendritic units on a GPU: one kernel forward, one backward, sums of gradients in registers."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from omnimouse_cli.kernels.dendrite.function import DendriticFunction
from omnimouse_cli.kernels.dendrite.tiles import (
    OPTIONS,
    TiledSize,
    num_parts,
    tile_elements,
    tiled_size,
)

# R rows, U units, K cell types, H hidden units, P weights of an inner network

FORWARD_PROGRAMS, BACKWARD_PROGRAMS = 2048, 1024


@triton.jit
def _clamp(u):
    return tl.minimum(tl.maximum(u, -1.0), 1.0)


@triton.jit
def _smoothstep(u):
    s = _clamp(u)
    return s * (1.5 - 0.5 * (s * s))


@triton.jit
def _load_weights(weights, kind, SIZE: tl.constexpr):
    """Load the weights of one inner network into registers."""
    loaded = ()
    for index in tl.static_range(SIZE):
        loaded = loaded + (tl.load(weights + kind * SIZE + index),)
    return loaded


@triton.jit
def forward_kernel(
    a_pointer,
    b_pointer,
    weights,
    out_pointer,
    rows,
    share,
    a_stride,
    b_stride,
    out_stride,
    HIDDEN: tl.constexpr,
    IS_RELU: tl.constexpr,
    IS_ABSOLUTE: tl.constexpr,
    COLUMNS: tl.constexpr,
    TILE: tl.constexpr,
    EACH: tl.constexpr,
    IS_FLAT: tl.constexpr,
):
    """Read both arguments once, write once; a program loops over tiles of one cell type.

    `IS_ABSOLUTE` computes `relu(u)` as half of `u + |u|`: the first part is linear in the
    arguments, and for the second the sign is dropped where it is read.
    """
    kind = tl.program_id(1)
    w = _load_weights(weights, kind, 4 * HIDDEN + 1)
    to_a, to_b, to_one = 0.0, 0.0, w[4 * HIDDEN]
    if IS_ABSOLUTE:
        for unit in tl.static_range(HIDDEN):
            half = 0.5 * w[3 * HIDDEN + unit]
            to_a += half * w[3 * unit]
            to_b += half * w[3 * unit + 1]
            to_one += half * w[3 * unit + 2]
    tiles = num_parts(rows, TILE // COLUMNS) * num_parts(share, COLUMNS)
    for tile in range(tl.program_id(0), tiles, tl.num_programs(0)):
        row, column, exists = tile_elements(tile, kind, rows, share, COLUMNS, TILE, IS_FLAT)
        a = tl.load(a_pointer + row * a_stride + column, mask=exists, other=0.0).to(tl.float32)
        b = tl.load(b_pointer + row * b_stride + column, mask=exists, other=0.0).to(tl.float32)
        out = (
            a * to_a + b * to_b + to_one
            if IS_ABSOLUTE
            else tl.full((TILE,), 0.0, tl.float32) + to_one
        )
        for unit in tl.static_range(HIDDEN):
            u = a * w[3 * unit] + (b * w[3 * unit + 1] + w[3 * unit + 2])
            if IS_ABSOLUTE:
                out += tl.abs(u) * (0.5 * w[3 * HIDDEN + unit])
            elif IS_RELU:
                out += tl.where(u < 0, 0.0, u) * w[3 * HIDDEN + unit]
            else:
                out += _smoothstep(u) * w[3 * HIDDEN + unit]
        result = out.to(out_pointer.dtype.element_ty)
        tl.store(out_pointer + row * out_stride + column, result, mask=exists)


@triton.jit
def _sum_in_thread(x, EACH: tl.constexpr):
    """Sum the elements that a thread holds."""
    return tl.reduce(tl.reshape(x, (x.shape[0] // EACH, EACH)), 1, tl.standard._sum_combine)


@triton.jit
def _total(x):
    return tl.reduce(x, 0, tl.standard._sum_combine)


@triton.jit
def _flip_sign(x, u):
    """Return `x` with its sign flipped where `u` is negative."""
    sign = u.to(tl.int32, bitcast=True) & -2147483648
    return (x.to(tl.int32, bitcast=True) ^ sign).to(tl.float32, bitcast=True)


@triton.jit
def _through(g, u, IS_RELU: tl.constexpr, IS_ABSOLUTE: tl.constexpr):
    """Return a gradient before the non-linearity, or with the sign of the unit."""
    if IS_ABSOLUTE:
        q = _flip_sign(g, u)
    elif IS_RELU:
        q = tl.where(u <= 0, 0.0, g)
    else:
        s = _clamp(u)
        q = g * (1.5 - 1.5 * (s * s))
    return q


@triton.jit
def _write_sums(
    address, w, sums, linear, HIDDEN: tl.constexpr, IS_RELU: tl.constexpr, IS_ABSOLUTE: tl.constexpr
):
    """Write a program's gradient of the weights, in their order."""
    of_a, of_b, of_one, of_value = sums
    linear_a, linear_b, of_g = linear
    part: tl.constexpr = 0.5 if IS_ABSOLUTE else 1.0
    for unit in tl.static_range(HIDDEN):
        last = w[3 * HIDDEN + unit]
        sum_a, sum_b, sum_one = of_a[unit], of_b[unit], of_one[unit]
        if IS_ABSOLUTE:
            sum_a, sum_b, sum_one = sum_a + linear_a, sum_b + linear_b, sum_one + of_g
        sum_a, sum_b = part * _total(sum_a), part * _total(sum_b)
        sum_one = part * _total(sum_one)
        tl.store(address + 3 * unit, last * sum_a)
        tl.store(address + 3 * unit + 1, last * sum_b)
        tl.store(address + 3 * unit + 2, last * sum_one)
        # Where a unit is on, its value is its three inputs' weighted sum.
        value = w[3 * unit] * sum_a + w[3 * unit + 1] * sum_b + w[3 * unit + 2] * sum_one
        if not IS_RELU:
            value = _total(of_value[unit])
        tl.store(address + 3 * HIDDEN + unit, value)
    tl.store(address + 4 * HIDDEN, _total(of_g))


@triton.jit
def backward_kernel(
    g_pointer,
    a_pointer,
    b_pointer,
    weights,
    da_pointer,
    db_pointer,
    partial,
    rows,
    share,
    g_stride,
    a_stride,
    b_stride,
    d_stride,
    HIDDEN: tl.constexpr,
    IS_RELU: tl.constexpr,
    IS_ABSOLUTE: tl.constexpr,
    COLUMNS: tl.constexpr,
    TILE: tl.constexpr,
    EACH: tl.constexpr,
    IS_FLAT: tl.constexpr,
):
    """Recompute, write both gradients; the weights' gradients are summed in registers.

    Every unit has three sums, of `q a`, `q b` and `q`, where `q` is the output's gradient
    where the unit is on; a smooth unit has a fourth. A program writes its sums once. With
    `IS_ABSOLUTE`, `q` is the gradient with the sign of the unit instead, which is one instruction
    and not two; the linear half is added at the end. At an exact 0, the slope is then 1 and not 0.
    """
    kind = tl.program_id(1)
    w = _load_weights(weights, kind, 4 * HIDDEN + 1)
    of_a, of_b, of_one, of_value = (), (), (), ()
    for _unit in tl.static_range(HIDDEN):
        of_a = of_a + (tl.full((TILE // EACH,), 0.0, tl.float32),)
        of_b = of_b + (tl.full((TILE // EACH,), 0.0, tl.float32),)
        of_one = of_one + (tl.full((TILE // EACH,), 0.0, tl.float32),)
        of_value = of_value + (tl.full((TILE // EACH,), 0.0, tl.float32),)
    of_g = tl.full((TILE // EACH,), 0.0, tl.float32)
    linear_a, linear_b, to_a, to_b = of_g, of_g, 0.0, 0.0
    if IS_ABSOLUTE:
        for unit in tl.static_range(HIDDEN):
            to_a += 0.5 * w[3 * HIDDEN + unit] * w[3 * unit]
            to_b += 0.5 * w[3 * HIDDEN + unit] * w[3 * unit + 1]
    part: tl.constexpr = 0.5 if IS_ABSOLUTE else 1.0
    tiles = num_parts(rows, TILE // COLUMNS) * num_parts(share, COLUMNS)
    for tile in range(tl.program_id(0), tiles, tl.num_programs(0)):
        row, column, exists = tile_elements(tile, kind, rows, share, COLUMNS, TILE, IS_FLAT)
        g = tl.load(g_pointer + row * g_stride + column, mask=exists, other=0.0).to(tl.float32)
        a = tl.load(a_pointer + row * a_stride + column, mask=exists, other=0.0).to(tl.float32)
        b = tl.load(b_pointer + row * b_stride + column, mask=exists, other=0.0).to(tl.float32)
        da, db = g * to_a, g * to_b
        new_a, new_b, new_one, new_value = (), (), (), ()
        for unit in tl.static_range(HIDDEN):
            last = part * w[3 * HIDDEN + unit]
            u = a * w[3 * unit] + (b * w[3 * unit + 1] + w[3 * unit + 2])
            value = of_value[unit]
            q = _through(g, u, IS_RELU, IS_ABSOLUTE)
            if not IS_RELU:
                value += _sum_in_thread(g * _smoothstep(u), EACH)
            da += q * (last * w[3 * unit])
            db += q * (last * w[3 * unit + 1])
            new_a = new_a + (of_a[unit] + _sum_in_thread(q * a, EACH),)
            new_b = new_b + (of_b[unit] + _sum_in_thread(q * b, EACH),)
            new_one = new_one + (of_one[unit] + _sum_in_thread(q, EACH),)
            new_value = new_value + (value,)
        of_a, of_b, of_one, of_value = new_a, new_b, new_one, new_value
        of_g += _sum_in_thread(g, EACH)
        if IS_ABSOLUTE:
            linear_a += _sum_in_thread(g * a, EACH)
            linear_b += _sum_in_thread(g * b, EACH)
        offset = row * d_stride + column
        tl.store(da_pointer + offset, da.to(da_pointer.dtype.element_ty), mask=exists)
        tl.store(db_pointer + offset, db.to(db_pointer.dtype.element_ty), mask=exists)
    target = partial + (kind * tl.num_programs(0) + tl.program_id(0)) * (4 * HIDDEN + 1)
    sums, linear = (of_a, of_b, of_one, of_value), (linear_a, linear_b, of_g)
    _write_sums(target, w, sums, linear, HIDDEN, IS_RELU, IS_ABSOLUTE)


def compile_constants(
    function: DendriticFunction, dtype: torch.dtype, size: TiledSize
) -> dict[str, Any]:
    """Return the constants for which the kernels are compiled.

    Args:
        function: Shape of the inner network.
        dtype: Type of the arguments.
        size: Size of the matrices.
    """
    is_relu = function.inner == "relu"
    return {
        "HIDDEN": function.hidden,
        "IS_RELU": is_relu,
        # Where all units are off, the two halves cancel: below the rounding of 16-bit numbers.
        "IS_ABSOLUTE": is_relu and dtype != torch.float32,
        "EACH": size.each,
        **size.constants,
    }


def triton_forward(
    a_RU: Tensor, b_RU: Tensor, weights_KP: Tensor, function: DendriticFunction
) -> Tensor:
    """Apply the function; see `native_forward`, which has the same signature."""
    types = weights_KP.shape[0]
    out_RU = torch.empty(a_RU.shape, dtype=a_RU.dtype, device=a_RU.device)
    if out_RU.numel() == 0:
        return out_RU
    size = tiled_size([a_RU, b_RU], types)
    constants = compile_constants(function, a_RU.dtype, size) | OPTIONS
    inputs = (a_RU, b_RU, weights_KP.float().contiguous())
    strides = (a_RU.stride(0), b_RU.stride(0), out_RU.stride(0))
    grid = size.grid(types, FORWARD_PROGRAMS)
    forward_kernel[grid](*inputs, out_RU, size.rows, size.share, *strides, **constants)
    return out_RU


def triton_backward(
    g_RU: Tensor, a_RU: Tensor, b_RU: Tensor, weights_KP: Tensor, function: DendriticFunction
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the gradients; see `native_backward`, which has the same signature."""
    types = weights_KP.shape[0]
    da_RU, db_RU = (torch.empty(a_RU.shape, dtype=a_RU.dtype, device=a_RU.device) for _ in range(2))
    if a_RU.numel() == 0:
        return da_RU, db_RU, torch.zeros_like(weights_KP)
    size = tiled_size([g_RU, a_RU, b_RU], types)
    constants = compile_constants(function, a_RU.dtype, size) | OPTIONS
    grid = size.grid(types, BACKWARD_PROGRAMS)
    shape = (types, grid[0], function.num_weights)
    partial = torch.empty(shape, dtype=torch.float32, device=a_RU.device)
    inputs = (g_RU, a_RU, b_RU, weights_KP.float().contiguous())
    outputs = (da_RU, db_RU, partial)
    strides = (g_RU.stride(0), a_RU.stride(0), b_RU.stride(0), da_RU.stride(0))
    backward_kernel[grid](*inputs, *outputs, size.rows, size.share, *strides, **constants)
    # The second stage sums few numbers in a fixed order, so that runs give the same bits.
    return da_RU, db_RU, partial.sum(1, dtype=torch.float64).to(weights_KP.dtype)
