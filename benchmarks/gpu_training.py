"""Checks of gpu.py that train: steps of every size, a profile, losses beside a CPU's, a whole run.

python benchmarks/gpu_training.py steps eager|compiled SIZES
python benchmarks/gpu_training.py profile SIZE
python benchmarks/gpu_training.py agreement|training
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from gpu_measure import (
    GPU,
    IS_QUICK,
    SMALL_STRATEGY,
    STRATEGIES,
    STRATEGY,
    WINDOWS,
    attempt,
    show,
)
from shares import kind_of
from torch.profiler import ProfilerActivity
from trainee import Case, Trainee

from omnimouse_cli.config.sizes import SMALL_SIZES

# Dense bfloat16 products of an H100 or H200, as published.
PEAK_FLOPS_PER_SECOND = 989e12
NEURONS, SMALL_NEURONS = 8000, 254
STEPS = 2 if IS_QUICK else 8
AGREEMENT_STEPS = 6 if IS_QUICK else 40
TRAINING_SECONDS = 15 if IS_QUICK else 120


def make_case(size: str, *, is_compiled: bool) -> Case:
    """Return a step as the size is trained, in bfloat16."""
    is_small = size in SMALL_SIZES
    return Case(
        size=size,
        neurons=SMALL_NEURONS if is_small else NEURONS,
        windows=WINDOWS,
        strategy=STRATEGIES[SMALL_STRATEGY if is_small else STRATEGY],
        precision="bfloat16",
        is_compiled=is_compiled,
    )


def steps(how: str, sizes: str) -> None:
    """Time steps of some sizes: on the device, and until the host is free again."""
    for size in sizes.split(","):
        is_compiled = how == "compiled"
        row = {"size": size, "is_compiled": is_compiled, "precision": "bfloat16"}
        attempt(_step, make_case(size, is_compiled=is_compiled), **row)


def _step(case: Case) -> dict[str, Any]:
    torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    trainee = Trainee(case, GPU)
    torch.cuda.synchronize()
    built, started = time.perf_counter() - started, time.perf_counter()
    trainee.step()
    torch.cuda.synchronize()
    first = time.perf_counter() - started
    for _ in range(3):
        trainee.step()
    torch.cuda.synchronize()
    on_host, whole = [], []
    for _ in range(STEPS):
        started = time.perf_counter()
        trainee.step()
        on_host.append(time.perf_counter() - started)
        torch.cuda.synchronize()
        whole.append(time.perf_counter() - started)
    seconds = statistics.median(whole)
    return {
        "build_seconds": built,
        "first_seconds": first,
        "step_seconds": seconds,
        "host_seconds": statistics.median(on_host),
        "windows_per_second": case.windows / seconds,
        "flops_per_step": case.flops,
        "ratio_to_peak": case.flops / seconds / PEAK_FLOPS_PER_SECOND,
        "peak_memory_bytes": torch.cuda.max_memory_allocated(),
        "peak_reserved_bytes": torch.cuda.max_memory_reserved(),
    }


def profile(size: str) -> None:
    """Show what kernels of a compiled step take, by kind, and the longest ones."""
    if torch.cuda.get_device_name(GPU).startswith("null device"):
        show(size=size, skipped="CUPTI, which records kernels, needs a driver and not its stand-in")
        return
    trainee = Trainee(make_case(size, is_compiled=not IS_QUICK), GPU)
    for _ in range(3):
        trainee.step()
    torch.cuda.synchronize()
    rounds = 2
    activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profiled:
        for _ in range(rounds):
            trainee.step()
        torch.cuda.synchronize()
    events = [e for e in profiled.key_averages() if e.device_type.name == "CUDA"]
    events.sort(key=lambda event: -event.self_device_time_total)
    by_kind: dict[str, float] = {}
    for event in events:
        kind = kind_of(event.key)
        by_kind[kind] = by_kind.get(kind, 0) + event.self_device_time_total / 1000 / rounds
    show(
        size=size,
        kernels_ms=sum(by_kind.values()),
        launches=sum(event.count for event in events) / rounds,
        ms_by_kind=by_kind,
    )
    for event in events[:25]:
        show(
            kernel=event.key[:90],
            ms=event.self_device_time_total / 1000 / rounds,
            launches=event.count / rounds,
        )


def agreement() -> None:
    """Train the same steps on the CPU and on the GPU in both precisions; compare the losses."""
    ways = {
        "cpu float32": ("--device", "cpu"),
        "gpu float32": ("--device", "cuda", "--set", "train.precision=float32"),
        "gpu bfloat16": (
            "--device",
            "cuda",
        ),
    }
    length = ("--steps", str(AGREEMENT_STEPS), "--set", f"train.log_every={AGREEMENT_STEPS // 2}")
    last = {}
    for name, words in ways.items():
        run = _folder() / name.replace(" ", "-")
        done = _omnimouse("train", "shards", "--no-compile", *length, *words, "--out", str(run))
        losses = [line["loss"] for line in _metrics(run) if "loss" in line]
        show(name=name, exit_code=done.returncode, losses=losses, error=_error(done))
        if losses:
            last[name] = losses[-1]
    truth = last.get("gpu float32")
    if len(last) == len(ways) and truth and last["cpu float32"]:
        show(
            name="ratio of losses",
            **{
                "gpu float32": truth / last["cpu float32"],
                "gpu bfloat16": last["gpu bfloat16"] / truth,
            },
        )


def training() -> None:
    """Train and score as a user types it, compiled."""
    run = _folder() / "training"
    minutes = ("--minutes", str(TRAINING_SECONDS / 60))
    done = _omnimouse("train", "shards", *minutes, "--device", "cuda", "--out", str(run))
    lines = _metrics(run)
    show(
        name="train",
        exit_code=done.returncode,
        losses=[line["loss"] for line in lines if "loss" in line][::20],
        last_line=lines[-1] if lines else None,
        error=_error(done),
    )
    done = _omnimouse("eval", str(run), "--regime", "forecast", "--device", "cuda", "--json")
    show(name="eval", exit_code=done.returncode, error=_error(done))


def _folder() -> Path:
    """Return the folder of all checks, with a small data set in it."""
    folder = Path(os.environ["OMNIMOUSE_GPU_FOLDER"])
    if not (folder / "shards").exists():
        words = ("--sessions", "2", "--neurons", "96", "--minutes", "4", "--seed", "1")
        for command in (("simulate", "recordings", *words), ("preprocess",)):
            _omnimouse(*command, folder=folder).check_returncode()
    return folder


def _omnimouse(*words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "omnimouse_cli", *words]
    where = _folder() if folder is None else folder
    return subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)


def _metrics(run: Path) -> list[dict[str, Any]]:
    path = run / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _error(done: subprocess.CompletedProcess[str]) -> str | None:
    return done.stderr[-600:] if done.returncode else None


if __name__ == "__main__":
    {"steps": steps, "profile": profile, "agreement": agreement, "training": training}[sys.argv[1]](
        *sys.argv[2:]
    )
