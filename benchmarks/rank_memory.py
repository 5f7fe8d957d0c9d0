"""Memory of one rank of a training beside what `train --dry-run` plans for it.

    python benchmarks/rank_memory.py [--quick]

Trained is rank 0 of 1 and of 8, whose collectives do nothing (torch's fake process group): every
tensor that a rank has is allocated, none is sent. Without a GPU this runs on the null device of
tests/cuda, which has PyTorch's own allocator and so takes the memory of a GPU. Each case runs in a
process of its own, for a few steps under the strategy with the largest plan.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from machine import benchmark_parser, chosen_device, print_rows, write_result
from synthetic import Extent, write_shards
from torch.testing._internal.distributed.fake_pg import FakeStore

from omnimouse_cli.batch.dataset import Dataset, open_dataset
from omnimouse_cli.batch.masking import training_strategies
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.load import load_config
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.cost.training import estimate_training
from omnimouse_cli.reporter import Silent
from omnimouse_cli.training.data_checks import ShardFiles
from omnimouse_cli.training.parallel.session_embeddings import owned_sessions
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.prepare import build_setup, open_loader
from omnimouse_cli.training.resolve import resolve_config
from omnimouse_cli.training.state import TrainState
from omnimouse_cli.training.step import train_step
from omnimouse_cli.training.warm_up import compile_core

NULL_DEVICE = Path(__file__).resolve().parents[1] / "tests/cuda/null_device"
NUM_SESSIONS, NUM_STEPS = 16, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A training whose memory is measured.

    Args:
        size: Name of the model size.
        ranks: World size.
        is_compiled: Whether blocks are compiled.
        sets: Further settings, as of `--set`.
    """

    size: str
    ranks: int
    is_compiled: bool = False
    sets: tuple[str, ...] = ()


# Of the published sizes, session embeddings take little: wide ones show how they are counted.
WIDE = ("model.d_embedding=1024", "data.batch_size=1")
CASES = (
    *(Case(size=size, ranks=ranks) for size in ("1M", "80M") for ranks in (1, 8)),
    *(Case(size=size, ranks=8, is_compiled=True) for size in ("1M", "80M")),
    *(Case(size="nano", ranks=ranks, sets=WIDE) for ranks in (1, 8)),
    Case(size="nano", ranks=8, sets=(*WIDE, "train.batches_per_step=24")),
)
QUICK = tuple(Case(size="nano", ranks=ranks, sets=WIDE) for ranks in (1, 8))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write the result."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure is not None:
        case, shards = options.measure
        print(json.dumps(measure(Case(**json.loads(case)), Path(shards))))
        return
    extent = Extent(neurons=800 if options.quick else 8000, rows=900)
    keys = [f"{100 + number // 4}-1-{number}" for number in range(NUM_SESSIONS)]
    with tempfile.TemporaryDirectory(prefix="omnimouse-memory-") as folder:
        write_shards(Path(folder) / "shards", extent, keys, tiers=("train", "validation", "train"))
        rows = [_run(case, Path(folder)) for case in (QUICK if options.quick else CASES)]
    print_rows(
        ("", "ranks", "planned GB", "allocated GB", "planned / allocated"),
        [
            (
                f"{row['size']}{', compiled' if row['is_compiled'] else ''} "
                + " ".join(row["sets"]),
                str(row["ranks"]),
                f"{row['planned_bytes'] / 1e9:.3f}",
                f"{row['allocated_bytes'] / 1e9:.3f}",
                f"{row['planned_bytes'] / row['allocated_bytes']:.3f}",
            )
            for row in rows
        ],
    )
    content = {"sessions": NUM_SESSIONS, "neurons": extent.neurons, "rows": rows}
    # The document is of the CPU where the null device took the place of a GPU.
    write_result(options.out, "rank_memory", chosen_device(None), content)


def _run(case: Case, folder: Path) -> dict[str, Any]:
    """Measure a case in a process of its own, on the null device if there is no GPU."""
    command = [sys.executable, __file__, "--measure", json.dumps(asdict(case)), f"{folder}/shards"]
    variables = dict(os.environ)
    if not torch.cuda.is_available():
        sys.path.insert(0, str(NULL_DEVICE))
        from build import build, environment

        variables |= environment(build(folder), folder / "counts")
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=variables)
    if done.returncode:
        raise SystemExit(done.stderr)
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def measure(case: Case, shards: Path) -> dict[str, Any]:
    """Train a few steps as rank 0 and return the plan and the allocator's peak after the first."""
    device = torch.device("cuda", 0)
    if case.ranks > 1:
        dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=case.ranks)
    world = World(num_ranks=case.ranks, device=device)
    dataset = open_dataset(shards)
    sets = [*case.sets, f"train.compile={str(case.is_compiled).lower()}", "train.steps=100"]
    config = resolve_config(load_config(size=case.size, sets=sets), dataset, world, Silent())
    strategies = training_strategies(config.masking, dataset.sessions)
    plans = {strategy: _plan(config, dataset, strategy, case.ranks) for strategy in strategies}
    widest = max(strategies, key=lambda strategy: sum(plans[strategy].values()))
    state = TrainState(config, dataset, world)
    peaks = []
    with open_loader(config, dataset, state, world, verify_at_start=False) as loader:
        files = ShardFiles(dataset, Silent())
        setup = build_setup(shards, config, files, loader, strategies, world=world)
        compile_core(state, setup, Silent())
        for _ in range(NUM_STEPS):
            torch.cuda.reset_peak_memory_stats()
            train_step(state, setup, widest)
            peaks.append(torch.cuda.max_memory_allocated())
    return {
        **asdict(case),
        "device": torch.cuda.get_device_name(0),
        "strategy": widest.name,
        "planned_bytes": sum(plans[widest].values()),
        "allocated_bytes": max(peaks[1:]),
        "allocated_bytes_of_steps": peaks,
        "plan": plans[widest],
    }


def _plan(
    config: RunConfig, dataset: Dataset, strategy: Strategy, num_ranks: int
) -> dict[str, int]:
    """Return the bytes that `train --dry-run` plans, for one strategy alone."""
    owned = owned_sessions([session.num_neurons for session in dataset.sessions], num_ranks)
    plan = estimate_training(config, dataset.sessions, [strategy], owned=owned, device="cuda")
    memory: dict[str, int] = plan["memory_bytes"]
    return memory


if __name__ == "__main__":
    main()
