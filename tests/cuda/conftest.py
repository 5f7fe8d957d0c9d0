"""Fixtures of tests of CUDA: programs on the null device, and comparisons on a real one."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from null_device.build import UnavailableError, build, environment  # noqa: E402
from null_device.counts import NAMES, Counts, read_counts  # noqa: E402

# Nothing in there is a test, and one file changes torch where it is imported.
collect_ignore = ["null_device"]


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that ran on the null device.

    Args:
        done: Exit code and output.
        counts: Its calls.
        steps: For each command, calls between the starts of two training steps, by name, with the
            masking strategy.
        totals: For each command, its calls by name.
    """

    done: subprocess.CompletedProcess[str]
    counts: Counts
    steps: list[list[dict]]
    totals: list[dict]


@dataclass(frozen=True, slots=True)
class NullDevice:
    """Starts programs on the null device."""

    library: Path
    folder: Path

    def run(self, *command: str | Path, **variables: str) -> Ended:
        """Run Python with arguments, and return what it did."""
        counts = self.folder / "counts"
        counts.unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                # Processes that only compile would each import torch first.
                "TORCHINDUCTOR_COMPILE_THREADS": "1",
                **environment(self.library, counts),
                **variables,
            },
        )
        return Ended(done, read_counts(counts), [], [])

    def omnimouse(self, *commands: Sequence[object]) -> Ended:
        """Run commands in one process, and count what each and each training step does."""
        path = self.folder / "steps.jsonl"
        path.unlink(missing_ok=True)
        words = [word for command in commands for word in ("--then", *map(str, command))]
        ended = self.run(HERE / "null_device" / "command.py", path, *words[1:])
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        steps, totals, before = [[]], [], dict.fromkeys(NAMES, 0)
        for line in lines:
            if "ended" in line:
                totals.append(_difference(before, line))
                before = line
                steps.append([])
            else:
                steps[-1].append(line)
        steps = [[_difference(*pair) for pair in itertools.pairwise(each)] for each in steps[:-1]]
        return Ended(ended.done, ended.counts, steps, totals)


def _difference(start: dict, after: dict) -> dict:
    """Return the calls between the starts of two steps, with what the first step was."""
    return {name: after[name] - value if name in NAMES else value for name, value in start.items()}


@pytest.fixture(scope="session")
def null_device(tmp_path_factory) -> NullDevice:
    """The null device, built from the headers of this environment."""
    folder = tmp_path_factory.mktemp("null_device")
    try:
        return NullDevice(build(folder), folder)
    except UnavailableError as reason:
        pytest.skip(f"the null device cannot be built: {reason}")


@pytest.fixture(scope="session")
def has_numbers() -> bool:
    """Whether the device computes; on the null device nothing can be compared."""
    return not torch.cuda.get_device_name(0).startswith("null device")


@pytest.fixture
def require_close(has_numbers):
    """Compare tensors of a device with exact ones and with those of plain PyTorch."""

    def require(
        found: Sequence[Tensor], plain: Sequence[Tensor], exact: Sequence[Tensor], slack: float = 8
    ) -> None:
        """Errors are at most twice those of plain PyTorch, plus `slack` roundings of float32."""
        for ours, theirs, truth in zip(found, plain, exact, strict=True):
            assert ours.device.type == "cuda"
            assert (ours.shape, ours.dtype) == (truth.shape, theirs.dtype)
            if has_numbers:
                assert torch.isfinite(ours).all()
                error, allowed = ((x.double().cpu() - truth).abs().max() for x in (ours, theirs))
                ulp = torch.finfo(torch.float32).eps * truth.abs().max()
                assert error <= 2 * allowed + slack * ulp

    return require
