"""Batches a second of the loader, beside memcpy, NumPy and torch's DataLoader, in one run.

    python benchmarks/loader.py [--quick] [--folder FOLDER] [--device cpu|gpu]

A batch is 8 windows of 2 s of a recording of 8,000 neurons, 4,096 of them drawn anew for every
window, with video and behavior, scaled, as float32. Every contestant does all of this, from a warm
page cache and a recording eight times as large as the last-level cache, and its windows are
compared with ours before anything is timed. On a GPU the batches are copied there too. Then the
loader and NumPy read from a cold cache, and the loader draws from a sparse data set of 150 billion
samples. Last, the growth of memory is measured over 100,000 batches. Needs Linux.
"""

import json
import math
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from cold import measure_cold, print_cold
from contestants import Contestant, contestants, require_same_work
from machine import (
    benchmark_parser,
    chosen_device,
    last_level_cache_bytes,
    print_rows,
    write_result,
)
from synthetic import Extent, synthetic_dataset
from torch import Tensor

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.batch.measure import measure_loader, memcpy_bytes_per_second
from omnimouse_cli.config.data import DataConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Sizes and durations of the measurement.

    Args:
        extent: Size of the recording.
        rounds: Number of rounds, in each of which every contestant has a turn.
        turn_seconds: Time for which a turn is measured.
        warm_batches: Batches taken before, until memory and queues are in a steady state.
        copied_bytes: Bytes of one memcpy.
        cold: Size of the recording that is read from a cold cache.
        cold_batches: Batches of a turn with a cold cache; few, so that windows seldom overlap.
        corpus_sessions: Number of sparse shards.
        corpus_batches: Batches drawn from the sparse shards.
        many_batches: Batches of a small recording, to measure the growth of memory.
    """

    extent: Extent
    rounds: int = 5
    turn_seconds: float = 0.6
    warm_batches: int = 8
    copied_bytes: int = 2**27
    cold: Extent
    cold_batches: int = 8
    corpus_sessions: int = 323
    corpus_batches: int = 2000
    many_batches: int = 100_000


# Larger than most last-level caches; used where the system does not report their size.
FALLBACK_CACHE_BYTES = 2**26
TIMES_THE_CACHE = 8
QUICK = Settings(
    extent=Extent(neurons=600, rows=300),
    cold=Extent(neurons=300, rows=600),
    cold_batches=2,
    corpus_sessions=2,
    corpus_batches=4,
    many_batches=300,
    rounds=2,
    turn_seconds=0.05,
    warm_batches=2,
    copied_bytes=2**22,
)


def full_settings() -> Settings:
    """Return the settings of a full run: the recording is much larger than the caches."""
    cache_bytes = last_level_cache_bytes() or FALLBACK_CACHE_BYTES
    neurons = 8000
    rows = math.ceil(TIMES_THE_CACHE * cache_bytes / (2 * neurons))
    return Settings(
        extent=Extent(neurons=neurons, rows=max(rows, 3000)),
        cold=Extent(neurons=neurons, rows=40_000),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Result of one contestant in one round.

    Args:
        batches_per_second: Batches per second.
        cpu_ms_per_batch: CPU time of all its threads and processes, per batch.
        bytes_per_batch: Bytes of the tensors of a batch.
    """

    batches_per_second: float
    cpu_ms_per_batch: float
    bytes_per_batch: int


def take_turn(contestant: Contestant, settings: Settings, device: torch.device) -> Turn:
    """Start a contestant, warm it up, time it and end it, so that no two run at the same time."""
    with contestant.start() as batches:
        source = iter(batches)
        for _ in range(settings.warm_batches):
            num_bytes = _copy_next(source, device)
        _synchronize(device)
        count, cpu_began, began = 0, _cpu_seconds(), time.perf_counter()
        while (elapsed := time.perf_counter() - began) < settings.turn_seconds:
            num_bytes = _copy_next(source, device)
            count += 1
        _synchronize(device)
        elapsed = time.perf_counter() - began
        cpu_seconds = _cpu_seconds() - cpu_began
        # The workers of a DataLoader end with its iterator.
        del source
    return Turn(
        batches_per_second=count / elapsed,
        cpu_ms_per_batch=1000 * cpu_seconds / count,
        bytes_per_batch=num_bytes,
    )


def _copy_next(source: Iterator[Sequence[Tensor]], device: torch.device) -> int:
    """Copy the next batch to the device; return its bytes."""
    tensors = [tensor.to(device, non_blocking=True) for tensor in next(source)]
    return sum(tensor.nbytes for tensor in tensors)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _cpu_seconds() -> float:
    """Return the CPU time of this process and of its current worker processes."""
    workers = [child.pid for child in multiprocessing.active_children() if child.pid is not None]
    # The clock of another process, as clock_getcpuclockid(3) numbers it.
    clocks = [(~pid << 3) | 2 for pid in workers]
    return time.process_time() + sum(time.clock_gettime(clock) for clock in clocks)


