"""The Triton kernels interpreted, against float64, and compiled for absent GPUs."""

import math

import pytest
import torch

from omnimouse_cli.kernels.dendrite import MAX_REGISTER_UNITS, DendriticFunction, fits_registers
from omnimouse_cli.kernels.dendrite.reference import reference_dendrite

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("poisoned_memory")]

pytest.importorskip("triton", reason="there is no Triton for this machine")

FUNCTIONS = [DendriticFunction(8, 1, "relu"), DendriticFunction(3, 1, "smoothstep")]
PRECISIONS = [torch.float32, torch.bfloat16, torch.float16]


@pytest.fixture(scope="module")
def kernels(interpreted):
    return interpreted("omnimouse_cli.kernels.dendrite.triton")


def inputs_of(function, shape, dtype, types=1):
    generator = torch.Generator().manual_seed(0)
    a, b, g = (torch.randn(*shape, generator=generator).to(dtype) for _ in range(3))
    weights = torch.randn(types, function.num_weights, generator=generator) / 2
    return g, a, b, weights


def everything(kernels, function, inputs):
    _, a, b, weights = inputs
    out = kernels.triton_forward(a, b, weights, function)
    return [out, *kernels.triton_backward(*inputs, function)]


def exact(function, inputs, dtype):
    g, *rest = (x.to(dtype) for x in inputs) if dtype else inputs
    leaves = [x.detach().requires_grad_() for x in rest]
    out = reference_dendrite(*leaves, function)
    return [out.detach(), *torch.autograd.grad(out, leaves, g)]


