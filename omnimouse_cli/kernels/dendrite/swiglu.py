"""SwiGLU as kernels of the same form as the dendritic ones: the cost of a fixed function."""

import triton
import triton.language as tl


@triton.jit
def swiglu_forward_kernel(a_pointer, b_pointer, out_pointer, count, TILE: tl.constexpr):
    """Write `silu(a) * b`."""
    for tile in range(tl.program_id(0), tl.cdiv(count, TILE), tl.num_programs(0)):
        element = tile.to(tl.int64) * TILE + tl.arange(0, TILE)
        exists = element < count
        a = tl.load(a_pointer + element, mask=exists, other=0.0).to(tl.float32)
        b = tl.load(b_pointer + element, mask=exists, other=0.0).to(tl.float32)
        out = a * tl.sigmoid(a) * b
        tl.store(out_pointer + element, out.to(out_pointer.dtype.element_ty), mask=exists)


@triton.jit
def swiglu_backward_kernel(
    g_pointer, a_pointer, b_pointer, da_pointer, db_pointer, count, TILE: tl.constexpr
):
    """Recompute, and write both gradients."""
    for tile in range(tl.program_id(0), tl.cdiv(count, TILE), tl.num_programs(0)):
        element = tile.to(tl.int64) * TILE + tl.arange(0, TILE)
        exists = element < count
        g = tl.load(g_pointer + element, mask=exists, other=0.0).to(tl.float32)
        a = tl.load(a_pointer + element, mask=exists, other=0.0).to(tl.float32)
        b = tl.load(b_pointer + element, mask=exists, other=0.0).to(tl.float32)
        on = tl.sigmoid(a)
        silu = a * on
        da = g * b * (on + silu * (1 - on))
        tl.store(da_pointer + element, da.to(da_pointer.dtype.element_ty), mask=exists)
        db = g * silu
        tl.store(db_pointer + element, db.to(db_pointer.dtype.element_ty), mask=exists)
