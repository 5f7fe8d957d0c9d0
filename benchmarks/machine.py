"""What a measured number needs beside it: machine, versions, commit, and a file that keeps them."""

import argparse
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from omnimouse_cli.files import write_document

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
LIBRARIES = ("omnimouse", "torch", "numpy", "safetensors")


def benchmark_parser(description: str) -> argparse.ArgumentParser:
    """Make a parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--device", choices=("cpu", "gpu"), help="default: gpu where there is one")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    parser.add_argument("--quick", action="store_true", help="a few seconds, numbers mean little")
    return parser


def chosen_device(wanted: str | None) -> torch.device:
    """Turn `cpu`, `gpu` or nothing into a device."""
    if wanted is None:
        wanted = "gpu" if torch.cuda.is_available() else "cpu"
    if wanted == "gpu" and not torch.cuda.is_available():
        raise SystemExit("error: torch finds no GPU here")
    return torch.device("cuda" if wanted == "gpu" else "cpu")


def write_result(
    folder: Path, benchmark: str, device: torch.device, content: Mapping[str, Any]
) -> Path:
    """Write `<benchmark>-<cpu or gpu>.json` with the facts of this run, and say where.

    Args:
        folder: Where results are.
        benchmark: `loader`, `step` or `preprocess`.
        device: Where it ran.
        content: What was measured, and with which settings.
    """
    kind = "gpu" if device.type == "cuda" else "cpu"
    path = folder / f"{benchmark}-{kind}.json"
    facts = {"benchmark": benchmark, "device": kind, **run_facts()}
    write_document(path, "benchmark", {**facts, **content})
    print(f"\n{path}")
    return path


def run_facts() -> dict[str, Any]:
    """Return time, machine and versions of a benchmark."""
    return {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "last_level_cache_bytes": last_level_cache_bytes(),
            # Others on the machine cost every contestant something, and not all the same.
            "load_average": os.getloadavg()[0],
            "platform": platform.platform(),
            "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        },
        "versions": {
            "python": platform.python_version(),
            "cuda": torch.version.cuda if torch.cuda.is_available() else None,
            **{name: importlib.metadata.version(name) for name in LIBRARIES},
        },
        "commit": _commit(),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def last_level_cache_bytes() -> int | None:
    """Count the bytes of all caches of the last level; None where the system does not say."""
    found: dict[tuple[int, str], int] = {}
    for cache in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cache/index[0-9]*"):
        level, shared = (cache / "level").read_text(), (cache / "shared_cpu_list").read_text()
        size = (cache / "size").read_text().strip()
        found[int(level), shared] = int(size.removesuffix("K")) * 1024
    last = max((level for level, _ in found), default=None)
    return None if last is None else sum(n for (level, _), n in found.items() if level == last)


def _commit() -> dict[str, Any]:
    """Name the commit of the code that is measured, and say whether it was changed since."""
    changed = _git("status", "--porcelain", "--", "omnimouse_cli", "rust", "benchmarks/*.py")
    return {"hash": _git("rev-parse", "HEAD") or None, "is_changed": bool(changed)}


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def print_rows(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, its first column to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        first, *others = (
            text.ljust(width) if place == 0 else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *others]))
