"""Dendritic units on a GPU: one kernel forward, one backward, sums of gradients in registers."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from omnimouse_cli.kernels.dendrite.function import DendriticFunction

# R rows, U units, K cell types, H hidden units, P weights of an inner network

# A thread reads 16 bytes at once, 8 or 4 elements of a tile: sums over them need no other thread.
THREADS = 128
LOAD_BYTES = 16
FORWARD_PROGRAMS, BACKWARD_PROGRAMS = 2048, 1024


# What Triton's own library has as kernels cannot be interpreted beside a Triton that compiles.
@triton.jit
def _parts(count, size):
    return (count + size - 1) // size


@triton.jit
def _tile(tile, rows, share, COLUMNS: tl.constexpr, TILE: tl.constexpr, IS_FLAT: tl.constexpr):
    """Give row and column of every element of a tile, and which of them exist."""
    element = tl.arange(0, TILE)
    if IS_FLAT:
        row, column = tl.full((TILE,), 0, tl.int32), tile * TILE + element
    else:
        # A division that walks over one long row do without.
        across = _parts(share, COLUMNS)
        row = (tile // across) * (TILE // COLUMNS) + element // COLUMNS
        column = (tile % across) * COLUMNS + element % COLUMNS
    return row.to(tl.int64), column, (row < rows) & (column < share)


@triton.jit
def _held(u):
    return tl.minimum(tl.maximum(u, -1.0), 1.0)


@triton.jit
def _weights(weights, kind, SIZE: tl.constexpr):
    """Load the numbers of one inner network into registers."""
    numbers = ()
    for place in tl.static_range(SIZE):
        numbers = numbers + (tl.load(weights + kind * SIZE + place),)
    return numbers


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
    """Read both arguments once, write once; a program walks over tiles of one cell type.

    `IS_ABSOLUTE` computes `relu(u)` as half of `u + |u|`: the first part is linear in the
    arguments, and for the second the sign is dropped where it is read.
    """
    kind = tl.program_id(1)
    w = _weights(weights, kind, 4 * HIDDEN + 1)
    to_a, to_b, to_one = 0.0, 0.0, w[4 * HIDDEN]
    if IS_ABSOLUTE:
        for unit in tl.static_range(HIDDEN):
            half = 0.5 * w[3 * HIDDEN + unit]
            to_a += half * w[3 * unit]
            to_b += half * w[3 * unit + 1]
            to_one += half * w[3 * unit + 2]
    tiles = _parts(rows, TILE // COLUMNS) * _parts(share, COLUMNS)
    for tile in range(tl.program_id(0), tiles, tl.num_programs(0)):
        row, column, exists = _tile(tile, rows, share, COLUMNS, TILE, IS_FLAT)
        column += kind * share
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
                s = _held(u)
                out += s * (1.5 - 0.5 * (s * s)) * w[3 * HIDDEN + unit]
        result = out.to(out_pointer.dtype.element_ty)
        tl.store(out_pointer + row * out_stride + column, result, mask=exists)


@triton.jit
def _in_thread(x, EACH: tl.constexpr):
    """Sum the elements that a thread holds."""
    return tl.reduce(tl.reshape(x, (x.shape[0] // EACH, EACH)), 1, tl.standard._sum_combine)


@triton.jit
def _total(x):
    return tl.reduce(x, 0, tl.standard._sum_combine)


@triton.jit
def _flipped(x, u):
    """Give `x` with its sign flipped where that of `u` is negative."""
    sign = u.to(tl.int32, bitcast=True) & -2147483648
    return (x.to(tl.int32, bitcast=True) ^ sign).to(tl.float32, bitcast=True)


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

    Of every unit there are three sums, of `q a`, `q b` and `q`, where `q` is the output's gradient
    where the unit is on; of a smooth unit a fourth. A program writes its sums once. With
    `IS_ABSOLUTE`, `q` is the gradient with the sign of the unit instead, which is one instruction
    and not two; the linear half is added at the end. At an exact 0, the slope is then 1 and not 0.
    """
    kind = tl.program_id(1)
    SIZE: tl.constexpr = 4 * HIDDEN + 1
    w = _weights(weights, kind, SIZE)
    of_a, of_b, of_one, of_value = (), (), (), ()
    for _unit in tl.static_range(HIDDEN):
        of_a = of_a + (tl.full((TILE // EACH,), 0.0, tl.float32),)
        of_b = of_b + (tl.full((TILE // EACH,), 0.0, tl.float32),)
        of_one = of_one + (tl.full((TILE // EACH,), 0.0, tl.float32),)
        of_value = of_value + (tl.full((TILE // EACH,), 0.0, tl.float32),)
    of_g = tl.full((TILE // EACH,), 0.0, tl.float32)
    linear_a, linear_b = of_g, of_g
    to_a, to_b = 0.0, 0.0
    if IS_ABSOLUTE:
        for unit in tl.static_range(HIDDEN):
            to_a += 0.5 * w[3 * HIDDEN + unit] * w[3 * unit]
            to_b += 0.5 * w[3 * HIDDEN + unit] * w[3 * unit + 1]
    part: tl.constexpr = 0.5 if IS_ABSOLUTE else 1.0
    tiles = _parts(rows, TILE // COLUMNS) * _parts(share, COLUMNS)
    for tile in range(tl.program_id(0), tiles, tl.num_programs(0)):
        row, column, exists = _tile(tile, rows, share, COLUMNS, TILE, IS_FLAT)
        column += kind * share
        g = tl.load(g_pointer + row * g_stride + column, mask=exists, other=0.0).to(tl.float32)
        a = tl.load(a_pointer + row * a_stride + column, mask=exists, other=0.0).to(tl.float32)
        b = tl.load(b_pointer + row * b_stride + column, mask=exists, other=0.0).to(tl.float32)
        da, db = g * to_a, g * to_b
        new_a, new_b, new_one, new_value = (), (), (), ()
        for unit in tl.static_range(HIDDEN):
            last = part * w[3 * HIDDEN + unit]
            u = a * w[3 * unit] + (b * w[3 * unit + 1] + w[3 * unit + 2])
            if IS_ABSOLUTE:
                q = _flipped(g, u)
                value = of_value[unit]
            elif IS_RELU:
                q = tl.where(u <= 0, 0.0, g)
                value = of_value[unit]
            else:
                s = _held(u)
                q = g * (1.5 - 1.5 * (s * s))
                value = of_value[unit] + _in_thread(g * (s * (1.5 - 0.5 * (s * s))), EACH)
            da += q * (last * w[3 * unit])
            db += q * (last * w[3 * unit + 1])
            new_a = new_a + (of_a[unit] + _in_thread(q * a, EACH),)
            new_b = new_b + (of_b[unit] + _in_thread(q * b, EACH),)
            new_one = new_one + (of_one[unit] + _in_thread(q, EACH),)
            new_value = new_value + (value,)
        of_a, of_b, of_one, of_value = new_a, new_b, new_one, new_value
        of_g += _in_thread(g, EACH)
        if IS_ABSOLUTE:
            linear_a += _in_thread(g * a, EACH)
            linear_b += _in_thread(g * b, EACH)
        kept_a, kept_b = da.to(da_pointer.dtype.element_ty), db.to(db_pointer.dtype.element_ty)
        tl.store(da_pointer + row * d_stride + column, kept_a, mask=exists)
        tl.store(db_pointer + row * d_stride + column, kept_b, mask=exists)
    place = partial + (kind * tl.num_programs(0) + tl.program_id(0)) * SIZE
    for unit in tl.static_range(HIDDEN):
        last = w[3 * HIDDEN + unit]
        sum_a, sum_b, sum_one = of_a[unit], of_b[unit], of_one[unit]
        if IS_ABSOLUTE:
            sum_a, sum_b, sum_one = sum_a + linear_a, sum_b + linear_b, sum_one + of_g
        sum_a, sum_b = part * _total(sum_a), part * _total(sum_b)
        sum_one = part * _total(sum_one)
        tl.store(place + 3 * unit, last * sum_a)
        tl.store(place + 3 * unit + 1, last * sum_b)
        tl.store(place + 3 * unit + 2, last * sum_one)
        # Where a unit is on, its value is its three inputs' weighted sum.
        value = w[3 * unit] * sum_a + w[3 * unit + 1] * sum_b + w[3 * unit + 2] * sum_one
        if not IS_RELU:
            value = _total(of_value[unit])
        tl.store(place + 3 * HIDDEN + unit, value)
    tl.store(place + 4 * HIDDEN, _total(of_g))


def constants_of(
    function: DendriticFunction, dtype: torch.dtype, share: int, *, is_flat: bool
) -> dict[str, Any]:
    """Give what the kernels are compiled for.

    Args:
        function: Of the inner network.
        dtype: Of the arguments.
        share: Units of a cell type.
        is_flat: Whether everything is one row without gaps.
    """
    each = LOAD_BYTES // dtype.itemsize
    is_relu = function.inner == "relu"
    return {
        "HIDDEN": function.hidden,
        "IS_RELU": is_relu,
        # Where all units are off, the two halves cancel: below the rounding of 16-bit numbers.
        "IS_ABSOLUTE": is_relu and dtype != torch.float32,
        "COLUMNS": min(each * THREADS, triton.next_power_of_2(max(1, share))),
        "TILE": each * THREADS,
        "EACH": each,
        "IS_FLAT": is_flat,
    }


def triton_forward(
    a_RU: Tensor, b_RU: Tensor, weights_KP: Tensor, function: DendriticFunction
) -> Tensor:
    """Apply the function; see `native_forward`, whose signature this is."""
    rows, units = a_RU.shape
    types = weights_KP.shape[0]
    out_RU = torch.empty((rows, units), dtype=a_RU.dtype, device=a_RU.device)
    if out_RU.numel() == 0:
        return out_RU
    rows, share, is_flat = _sizes([a_RU, b_RU], types)
    constants = constants_of(function, a_RU.dtype, share, is_flat=is_flat)
    forward_kernel[_grid(rows, share, types, FORWARD_PROGRAMS, constants)](
        a_RU,
        b_RU,
        weights_KP.float().contiguous(),
        out_RU,
        rows,
        share,
        a_RU.stride(0),
        b_RU.stride(0),
        units,
        **constants,
        num_warps=THREADS // 32,
    )
    return out_RU


def triton_backward(
    g_RU: Tensor,
    a_RU: Tensor,
    b_RU: Tensor,
    weights_KP: Tensor,
    function: DendriticFunction,
    *,
    is_packed: bool,
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Give the gradients; see `native_backward`, whose signature this is."""
    rows, units = a_RU.shape
    types = weights_KP.shape[0]
    width = 2 * units if is_packed else units
    first = torch.empty((rows, width), dtype=a_RU.dtype, device=a_RU.device)
    of_arguments = (first,) if is_packed else (first, torch.empty_like(first))
    if a_RU.numel() == 0:
        return of_arguments, torch.zeros_like(weights_KP)
    gaps = [first[:, :units]] if is_packed else []
    rows, share, is_flat = _sizes([g_RU, a_RU, b_RU, *gaps], types)
    constants = constants_of(function, a_RU.dtype, share, is_flat=is_flat)
    grid = _grid(rows, share, types, BACKWARD_PROGRAMS, constants)
    shape = (types, grid[0], function.num_weights)
    partial = torch.empty(shape, dtype=torch.float32, device=a_RU.device)
    backward_kernel[grid](
        g_RU,
        a_RU,
        b_RU,
        weights_KP.float().contiguous(),
        first,
        first[:, units:] if is_packed else of_arguments[1],
        partial,
        rows,
        share,
        g_RU.stride(0),
        a_RU.stride(0),
        b_RU.stride(0),
        width,
        **constants,
        num_warps=THREADS // 32,
    )
    # The second stage: few numbers, in one order, so the same bits every time.
    return of_arguments, partial.sum(1, dtype=torch.float64).to(weights_KP.dtype)


def _sizes(matrices: list[Tensor], types: int) -> tuple[int, int, bool]:
    """Give rows and units of a type; matrices without gaps are one long row of one type."""
    rows, units = matrices[0].shape
    whole = all(matrix.is_contiguous() for matrix in matrices)
    # Places in a row are 32-bit numbers.
    if types == 1 and whole and rows * units < 2**31 - 2**20:
        return 1, rows * units, True
    return rows, units // types, False


def _grid(
    rows: int, share: int, types: int, programs: int, constants: dict[str, Any]
) -> tuple[int, int]:
    columns, tile = constants["COLUMNS"], constants["TILE"]
    tiles = triton.cdiv(rows, tile // columns) * triton.cdiv(share, columns)
    return min(tiles, max(1, programs // types)), types
