"""Check and measure a GPU, in one command that survives failures, crashes and time-outs.

    python3 benchmarks/gpu.py [--budget 540] [--only facts,kernels] [--wheels FOLDER] [--quick]

Needs a Python with torch and Triton, and nothing that `make` builds: with `--wheels` the package is
installed from a folder of wheels into a temporary folder, without a network; otherwise it is
imported from the sources, which then need the extension in `omnimouse_cli/`. Each check of
`gpu_kernels.py` and `gpu_training.py` runs in a process of its own with a limit; after every check
the results are written anew, targets beside what was measured.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks/results/gpu.json"
# Below this, a process has hardly imported torch.
LEAST_SECONDS = 15.0
LOG_CHARACTERS = 3000


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A program whose lines of JSON are its result.

    Args:
        name: Key of the check in the JSON document; targets refer to it.
        seconds: Longest time that it may take.
        arguments: Arguments of Python.
    """

    name: str
    seconds: float
    arguments: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of a check.

    Args:
        state: `passed`, `failed`, `timed out` or `skipped`.
        exit_code: Exit code of the process; negative where a signal ended it, None where none ran.
        seconds: Time that it took.
        limit_seconds: Time that it was given.
        rows: What it measured, as far as it came.
        log: End of its output, where it did not pass.
    """

    state: str
    exit_code: int | None = None
    seconds: float = 0.0
    limit_seconds: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)
    log: str = ""


def all_checks(*, is_quick: bool = False) -> list[Check]:
    """Return the checks, the quick and telling ones first; with `is_quick`, of nano alone."""
    folder = ROOT / "benchmarks"

    def kernels(seconds: float, name: str) -> Check:
        arguments = (str(folder / "gpu_kernels.py"), name)
        return Check(name=name, seconds=seconds, arguments=arguments)

    def training(seconds: float, name: str, *arguments: str) -> Check:
        arguments = (str(folder / "gpu_training.py"), *(arguments or (name,)))
        return Check(name=name, seconds=seconds, arguments=arguments)

    # -P keeps the sources from hiding an installed package.
    pytest = ("-P", "-m", "pytest", str(ROOT / "tests/cuda"), "-m", "gpu", "-q")
    pytest += ("--rootdir", str(ROOT), "-p", "no:cacheprovider", "--maxfail=20")
    every, large, others = (
        ("nano", "nano", "nano")
        if is_quick
        else ("nano,tiny,1M,5M,20M,80M,300M", "80M", "1M,20M,300M")
    )
    return [
        kernels(60, "facts"),
        kernels(60, "ceilings"),
        kernels(100, "errors"),
        kernels(90, "kernels"),
        training(90, "steps, eager", "steps", "eager", every),
        Check(name="tests", seconds=180, arguments=pytest),
        kernels(110, "attention"),
        training(330, "steps, compiled, 80M", "steps", "compiled", large),
        training(100, "profile", "profile", large),
        training(90, "agreement"),
        training(170, "training"),
        training(240, "steps, compiled, others", "steps", "compiled", others),
    ]


def run(check: Check, seconds: float, environment: Mapping[str, str], folder: Path) -> Outcome:
    """Run a check for at most some seconds; whatever it started ends with it."""
    log_path, started = folder / "log", time.monotonic()
    with log_path.open("w") as log:
        child = subprocess.Popen(
            [sys.executable, *check.arguments],
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        try:
            exit_code = child.wait(seconds)
            state = "failed" if exit_code else "passed"
        except subprocess.TimeoutExpired:
            state = "timed out"
        finally:
            # Processes that it left behind would hold the GPU's memory.
            _kill_group(child.pid)
        exit_code = child.wait()
    text = log_path.read_text(errors="replace")
    return Outcome(
        state=state,
        exit_code=exit_code,
        seconds=round(time.monotonic() - started, 1),
        limit_seconds=round(seconds, 1),
        rows=_rows(text),
        log="" if state == "passed" else text[-LOG_CHARACTERS:],
    )


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _rows(text: str) -> list[dict[str, Any]]:
    """Return the lines that are JSON; of a killed process, the last one may be torn."""
    rows = []
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A number that is to be reached.

    Args:
        name: What is measured.
        check: The check that measures it.
        row: Values by which its row is found.
        key: The number in that row.
        least: It is to be at least this, if not None.
        most: It is to be at most this, if not None.
    """

    name: str
    check: str
    row: Mapping[str, object]
    key: str
    least: float | None = None
    most: float | None = None

    def judge(self, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
        """Return the target beside what was measured; None where nothing was."""
        rows = outcomes[self.check].rows if self.check in outcomes else []
        found = [row for row in rows if self.row.items() <= row.items() and self.key in row]
        measured = found[-1][self.key] if found else None
        is_met = None
        if measured is not None:
            is_low = self.least is not None and measured < self.least
            is_high = self.most is not None and measured > self.most
            is_met = not (is_low or is_high)
        limits = {"least": self.least, "most": self.most}
        return {"name": self.name, **limits, "measured": measured, "is_met": is_met}


_BIG = {"rows": 32768, "units": 2176}
TARGETS = (
    Target(
        name="dendritic units, forward and backward, over fused SwiGLU",
        check="kernels",
        row={"name": "dendritic, 8-1-relu", **_BIG},
        key="ratio_to_swiglu",
        most=1.15,
    ),
    Target(
        name="dendritic units, share of copy bandwidth",
        check="kernels",
        row={"name": "dendritic, 8-1-relu", **_BIG},
        key="ratio_to_copy",
        least=0.75,
    ),
    Target(
        name="80M at batch 8, compiled, share of peak FLOP/s",
        check="steps, compiled, 80M",
        row={"size": "80M", "precision": "bfloat16"},
        key="ratio_to_peak",
        least=0.36,
    ),
    Target(
        name="loss of bfloat16 over that of float32 after 40 steps",
        check="agreement",
        row={"name": "ratio of losses"},
        key="gpu bfloat16",
        least=0.99,
        most=1.01,
    ),
    Target(
        name="loss of the GPU over that of the CPU after 40 steps",
        check="agreement",
        row={"name": "ratio of losses"},
        key="gpu float32",
        least=0.99,
        most=1.01,
    ),
    Target(
        name="first compiled step of 80M in seconds",
        check="steps, compiled, 80M",
        row={"size": "80M"},
        key="first_seconds",
        most=300,
    ),
    Target(
        name="first compiled step of 1M in seconds",
        check="steps, compiled, others",
        row={"size": "1M"},
        key="first_seconds",
        most=90,
    ),
)


def write(path: Path, outcomes: Mapping[str, Outcome], *, is_quick: bool) -> None:
    """Write all results so far; the file is whole at every moment."""
    facts = outcomes["facts"].rows if "facts" in outcomes else []
    document = {
        "format": "omnimouse-benchmark",
        "version": 1,
        "benchmark": "gpu",
        "device": "gpu",
        "is_quick": is_quick,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        **(facts[0] if facts else {}),
        "targets": [target.judge(outcomes) for target in TARGETS],
        "checks": {name: asdict(outcome) for name, outcome in outcomes.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(document, indent=2) + "\n")
    partial.replace(path)


def install(wheels: Path, folder: Path) -> None:
    """Install the package from a folder of wheels into another one, without a network."""
    found = sorted(str(path) for path in wheels.glob("*.whl"))
    if not found:
        raise SystemExit(f"error: there is no wheel in {wheels}")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    done = subprocess.run([*pip, "--target", str(folder), *found], check=False)
    if done.returncode:
        raise SystemExit("error: the wheels could not be installed")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks that fit the budget; exit with 1 where one did not pass."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULT, help="file of the results")
    parser.add_argument("--budget", type=float, default=1800, help="seconds of all checks")
    parser.add_argument("--only", help="names of checks, separated by semicolons")
    parser.add_argument("--wheels", type=Path, help="folder of wheels of the package")
    parser.add_argument("--quick", action="store_true", help="small sizes, numbers mean little")
    options = parser.parse_args(arguments)
    checks = all_checks(is_quick=options.quick)
    if options.only is not None:
        wanted = options.only.split(";")
        unknown = set(wanted) - {check.name for check in checks}
        if unknown:
            parser.error(f"there is no check {', '.join(sorted(unknown))}")
        checks = [check for check in checks if check.name in wanted]
    ends, outcomes = time.monotonic() + options.budget, dict[str, Outcome]()
    with tempfile.TemporaryDirectory(prefix="omnimouse-gpu-") as temporary:
        folder = Path(temporary)
        environment = _environment(options.wheels, folder, is_quick=options.quick)
        for check in checks:
            left = ends - time.monotonic()
            if left < min(check.seconds, LEAST_SECONDS):
                outcome = Outcome(state="skipped", log=f"{max(left, 0):.0f} s of the budget left")
            else:
                outcome = run(check, min(check.seconds, left), environment, folder)
            outcomes[check.name] = outcome
            write(options.out, outcomes, is_quick=options.quick)
            print(f"{check.name:26} {outcome.state:10} {outcome.seconds:6.1f} s", flush=True)
    for target in (target.judge(outcomes) for target in TARGETS):
        verdict = {None: "not measured", True: "met", False: "missed"}[target["is_met"]]
        print(f"{target['name']}: {target['measured']} ({verdict})")
    print(options.out)
    return int(any(outcome.state != "passed" for outcome in outcomes.values()))


def _environment(wheels: Path | None, folder: Path, *, is_quick: bool) -> dict[str, str]:
    site = ROOT
    if wheels is not None:
        site = folder / "site"
        install(wheels, site)
    search = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    (folder / "work").mkdir()
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(search),
        "OMNIMOUSE_GPU_FOLDER": str(folder / "work"),
        "OMNIMOUSE_GPU_QUICK": "1" if is_quick else "",
    }


if __name__ == "__main__":
    # A terminated runner still ends its check and keeps what was measured.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