def measure(
    dataset: Dataset, settings: Settings, device: torch.device, folder: Path
) -> dict[str, Any]:
    """Measure every contestant once per round, and return medians."""
    # Other loaders mask no lost samples: only windows without any are compared.
    config = DataConfig(require_behavior=True)
    # Torch's own threads wait actively for each other, which makes a DataLoader slower.
    torch.set_num_threads(1)
    require_same_work(dataset, config)
    candidates, absent = contestants(dataset, config, device, folder)
    copies: list[float] = []
    turns: dict[str, list[Turn]] = {contestant.name: [] for contestant in candidates}
    for number in range(settings.rounds):
        copies.append(memcpy_bytes_per_second(settings.copied_bytes))
        # The order rotates, so that no contestant always follows the same one.
        shift = number % len(candidates)
        for contestant in candidates[shift:] + candidates[:shift]:
            turns[contestant.name].append(take_turn(contestant, settings, device))
    memcpy = statistics.median(copies)
    rows = [_row(contestant, turns[contestant.name], memcpy) for contestant in candidates]
    best = max(row["batches_per_second"] for row in rows if not row["is_ours"])
    for row in rows:
        row["ratio_to_best_peer"] = row["batches_per_second"] / best
    return {
        "memcpy_bytes_per_second": memcpy,
        "memcpy_rounds": copies,
        "shard_bytes": dataset.sessions[0].path.stat().st_size,
        "absent_peers": absent,
        "rows": rows,
    }


def _row(contestant: Contestant, turns: Sequence[Turn], memcpy: float) -> dict[str, Any]:
    speeds = [turn.batches_per_second for turn in turns]
    speed = statistics.median(speeds)
    output = speed * turns[0].bytes_per_batch
    return {
        "name": contestant.name,
        "is_ours": contestant.is_ours,
        "batches_per_second": speed,
        "batches_per_second_rounds": speeds,
        "output_bytes_per_batch": turns[0].bytes_per_batch,
        "output_bytes_per_second": output,
        "cpu_ms_per_batch": statistics.median(turn.cpu_ms_per_batch for turn in turns),
        "ratio_to_memcpy": output / memcpy,
    }


def measure_corpus(settings: Settings) -> dict[str, Any]:
    """Draw batches from a sparse data set of full size, in a process of its own."""
    numbers = {"--simulate-corpus": settings.corpus_sessions, "--batches": settings.corpus_batches}
    options = [text for name, number in numbers.items() for text in (name, str(number))]
    command = [sys.executable, "-m", "omnimouse_cli", "bench", "loader", *options, "--json", "-q"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def measure_growth(folder: Path, num_batches: int) -> dict[str, Any]:
    """Measure the growth of memory over many batches of one window of a small recording."""
    synthetic_dataset(folder, Extent(neurons=60, rows=600))
    config = DataConfig(batch_size=1, threads=2, require_behavior=True)
    return asdict(measure_loader(folder, config, seed=0, num_batches=num_batches))


def print_growth(growth: dict[str, Any]) -> None:
    """Print the growth of memory."""
    seconds = growth["batches"] / growth["batches_per_second"]
    print(
        f"\n{growth['batches']:,} small batches in {seconds:.0f} s: the memory of the process grew "
        f"by {(growth['growth_bytes'] or 0) / 1e6:.1f} MB"
    )


def print_corpus(corpus: dict[str, Any]) -> None:
    """Print the result of the sparse data set."""
    print(
        f"\n{corpus['sessions']} sparse sessions, {corpus['samples']:,} samples: opened in "
        f"{corpus['open_seconds']:.2f} s, first batch after {corpus['first_batch_seconds']:.2f} s; "
        f"anonymous memory of the whole process after {corpus['batches']:,} batches: "
        f"{(corpus['resident_bytes'] or 0) / 1e6:.0f} MB"
    )


def print_result(result: dict[str, Any]) -> None:
    """Print the table."""
    print(f"memcpy, 1 thread: {result['memcpy_bytes_per_second'] / 1e9:.1f} GB/s\n")
    heads = ("", "batches/s", "GB/s out", "CPU ms/batch", "of memcpy", "of best peer")
    rows = [
        (
            row["name"],
            f"{row['batches_per_second']:.0f}",
            f"{row['output_bytes_per_second'] / 1e9:.2f}",
            f"{row['cpu_ms_per_batch']:.1f}",
            f"{row['ratio_to_memcpy']:.2f}",
            f"{row['ratio_to_best_peer']:.2f}",
        )
        for row in result["rows"]
    ]
    print_rows(heads, rows)
    for name, reason in result["absent_peers"].items():
        print(f"not measured: {name} ({reason})")


def main() -> None:
    """Build the shard, measure, print the result and write it."""
    assert __doc__ is not None
    parser = benchmark_parser(__doc__.splitlines()[0])
    parser.add_argument(
        "--folder", type=Path, help="where the shard goes; default: a temporary one"
    )
    options = parser.parse_args()
    settings, device = QUICK if options.quick else full_settings(), chosen_device(options.device)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        dataset = synthetic_dataset(folder, settings.extent)
        result = measure(dataset, settings, device, Path(temporary))
        synthetic_dataset(folder / "cold", settings.cold)
        result["cold"] = measure_cold(folder / "cold", settings.rounds, settings.cold_batches)
        result["corpus"] = measure_corpus(settings)
        result["growth"] = measure_growth(folder / "small", settings.many_batches)
    print_result(result)
    print_cold(result["cold"])
    print_corpus(result["corpus"])
    print_growth(result["growth"])
    content = {"is_quick": options.quick, "settings": asdict(settings), **result}
    write_result(options.out, "loader", device, content)


if __name__ == "__main__":
    main()
