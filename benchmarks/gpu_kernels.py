"""Checks of gpu.py that need no model: the device's ceilings, kernels and attention.

python benchmarks/gpu_kernels.py facts|ceilings|errors|kernels|attention
"""

import importlib.metadata
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from gpu_measure import (
    GPU,
    IS_QUICK,
    ROUNDS,
    STRATEGIES,
    STRATEGY,
    WINDOWS,
    attempt,
    milliseconds,
    show,
)
from machine import run_facts
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from omnimouse_cli.config.sizes import SIZES
from omnimouse_cli.cost.training import make_task
from omnimouse_cli.kernels.attention import visible_pairs
from omnimouse_cli.kernels.attention.flex import block_mask
from omnimouse_cli.kernels.dendrite import DendriticFunction, dendrite
from omnimouse_cli.kernels.dendrite.lookup import Grid, build_tables, interpolate
from omnimouse_cli.kernels.dendrite.reference import reference_dendrite
from omnimouse_cli.model.sequences import build_sequences, token_intervals

FUNCTIONS = (DendriticFunction(), DendriticFunction(12), DendriticFunction(8, 1, "smoothstep"))
PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)
SHAPES = (((7, 36), 4), ((129, 520), 1), ((5, 301), 1), ((16, 512), 8))
# Activations of a layer of 300M, and the hidden layer of 80M for 8 windows of 4,096 tokens.
MATRICES = ((64, 256),) if IS_QUICK else ((8192, 32768), (32768, 2176))
FEW_ROUNDS = min(ROUNDS, 8)
# A compiled backward pass that is timed again and again keeps its inputs.
torch._functorch.config.donated_buffer = False


def facts() -> None:
    """Machine, versions, commit."""
    show(
        **run_facts(),
        capability=torch.cuda.get_device_capability(),
        gpu_memory_bytes=torch.cuda.mem_get_info()[1],
        triton=importlib.metadata.version("triton"),
    )
    # -P keeps the sources in the working folder from hiding an installed package.
    subprocess.run([sys.executable, "-P", "-m", "omnimouse_cli", "doctor"], check=False)


def ceilings() -> None:
    """What the device gives: products, copies, and products of the shapes of an 80M step."""
    width = 512 if IS_QUICK else 8192
    attempt(_product, width, width, width, name="product")
    attempt(_copy, 2**20 if IS_QUICK else 2**31, name="copy")
    tokens = 64 if IS_QUICK else WINDOWS * 4096
    for inner, outer in ((768, 2304), (768, 768), (768, 2176), (2176, 768)):
        attempt(_product, tokens, inner, outer, name="product of 80M")
    attempt(_copy_from_host, 2**24, name="copy from pinned memory")


def _product(rows: int, inner: int, columns: int) -> dict[str, Any]:
    a = torch.randn(rows, inner, device=GPU, dtype=torch.bfloat16)
    b = torch.randn(inner, columns, device=GPU, dtype=torch.bfloat16)
    rate = 2 * rows * inner * columns / milliseconds(lambda: a @ b) / 1e9
    return {"shape": [rows, inner, columns], "tflops_per_second": rate}


def _copy(num_bytes: int) -> dict[str, Any]:
    source = torch.empty(num_bytes, device=GPU, dtype=torch.uint8)
    target = torch.empty_like(source)
    return {"tb_per_second": 2 * num_bytes / milliseconds(lambda: target.copy_(source)) / 1e9}


def _copy_from_host(num_bytes: int) -> dict[str, Any]:
    host = torch.empty(num_bytes, dtype=torch.uint8, pin_memory=True)
    sent = milliseconds(lambda: host.to(GPU, non_blocking=True))
    return {"gb_per_second": num_bytes / sent / 1e6}


def errors() -> None:
    """Dendritic units and lookup tables: relative errors against float64, and equal bits."""
    for function in FUNCTIONS:
        for dtype in PRECISIONS:
            for shape, types in SHAPES:
                row = {"name": function.name, "precision": str(dtype), "shape": shape}
                attempt(_dendrite_errors, function, dtype, shape, types, **row)
    attempt(_table_errors, name="lookup table")


