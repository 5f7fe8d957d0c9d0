"""Which feed-forward predicts a simulated mouse best: dendritic units beside matched others.

    python benchmarks/feed_forward.py [--quick] [--folder FOLDER] [--steps N] [--jobs N]

Simulates the demo's mouse, trains `nano` with every feed-forward at the same number of parameters
and steps, once per seed, and scores it in every regime. Rows are means over seeds with Student's
95 % interval; differences to the dendritic runs are paired by seed. Finished runs in FOLDER are
kept, so a stopped comparison goes on when it is started again. It takes most of an hour on two
cores and is no part of `make bench`.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from machine import benchmark_parser, chosen_device, print_rows, write_result

from omnimouse_cli.evaluation.store import EVAL
from omnimouse_cli.metrics.intervals import mean_interval
from omnimouse_cli.run.folder import evaluation_folder, is_finished, read_summary

DENDRITIC = "dendritic"
KINDS = (DENDRITIC, "swiglu", "relu", "gelu")
LOSS = "loss"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is compared.

    Args:
        neurons: Neurons in each of two sessions of one animal.
        minutes: Length of a session.
        steps: Steps of a training.
        seeds: Trainings per feed-forward.
    """

    neurons: int = 96
    minutes: float = 12.0
    steps: int = 800
    seeds: int = 5


QUICK = Settings(neurons=8, minutes=1.5, steps=2, seeds=2)


def prepare(folder: Path, settings: Settings) -> Path:
    """Simulate and preprocess; return the folder of shards."""
    shards = folder / "shards"
    if not shards.exists():
        size = ("--neurons", str(settings.neurons), "--minutes", str(settings.minutes))
        recordings = folder / "recordings"
        _run(
            "simulate",
            recordings,
            "--sessions",
            "2",
            *size,
            "--seed",
            "1",
        )
        _run("preprocess", recordings, "--out", shards)
    return shards


def score(folder: Path, shards: Path, settings: Settings, kind: str, seed: int) -> dict[str, float]:
    """Train and evaluate one run, unless it was, and give its loss and correlations by row."""
    run = folder / f"{kind}-{seed}-{settings.steps}"
    evaluation = evaluation_folder(run, "all") / EVAL
    if not is_finished(run):
        shutil.rmtree(run, ignore_errors=True)
        chosen = ("--set", f"model.feed_forward={kind}")
        length = ("--steps", str(settings.steps), "--seed", str(seed))
        model = ("--model", "nano", "--device", "cpu")
        _run("train", shards, "--out", run, *model, *length, *chosen)
    if not evaluation.exists():
        _run("eval", run, "--shards", shards, "--no-baselines", "--device", "cpu", "--name", "all")
    loss = read_summary(run)["validation"]["neural_loss"]
    return {LOSS: loss, **dict(_correlations(json.loads(evaluation.read_text())))}


def _correlations(document: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for record in document["records"]:
        chosen = (record["session"], record["metric"], record["predictor"])
        if chosen == ("overall", "single_trial_correlation", "model"):
            is_neural = record["target"] == "neurons"
            name = record["strategy"] if is_neural else f"{record['strategy']} {record['target']}"
            yield name, record["value"]


def _run(*command: str | Path) -> None:
    # One thread each: short steps on more threads wait for each other.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole = [sys.executable, "-m", "omnimouse_cli", *map(str, command), "--quiet"]
    subprocess.run(whole, check=True, stdout=subprocess.DEVNULL, env=environment)


def compare(scores: dict[str, list[dict[str, float]]]) -> list[dict[str, Any]]:
    """Return means, and differences to the dendritic runs, with intervals over seeds.

    Args:
        scores: For each feed-forward, one score per seed, in the same order of seeds.
    """
    rows: list[dict[str, Any]] = []
    for name in scores[DENDRITIC][0]:
        values = {kind: [score[name] for score in each] for kind, each in scores.items()}
        for kind, of_kind in values.items():
            pairs = zip(values[DENDRITIC], of_kind, strict=True)
            less = [dendritic - other for dendritic, other in pairs]
            rows.append(
                {
                    "score": name,
                    "feed_forward": kind,
                    "values": of_kind,
                    "mean": mean_interval(of_kind).to_dict(),
                    "dendritic_less_this": mean_interval(less).to_dict(),
                }
            )
    return rows


def measure(folder: Path, settings: Settings, jobs: int) -> list[dict[str, Any]]:
    """Run all trainings, the seeds of every feed-forward in turn."""
    shards = prepare(folder, settings)
    trainings = [(kind, seed) for seed in range(settings.seeds) for kind in KINDS]
    with ThreadPoolExecutor(jobs) as pool:
        done = list(pool.map(lambda each: score(folder, shards, settings, *each), trainings))
    scores: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for (kind, _), each in zip(trainings, done, strict=True):
        scores[kind].append(each)
    return compare(scores)


def print_result(rows: Sequence[dict[str, Any]]) -> None:
    """Print the table."""
    heads = ("score", "feed-forward", "mean", "95 %", "dendritic - this", "95 %")
    cells = []
    for row in rows:
        texts = [
            (f"{each['value']:.4f}", f"[{each['low']:.4f}, {each['high']:.4f}]")
            for each in (row["mean"], row["dendritic_less_this"])
        ]
        cells.append((row["score"], row["feed_forward"], *texts[0], *texts[1]))
    print_rows(heads, cells)


def main() -> None:
    """Compare, print and keep."""
    parser = benchmark_parser(__doc__ or "")
    parser.add_argument("--folder", type=Path, help="where recordings and runs are kept")
    parser.add_argument("--steps", type=int, default=Settings().steps)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    settings = QUICK if options.quick else Settings(steps=options.steps)
    with tempfile.TemporaryDirectory() as temporary:
        rows = measure(options.folder or Path(temporary), settings, options.jobs)
    print_result(rows)
    content = {"is_quick": options.quick, "settings": asdict(settings), "rows": rows}
    write_result(options.out, "feed_forward", chosen_device("cpu"), content)


if __name__ == "__main__":
    main()
