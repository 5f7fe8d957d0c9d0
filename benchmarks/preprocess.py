"""Speed of `omnimouse preprocess`, compared with `cp` of the same responses.

    python benchmarks/preprocess.py [--quick] [--folder FOLDER] [--device cpu]

The recording has 8,000 neurons x 36,000 samples of float32 responses (1.15 GB), a screen, pupil and
running. Every round copies its responses with `cp`, copies and syncs them, and preprocesses the
recording with the command, which syncs its shard; all from a warm page cache. Speed is bytes of
responses per second, including the start of the interpreter. Then two recordings are preprocessed
with one and with two jobs; the time of the second recording in one job is the difference to one
recording. Needs about 7 GB of disk, and Linux.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from machine import benchmark_parser, chosen_device, print_rows, write_result
from session_folder import write_session
from synthetic import Extent

ONE, TWO_IN_TURN = "preprocess", "preprocess, 2 recordings, 1 job"
FURTHER = "preprocess, the second of them"

# Runs the command and prints its peak memory at exit: `VmHWM: ... kB`.
PEAK = """
import atexit, pathlib, sys
from omnimouse_cli.cli.app import main
status = pathlib.Path("/proc/self/status")
peak = lambda: next(line for line in status.read_text().splitlines() if "VmHWM" in line)
atexit.register(lambda: sys.stderr.write(peak()))
main()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Size and number of measurements.

    Args:
        extent: Size of a recording.
        rounds: Number of rounds, in each of which every contestant is timed once.
    """

    extent: Extent
    rounds: int = 5


WHOLE = Settings(extent=Extent(neurons=8000, rows=36_000))
QUICK = Settings(extent=Extent(neurons=50, rows=300), rounds=1)


def measure(folder: Path, settings: Settings) -> dict[str, Any]:
    """Time every contestant once per round, and return medians."""
    sessions = [folder / "recordings" / name for name in ("1-1-1", "1-1-2")]
    for number, session in enumerate(sessions):
        write_session(session, settings.extent, seed=number)
    responses = sessions[0] / "responses" / "data.mem"
    num_bytes = responses.stat().st_size
    contestants = _contestants(responses, sessions, folder / "out")
    turns: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(settings.rounds):
        for name, (_, turn) in contestants.items():
            turns[name].append(_timed(turn))
            shutil.rmtree(folder / "out", ignore_errors=True)
    # Time of a recording without the start of Python.
    pairs = zip(turns[TWO_IN_TURN], turns[ONE], strict=True)
    turns[FURTHER] = [both - one for both, one in pairs]
    copied = num_bytes / statistics.median(turns["cp"])
    synced = num_bytes / statistics.median(turns["cp and sync"])
    rows = []
    for name, seconds in turns.items():
        num_files = contestants[name][0] if name in contestants else 1
        speed = num_files * num_bytes / statistics.median(seconds)
        rows.append(
            {
                "name": name,
                "seconds": statistics.median(seconds),
                "seconds_rounds": seconds,
                "bytes_per_second": speed,
                "ratio_to_cp": speed / copied,
                "ratio_to_cp_and_sync": speed / synced,
            }
        )
    peaks = {jobs: _peak_bytes(sessions, jobs, folder / "out") for jobs in (1, 2)}
    return {"responses_bytes": num_bytes, "peak_bytes_of_jobs": peaks, "rows": rows}


def _peak_bytes(sessions: Sequence[Path], jobs: int, out: Path) -> int:
    """Preprocess once more and return the peak resident memory.

    The system's count of a child process starts with the size of its parent, so the command reports
    its own.
    """
    options = ("preprocess", *map(str, sessions), "--quiet", "--jobs", str(jobs), "--out", str(out))
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *options], check=True, capture_output=True, text=True
    )
    shutil.rmtree(out)
    return 1024 * int(done.stderr.split()[-2])


def _contestants(
    responses: Path, sessions: Sequence[Path], out: Path
) -> dict[str, tuple[int, Callable[[], None]]]:
    """Return the contestants by name, with the number of recordings that each processes."""

    def copy() -> None:
        out.mkdir()
        _run("cp", responses, out / "copy")

    def copy_and_sync() -> None:
        copy()
        _run("sync", out / "copy")

    def preprocess(recordings: Sequence[Path], jobs: int) -> Callable[[], None]:
        command = (sys.executable, "-m", "omnimouse_cli", "preprocess", *recordings, "--quiet")
        return lambda: _run(*command, "--jobs", str(jobs), "--out", out)

    return {
        "cp": (1, copy),
        "cp and sync": (1, copy_and_sync),
        ONE: (1, preprocess(sessions[:1], 1)),
        TWO_IN_TURN: (2, preprocess(sessions, 1)),
        "preprocess, 2 recordings, 2 jobs": (2, preprocess(sessions, 2)),
    }


def _run(*command: str | Path) -> None:
    # Installed modules are compiled; without this variable those of a checkout are too.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)


def _timed(turn: Callable[[], None]) -> float:
    began = time.perf_counter()
    turn()
    return time.perf_counter() - began


def print_result(result: dict[str, Any]) -> None:
    """Print the table."""
    heads = ("", "seconds", "GB/s", "of cp", "of cp and sync")
    rows = [
        (
            row["name"],
            f"{row['seconds']:.2f}",
            f"{row['bytes_per_second'] / 1e9:.2f}",
            f"{row['ratio_to_cp']:.2f}",
            f"{row['ratio_to_cp_and_sync']:.2f}",
        )
        for row in result["rows"]
    ]
    print_rows(heads, rows)
    for jobs, peak in result["peak_bytes_of_jobs"].items():
        print(f"\npeak memory with --jobs {jobs}: {peak / 1e6:.0f} MB", end="")
    print()


def main() -> None:
    """Write the recordings, measure, print the result and write it."""
    assert __doc__ is not None
    parser = benchmark_parser(__doc__.splitlines()[0])
    parser.add_argument(
        "--folder", type=Path, help="where recordings and shards go; default: a temporary one"
    )
    options = parser.parse_args()
    settings = QUICK if options.quick else WHOLE
    with tempfile.TemporaryDirectory() as temporary:
        result = measure(options.folder or Path(temporary), settings)
    print_result(result)
    content = {"is_quick": options.quick, "settings": asdict(settings), **result}
    write_result(options.out, "preprocess", chosen_device("cpu"), content)


if __name__ == "__main__":
    main()
