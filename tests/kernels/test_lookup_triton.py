"""The table's Triton kernels interpreted, against float64, and compiled for absent GPUs."""

import pytest
import torch

from omnimouse_cli.kernels.dendrite import DendriticFunction
from omnimouse_cli.kernels.dendrite.lookup import Grid, build_tables
from omnimouse_cli.kernels.dendrite.lookup.reference import reference_interpolate

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("poisoned_memory")]

pytest.importorskip("triton", reason="there is no Triton for this machine")

FUNCTION, GRID = DendriticFunction(3), Grid(16, 2.0)
PRECISIONS = [torch.float32, torch.bfloat16, torch.float16]


@pytest.fixture(scope="module")
def kernels(interpreted):
    return interpreted("omnimouse_cli.kernels.dendrite.lookup.triton")


@pytest.fixture(scope="module")
def tables():
    """Of three cell types."""
    weights = torch.randn(3, FUNCTION.num_weights, generator=torch.Generator().manual_seed(1))
    return build_tables(weights, FUNCTION, GRID).values


def inputs_of(shape, dtype):
    """Gradient and arguments, half of which lie beyond the grid, some far away."""
    generator = torch.Generator().manual_seed(0)
    g, a, b = (2 * torch.randn(*shape, generator=generator) for _ in range(3))
    far = torch.rand(shape, generator=generator) > 0.9
    return [x.to(dtype) for x in (g, torch.where(far, 30 * a, a), b)]


def everything(kernels, inputs, table):
    out = kernels.triton_forward(*inputs[1:], table, GRID.limit)
    return [out, *kernels.triton_backward(*inputs, table, GRID.limit)]


def exact(inputs, table, dtype):
    g, *rest = (x.to(dtype) for x in inputs) if dtype else inputs
    leaves = [x.detach().requires_grad_() for x in rest]
    out = reference_interpolate(*leaves, table, GRID.limit)
    return [out.detach(), *torch.autograd.grad(out, leaves, g)]


def require_close(found, inputs, table):
    """Errors are at most twice those of plain PyTorch in the same precision."""
    truths, plain = exact(inputs, table, torch.float64), exact(inputs, table, None)
    for ours, theirs, truth in zip(found, plain, truths, strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.isfinite(ours).all()
        error, allowed = ((x.double() - truth).abs().max() for x in (ours, theirs))
        # The interpreter truncates bfloat16 where a GPU rounds: an ulp and not half of one.
        is_truncated = ours.dtype == torch.bfloat16
        ulps, dtype = (0.5, ours.dtype) if is_truncated else (4, torch.float32)
        slack = ulps * torch.finfo(dtype).eps * truth.abs().max()
        assert error <= 2 * allowed + slack


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
@pytest.mark.parametrize(
    ("shape", "types"), [((7, 36), 3), ((3, 700), 2), ((5, 301), 1), ((1, 1), 1)], ids=str
)
def test_values_and_gradients_are_those_of_float64(kernels, tables, dtype, shape, types):
    inputs = inputs_of(shape, dtype)
    require_close(everything(kernels, inputs, tables[:types]), inputs, tables[:types])


@pytest.mark.parametrize("types", [1, 3])
def test_halves_of_one_tensor_are_arguments_as_they_are(kernels, tables, types):
    g, a, b = inputs_of((9, 30), torch.float32)
    both = torch.cat([a, b], dim=1)
    views = both[:, :30], both[:, 30:]
    found = everything(kernels, (g, *views), tables[:types])
    expected = everything(kernels, (g, a, b), tables[:types])
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))


def test_a_second_run_gives_the_same_bits(kernels, tables):
    inputs = inputs_of((40, 257), torch.bfloat16)
    first, second = (everything(kernels, inputs, tables[:1]) for _ in range(2))
    assert all(torch.equal(x, y) for x, y in zip(first, second, strict=True))


def test_more_tiles_than_programs_are_all_computed(kernels, tables, monkeypatch):
    monkeypatch.setattr(kernels, "PROGRAMS", 2)
    inputs = inputs_of((11, 530), torch.float32)
    require_close(everything(kernels, inputs, tables[:2]), inputs, tables[:2])


def test_a_nan_stays_where_it_is_and_gets_some_cell_of_the_table(kernels, tables):
    _, a, b = inputs_of((4, 40), torch.float32)
    a[1, 3], a[2, 7], b[2, 8] = torch.nan, torch.nan, torch.nan
    b[1, 3], a[2, 8] = 50.0, -50.0
    out = kernels.triton_forward(a, b, tables[:1], GRID.limit)
    assert out.isnan().nonzero().tolist() == [[1, 3], [2, 7], [2, 8]]


def test_nothing_is_computed_of_nothing(kernels, tables):
    out, *_ = everything(kernels, inputs_of((0, 8), torch.float32), tables[:1])
    assert out.shape == (0, 8)


def test_products_and_sums_are_contracted_in_every_launch(kernels, tables, launches, monkeypatch):
    found = launches(kernels, monkeypatch)
    everything(kernels, inputs_of((2, 8), torch.float32), tables[:1])
    assert [options["enable_fp_fusion"] for options in found] == [True, True]


@pytest.mark.parametrize(
    ("capability", "dtype"), [(80, "float32"), (90, "bfloat16"), (100, "bfloat16")]
)
def test_compiled_kernels_keep_everything_in_registers(in_other_process, capability, dtype):
    disassemble = pytest.importorskip("omnimouse_cli.kernels.dendrite.disassemble")
    forward, backward = in_other_process(disassemble.compile_lookup, Grid(), dtype, capability)
    each = 16 // getattr(torch, dtype).itemsize
    for kernel, arguments, results in ((forward, 2, 1), (backward, 3, 2)):
        assert kernel.spilled_bytes == kernel.shared_bytes == 0
        assert not kernel.uses_local_memory
        assert kernel.registers <= 64
        # The loop over tiles needs no other thread: no shuffle, no barrier, no atomic.
        assert 100 < len(kernel.loop) < len(kernel.instructions)
        assert not [x for x in kernel.loop if x.startswith(("SHFL", "BAR", "RED", "ATOM"))]
        # One read of each argument and of two pairs for each element, one write of each result.
        names = [name.partition(".")[0] for name in kernel.loop]
        assert names.count("LDG") == arguments + 2 * each
        assert names.count("STG") == results


@pytest.mark.parametrize(
    ("capability", "dtype"), [(80, "bfloat16"), (90, "float32"), (100, "float16")]
)
def test_sizes_that_16_does_not_divide_compile_without_spills(in_other_process, capability, dtype):
    disassemble = pytest.importorskip("omnimouse_cli.kernels.dendrite.disassemble")
    arguments = (Grid(), dtype, capability, (7, 36), 4)
    for kernel in in_other_process(disassemble.compile_lookup, *arguments):
        assert kernel.spilled_bytes == kernel.shared_bytes == 0