def require_close(found, function, inputs):
    """Errors are at most twice those of plain PyTorch in the same precision."""
    truths, plain = exact(function, inputs, torch.float64), exact(function, inputs, None)
    terms = [function.hidden + 1] * 3 + [inputs[0].numel()]
    for ours, theirs, truth, num_terms in zip(found, plain, truths, terms, strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.isfinite(ours).all()
        error, allowed = ((x.double() - truth).abs().max() for x in (ours, theirs))
        # Plain PyTorch can be exact by luck; a sum of n terms takes about log2(n) roundings.
        slack = (4 + math.log2(num_terms)) * torch.finfo(torch.float32).eps
        if ours.dtype == torch.bfloat16:
            # The interpreter truncates bfloat16 where a GPU rounds: an ulp and not half of one.
            slack = 0.5 * torch.finfo(ours.dtype).eps
        assert error <= 2 * allowed + slack * truth.abs().max()


@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
@pytest.mark.parametrize(
    ("shape", "types"), [((7, 36), 4), ((3, 700), 2), ((5, 301), 1), ((1, 1), 1)], ids=str
)
def test_values_and_gradients_are_those_of_float64(kernels, function, dtype, shape, types):
    inputs = inputs_of(function, shape, dtype, types)
    require_close(everything(kernels, function, inputs), function, inputs)


@pytest.mark.parametrize("types", [1, 3])
def test_halves_of_one_tensor_are_arguments_as_they_are(kernels, types):
    function = FUNCTIONS[0]
    g, a, b, weights = inputs_of(function, (9, 30), torch.float32, types)
    both = torch.cat([a, b], dim=1)
    views = both[:, :30], both[:, 30:]
    found = everything(kernels, function, (g, *views, weights))
    expected = everything(kernels, function, (g, a, b, weights))
    for ours, theirs in zip(found[:3], expected[:3], strict=True):
        assert torch.equal(ours, theirs)
    require_close(found, function, (g, a, b, weights))


def test_a_second_run_gives_the_same_bits(kernels):
    inputs = inputs_of(FUNCTIONS[0], (40, 257), torch.bfloat16)
    first = everything(kernels, FUNCTIONS[0], inputs)
    second = everything(kernels, FUNCTIONS[0], inputs)
    assert all(torch.equal(x, y) for x, y in zip(first, second, strict=True))


def test_more_tiles_than_programs_are_all_computed(kernels, monkeypatch):
    monkeypatch.setattr(kernels, "FORWARD_PROGRAMS", 2)
    monkeypatch.setattr(kernels, "BACKWARD_PROGRAMS", 2)
    inputs = inputs_of(FUNCTIONS[0], (11, 530), torch.float32, 2)
    require_close(everything(kernels, FUNCTIONS[0], inputs), FUNCTIONS[0], inputs)


def test_nothing_is_computed_of_nothing(kernels):
    inputs = inputs_of(FUNCTIONS[0], (0, 8), torch.float32)
    out, *_, of_weights = everything(kernels, FUNCTIONS[0], inputs)
    assert out.shape == (0, 8)
    assert torch.equal(of_weights, torch.zeros_like(of_weights))


def test_products_and_sums_are_contracted_in_every_launch(kernels, launches, monkeypatch):
    found = launches(kernels, monkeypatch)
    everything(kernels, FUNCTIONS[0], inputs_of(FUNCTIONS[0], (2, 8), torch.float32))
    assert [options["enable_fp_fusion"] for options in found] == [True, True]


@pytest.mark.parametrize(
    ("capability", "dtype", "instructions"),
    [(80, "float32", 150), (90, "bfloat16", 125), (100, "bfloat16", 125)],
)
def test_compiled_kernels_keep_everything_in_registers(
    in_other_process, capability, dtype, instructions
):
    disassemble = pytest.importorskip("omnimouse_cli.kernels.dendrite.disassemble")
    arguments = (DendriticFunction(), dtype, capability)
    forward, backward = in_other_process(disassemble.compile_dendrite, *arguments)
    for kernel, registers in ((forward, 80), (backward, 184)):
        assert kernel.spilled_bytes == 0
        assert not kernel.uses_local_memory
        assert kernel.registers <= registers
        # The loop over tiles needs no other thread: no shuffle, no barrier, no atomic.
        assert 100 < len(kernel.loop) < len(kernel.instructions)
        assert not [x for x in kernel.loop if x.startswith(("SHFL", "BAR", "RED", "ATOM"))]
    # One read of each argument, one write of each result.
    names = [name.partition(".")[0] for name in backward.loop]
    assert (names.count("LDG"), names.count("STG")) == (3, 2)
    # Both passes, per element: half as many again where products and sums are not contracted.
    elements = 16 // getattr(torch, dtype).itemsize
    assert (len(forward.loop) + len(backward.loop)) / elements <= instructions


@pytest.mark.parametrize(("inner", "hidden"), MAX_REGISTER_UNITS.items())
def test_the_largest_network_that_is_said_to_fit_registers_does(in_other_process, inner, hidden):
    disassemble = pytest.importorskip("omnimouse_cli.kernels.dendrite.disassemble")
    function = DendriticFunction(hidden, 1, inner)
    assert fits_registers(function)
    assert not fits_registers(function._replace(hidden=hidden + 1))
    _, kernel = in_other_process(disassemble.compile_dendrite, function, "bfloat16", 90)
    assert kernel.spilled_bytes == 0
    assert not kernel.uses_local_memory


@pytest.mark.parametrize("capability", [80, 90, 100])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_sizes_that_16_does_not_divide_compile_without_spills(in_other_process, capability, dtype):
    disassemble = pytest.importorskip("omnimouse_cli.kernels.dendrite.disassemble")
    arguments = (DendriticFunction(), dtype, capability, (7, 36), 4)
    for kernel in in_other_process(disassemble.compile_dendrite, *arguments):
        assert kernel.spilled_bytes == 0
        assert not [x for x in kernel.loop if x.startswith(("SHFL", "BAR", "RED", "ATOM"))]


@pytest.mark.parametrize(("offset", "gap"), [(0, 0), (1, 0), (0, 16), (0, 1)])
def test_a_thread_reads_16_bytes_at_once_where_addresses_allow_it(kernels, offset, gap):
    memory = torch.zeros(8 * 64 + offset, dtype=torch.bfloat16)
    matrix = memory[offset : offset + 8 * (32 + gap)].view(8, 32 + gap)[:, :32]
    is_aligned = offset == 0 and gap != 1
    assert kernels.tiled_size([matrix], 2).each == (8 if is_aligned else 1)