def _relative_error(found: Tensor, exact: Tensor) -> float:
    return float((found.double().cpu() - exact.double()).norm() / exact.double().norm())


def _dendrite_errors(
    function: DendriticFunction, dtype: torch.dtype, shape: tuple[int, int], types: int
) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    a, b, g = (torch.randn(shape, generator=generator).to(GPU, dtype) for _ in range(3))
    weights = (torch.randn(types, function.num_weights, generator=generator) / 2).to(GPU)

    def everything(way: Callable[..., Tensor], *inputs: Tensor) -> list[Tensor]:
        leaves = [x.detach().requires_grad_() for x in inputs]
        out = way(*leaves, function)
        return [out.detach(), *torch.autograd.grad(out, leaves, g.to(out.device, out.dtype))]

    found, again = (everything(dendrite, a, b, weights) for _ in range(2))
    exact = everything(reference_dendrite, *(x.double().cpu() for x in (a, b, weights)))
    return {
        "errors": [_relative_error(x, y) for x, y in zip(found, exact, strict=True)],
        "has_equal_bits": all(torch.equal(x, y) for x, y in zip(found, again, strict=True)),
    }


def _table_errors() -> dict[str, Any]:
    table = build_tables(torch.randn(1, 33) / 2, DendriticFunction(), Grid()).values
    a, b = (torch.randn(513, 2176) * 3 for _ in range(2))
    exact = interpolate(a, b, table, Grid().limit)
    found = interpolate(a.to(GPU), b.to(GPU), table.to(GPU), Grid().limit)
    return {"errors": [_relative_error(found, exact)]}


def kernels() -> None:
    """Forward and backward pass of dendritic units beside SwiGLU, compiled and eager."""
    for rows, units in MATRICES:
        shape = {"rows": rows, "units": units}
        a, b, g = (torch.randn(rows, units, device=GPU, dtype=torch.bfloat16) for _ in range(3))
        # Three tensors are moved forward and five backward, and two by a copy.
        floor = 4 * milliseconds(partial(g.copy_, a))
        leaves = [a.requires_grad_(), b.requires_grad_()]
        fused = torch.compile(_swiglu, dynamic=False)
        first = milliseconds_of_passes(fused, leaves, g)
        attempt(_compare, fused, leaves, g, first, floor, name="swiglu, compiled", **shape)
        attempt(_compare, _swiglu, leaves, g, first, floor, name="swiglu, eager", **shape)
        for function in FUNCTIONS:
            weights = torch.randn(1, function.num_weights, device=GPU, requires_grad=True)
            way, inputs = partial(dendrite, function=function), [*leaves, weights]
            name = f"dendritic, {function.name}"
            attempt(_compare, way, inputs, g, first, floor, name=name, **shape)
        table = build_tables(torch.randn(1, 33), DendriticFunction(), Grid()).values.to(GPU)
        way = partial(interpolate, table=table, limit=Grid().limit)
        attempt(_compare, way, leaves, g, first, floor, name="lookup table", **shape)


def _swiglu(a: Tensor, b: Tensor) -> Tensor:
    return functional.silu(a) * b


def milliseconds_of_passes(
    way: Callable[..., Tensor], inputs: Sequence[Tensor], g: Tensor, rounds: int = ROUNDS
) -> tuple[float, float]:
    """Return the times of a forward and of a backward pass."""
    with torch.no_grad():
        forward = milliseconds(lambda: way(*inputs), rounds)
    out = way(*inputs)
    backward = milliseconds(lambda: torch.autograd.grad(out, inputs, g, retain_graph=True), rounds)
    return forward, backward


