"""A dendritic unit on the CPU beside SwiGLU: time and peak memory of forward and backward.

    python benchmarks/dendrite.py [--quick]

Contestants take turns in one run, on 16,384 x 2,048 elements; numbers are ratios to SwiGLU in eager
PyTorch. A lookup table of a frozen function takes the same time whatever its network is; on a CPU
it is read in plain PyTorch. Peak memory is what torch allocates, the arguments and their gradients
included.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from machine import benchmark_parser, print_rows, write_result
from torch import Tensor
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from omnimouse_cli.kernels.dendrite import DendriticFunction, dendrite
from omnimouse_cli.kernels.dendrite.lookup import Grid, build_tables, interpolate
from omnimouse_cli.kernels.dendrite.reference import reference_dendrite

SHAPE, QUICK_SHAPE = (16_384, 2_048), (256, 512)
ROUNDS, QUICK_ROUNDS = 9, 2
# The plain reference keeps h numbers for each element and is measured on a part of the rows.
REFERENCE_SHARE = 16


def contestants(shape: tuple[int, int]) -> dict[str, tuple[Callable[[], Any], int]]:
    """Return what is timed, and into how many parts its rows were cut."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(shape, generator=generator, requires_grad=True) for _ in range(2))
    g = torch.randn(shape, generator=generator)
    function, smooth = DendriticFunction(), DendriticFunction(8, 1, "smoothstep")
    weights = torch.randn(1, function.num_weights, generator=generator, requires_grad=True)
    grid = Grid()
    table = build_tables(weights, function, grid).values

    def run(way: Callable[[Tensor, Tensor], Tensor], *learned: Tensor, share: int = 1) -> Any:  # noqa: ANN401
        rows = shape[0] // share
        first, second = a[:rows], b[:rows]
        return torch.autograd.grad(way(first, second), [first, second, *learned], g[:rows])

    return {
        "swiglu, eager": (lambda: run(lambda a, b: functional.silu(a) * b), 1),
        "dendritic, relu": (
            lambda: run(lambda a, b: dendrite(a, b, weights, function), weights),
            1,
        ),
        "dendritic, smoothstep": (
            lambda: run(lambda a, b: dendrite(a, b, weights, smooth), weights),
            1,
        ),
        "dendritic, frozen, lookup table": (
            lambda: run(lambda a, b: interpolate(a, b, table, grid.limit)),
            1,
        ),
        "dendritic, plain PyTorch": (
            lambda: run(
                lambda a, b: reference_dendrite(a, b, weights, function),
                weights,
                share=REFERENCE_SHARE,
            ),
            REFERENCE_SHARE,
        ),
    }


def peak_bytes(work: Callable[[], Any]) -> int:
    """Return the peak of the memory that torch allocates during the work."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work()
    allocated = peak = 0
    assert profiled.profiler is not None
    results = profiled.profiler.kineto_results
    assert results is not None
    for event in sorted(results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            allocated += event.nbytes()
            peak = max(peak, allocated)
    return peak


def main() -> None:
    """Measure every contestant in turn, print and write."""
    assert __doc__ is not None
    options = benchmark_parser(__doc__.splitlines()[0]).parse_args()
    shape = QUICK_SHAPE if options.quick else SHAPE
    runs = contestants(shape)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(QUICK_ROUNDS if options.quick else ROUNDS):
        for name, (work, share) in runs.items():
            began = time.perf_counter()
            work()
            seconds[name].append(share * (time.perf_counter() - began))
    argument_bytes = 3 * 4 * shape[0] * shape[1]
    rows = [
        {
            "name": name,
            "seconds": statistics.median(seconds[name]),
            "seconds_rounds": seconds[name],
            "peak_bytes": share * peak_bytes(work) + argument_bytes,
        }
        for name, (work, share) in runs.items()
    ]
    for row in rows:
        row["ratio_to_swiglu"] = row["seconds"] / rows[0]["seconds"]
        row["memory_ratio_to_swiglu"] = row["peak_bytes"] / rows[0]["peak_bytes"]
    print_rows(
        ("", "ms", "of swiglu", "peak MB", "of swiglu"),
        [
            (
                row["name"],
                f"{1000 * row['seconds']:.0f}",
                f"{row['ratio_to_swiglu']:.2f}",
                f"{row['peak_bytes'] / 1e6:.0f}",
                f"{row['memory_ratio_to_swiglu']:.2f}",
            )
            for row in rows
        ],
    )
    content = {"is_quick": options.quick, "shape": list(shape), "rows": rows}
    content["threads"] = torch.get_num_threads()
    write_result(options.out, "dendrite", torch.device("cpu"), content)


if __name__ == "__main__":
    main()
