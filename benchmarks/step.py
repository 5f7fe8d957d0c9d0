"""A training step per model size: milliseconds, operations a second, where the time goes.

    python benchmarks/step.py [--quick] [--sizes nano,tiny] [--neurons 254,8000] [--device cpu|gpu]

A step is forward, backward, clipping and update of core and table, on one batch of 8 windows with
responses, video and behavior, under one masking strategy that shows all of them. Operations are
those that `cost/flops.py` counts; a large matrix product of the same precision, timed between the
steps, says what the machine has to give. On a GPU also in bfloat16 and compiled, with peak memory.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from machine import benchmark_parser, chosen_device, print_rows, write_result
from shares import time_shares
from trainee import Case, Precision, Trainee

from omnimouse_cli.batch.strategies import FAMILY_STRATEGIES, TRAINING_STRATEGIES
from omnimouse_cli.config.sizes import SIZES

STRATEGIES = {s.name: s for s in (*FAMILY_STRATEGIES, *TRAINING_STRATEGIES)}
EVERYTHING_SEEN = "forecast_video_behavior"
# Matrix products after a step, each of which is short.
NUM_PRODUCTS = 5
PRODUCT_WIDTH = {"cpu": 1024, "cuda": 8192}
VARIANTS: dict[str, tuple[tuple[Precision, bool], ...]] = {
    "cpu": (("float32", False),),
    "cuda": (("float32", False), ("bfloat16", False), ("bfloat16", True)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a case is measured.

    Args:
        warm_steps: Before it is timed; the first one makes masks, or compiles.
        min_steps: Timed at least.
        max_steps: Timed at most.
        seconds: After which no more than `min_steps` are timed.
    """

    warm_steps: int = 1
    min_steps: int = 3
    max_steps: int = 15
    seconds: float = 3.0


WHOLE = Patience()
QUICK = Patience(min_steps=2, max_steps=2)


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Time `work` until the device has done it."""
    _wait_for(device)
    began = time.perf_counter()
    work()
    _wait_for(device)
    return time.perf_counter() - began


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def measure(case: Case, patience: Patience, device: torch.device) -> dict[str, Any]:
    """Time a case's steps, and matrix products after each of them."""
    trainee = Trainee(case, device)
    width = PRODUCT_WIDTH[device.type]
    factor = torch.randn(width, width, device=device, dtype=getattr(torch, case.precision))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for _ in range(patience.warm_steps):
        trainee.step()
        torch.mm(factor, factor)
    steps: list[float] = []
    products: list[float] = []
    began = time.perf_counter()
    while len(steps) < patience.max_steps and (
        len(steps) < patience.min_steps or time.perf_counter() - began < patience.seconds
    ):
        steps.append(seconds_of(trainee.step, device))
        products += [
            seconds_of(lambda: torch.mm(factor, factor), device) for _ in range(NUM_PRODUCTS)
        ]
    seconds = statistics.median(steps)
    product_rate = 2 * width**3 / statistics.median(products)
    return {
        "size": case.size,
        "neurons": case.neurons,
        "windows": case.windows,
        "precision": case.precision,
        "is_compiled": case.is_compiled,
        "parameters": case.parameters,
        "step_seconds": seconds,
        "step_seconds_rounds": steps,
        "windows_per_second": case.windows / seconds,
        "flops_per_step": case.flops,
        "flops_per_second": case.flops / seconds,
        "product_flops_per_second": product_rate,
        "ratio_to_product": case.flops / seconds / product_rate,
        "peak_memory_bytes": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
        "time_shares": time_shares(trainee.step, device),
    }


def print_result(rows: list[dict[str, Any]]) -> None:
    """Print the table."""
    heads = ("", "neurons", "ms/step", "windows/s", "GFLOP/s", "of product", "peak GB")
    kinds = list(rows[0]["time_shares"])
    print_rows(
        (*heads, *kinds),
        [
            (
                f"{row['size']}, {row['precision']}{', compiled' if row['is_compiled'] else ''}",
                str(row["neurons"]),
                f"{1000 * row['step_seconds']:.1f}",
                f"{row['windows_per_second']:.1f}",
                f"{row['flops_per_second'] / 1e9:.1f}",
                f"{row['ratio_to_product']:.2f}",
                f"{row['peak_memory_bytes'] / 1e9:.1f}" if row["peak_memory_bytes"] else "-",
                *(f"{row['time_shares'][kind]:.0%}" for kind in kinds),
            )
            for row in rows
        ],
    )


def options_of_command() -> argparse.Namespace:
    """Read the options."""
    assert __doc__ is not None
    parser = benchmark_parser(__doc__.splitlines()[0])
    parser.add_argument("--sizes", help=f"of {', '.join(SIZES)}; default: nano,tiny")
    parser.add_argument("--neurons", help="of the session; default: 254,8000")
    parser.add_argument("--windows", type=int, default=8, help="of a batch")
    parser.add_argument("--strategy", choices=STRATEGIES, default=EVERYTHING_SEEN, metavar="NAME")
    options = parser.parse_args()
    options.sizes = (options.sizes or ("nano" if options.quick else "nano,tiny")).split(",")
    unknown = [size for size in options.sizes if size not in SIZES]
    if unknown:
        parser.error(f"--sizes must be of {', '.join(SIZES)}: {', '.join(unknown)}")
    counts = (options.neurons or ("254" if options.quick else "254,8000")).split(",")
    options.neurons = [int(count) for count in counts]
    return options


def main() -> None:
    """Measure every case, print and write."""
    options = options_of_command()
    device, patience = chosen_device(options.device), QUICK if options.quick else WHOLE
    cases = [
        Case(
            size=size,
            neurons=neurons,
            windows=options.windows,
            strategy=STRATEGIES[options.strategy],
            precision=precision,
            is_compiled=is_compiled,
        )
        for size in options.sizes
        for neurons in options.neurons
        for precision, is_compiled in VARIANTS[device.type]
    ]
    rows = [measure(case, patience, device) for case in cases]
    print_result(rows)
    content = {
        "is_quick": options.quick,
        "strategy": options.strategy,
        "threads": torch.get_num_threads(),
        "rows": rows,
    }
    write_result(options.out, "step", device, content)


if __name__ == "__main__":
    main()