def _compare(
    way: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    g: Tensor,
    fused: tuple[float, float],
    floor: float,
) -> dict[str, Any]:
    forward, backward = milliseconds_of_passes(way, inputs, g)
    return {
        "forward_ms": forward,
        "backward_ms": backward,
        "ratio_to_swiglu": (forward + backward) / sum(fused),
        "ratio_to_copy": floor / (forward + backward),
    }


def attention() -> None:
    """FlexAttention with the masks of 80M, in several forms, beside dense attention."""
    config = SIZES["nano" if IS_QUICK else "80M"]
    neurons = min(4096, config.max_population)
    task = make_task(
        config, STRATEGIES[STRATEGY], num_neurons=neurons, num_channels=5, has_screen=True
    )
    sequences = build_sequences(config, task)
    fusion, latents = token_intervals(sequences.fusion), token_intervals(sequences.latents)
    sides = {
        "fusion": (fusion, fusion),
        "encoder": (latents, token_intervals(sequences.context)),
        "decoder": (token_intervals(sequences.queries), fusion),
    }
    for name, (queries, keys) in sides.items():
        started = time.perf_counter()
        mask = block_mask(queries, keys, GPU)
        torch.cuda.synchronize()
        show(name=name, mask_seconds=time.perf_counter() - started)
        lengths = [sum(run.tokens for run in runs) for runs in (queries, keys, keys)]
        width = config.d_model // config.num_heads
        shape = (WINDOWS, config.num_heads)
        leaves = [
            torch.randn(*shape, tokens, width, device=GPU, dtype=torch.bfloat16).requires_grad_()
            for tokens in lengths
        ]
        pairs = int(visible_pairs(queries, keys, torch.device("cpu")).sum())
        flops = 4 * width * config.num_heads * WINDOWS
        for label, is_dynamic, options in (
            ("flex, any length", True, None),
            ("flex, static", False, None),
            ("flex, static, 8 warps", False, {"fwd_num_warps": 8}),
            ("flex, static, 128 x 64", False, {"fwd_BLOCK_M": 128, "fwd_BLOCK_N": 64}),
        ):
            way = partial(_flex, mask, options, is_dynamic=is_dynamic)
            attempt(_passes, way, leaves, flops * pairs, name=name, way=label)
        for label, backend in (
            ("dense, flash", SDPBackend.FLASH_ATTENTION),
            ("dense, cudnn", SDPBackend.CUDNN_ATTENTION),
        ):
            way = partial(_dense, backend)
            dense_flops = flops * lengths[0] * lengths[1]
            attempt(_passes, way, leaves, dense_flops, name=name, way=label)


def _flex(
    mask: BlockMask, options: dict[str, int] | None, *, is_dynamic: bool
) -> Callable[..., Tensor]:
    torch._dynamo.reset()
    compiled = torch.compile(flex_attention, dynamic=is_dynamic)
    return partial(compiled, block_mask=mask, kernel_options=options)


def _dense(backend: SDPBackend) -> Callable[..., Tensor]:
    def run(*inputs: Tensor) -> Tensor:
        with sdpa_kernel(backend):
            return functional.scaled_dot_product_attention(*inputs)

    return run


def _passes(
    make: Callable[[], Callable[..., Tensor]], leaves: list[Tensor], flops: float
) -> dict[str, Any]:
    way, started = make(), time.perf_counter()
    out = way(*leaves)
    g = torch.randn_like(out)
    torch.autograd.grad(out, leaves, g)
    torch.cuda.synchronize()
    first = time.perf_counter() - started
    forward, backward = milliseconds_of_passes(way, leaves, g, FEW_ROUNDS)
    return {
        "first_seconds": first,
        "forward_ms": forward,
        "backward_ms": backward,
        "forward_tflops_per_second": flops / forward / 1e9,
        "backward_tflops_per_second": 2.5 * flops / backward / 1e9,
    }


if __name__ == "__main__":
    {
        "facts": facts,
        "ceilings": ceilings,
        "errors": errors,
        "kernels": kernels,
        "attention": attention,
    }[sys.argv[1]]()
