"""Run commands one after the other, with the counts of the null device at each training step.

    python command.py STEPS.jsonl train shards --device cuda ... --then eval ...

What happens between two such moments is what one step costs the host, whichever part of the program
does it: loader, model, optimizers, log. Commands of one process share what is compiled.
"""

import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from counts import read_counts

from omnimouse_cli.cli.app import main
from omnimouse_cli.training import loop


def write_line(target: Path, **facts: Any) -> None:
    """Write a line with facts and the counts until now."""
    counts = read_counts(Path(os.environ["NULL_DEVICE_COUNTS"])).values
    with target.open("a") as stream:
        stream.write(json.dumps({**facts, **counts}) + "\n")


def record_steps(target: Path) -> None:
    """Write a line of counts, with the masking strategy, before each call of `train_step`."""
    train_step = loop.train_step

    def recorded(state: Any, setup: Any, strategy: Any) -> Any:
        write_line(target, strategy=strategy.name, shortcuts_only=state.core.shortcuts_only)
        return train_step(state, setup, strategy)

    loop.train_step = recorded


def solve_identities(module: ModuleType, *names: str) -> None:
    """Replace the matrices of linear algebra functions by the identity.

    Matrices that kernels were to compute hold arbitrary numbers on this device, and may have
    neither eigenvalues nor an inverse. What is solved has to be on the CPU.
    """
    for name in names:
        compute = getattr(module.linalg, name)

        def computed(matrix: Any, *others: Any, compute: Any = compute) -> Any:
            eye = module.eye(*matrix.shape[-2:], dtype=matrix.dtype)
            if isinstance(matrix, torch.Tensor):
                assert all(each.device.type == "cpu" for each in (matrix, *others))
            return compute(eye, *(each.nan_to_num() for each in others))

        setattr(module.linalg, name, computed)


def run_commands(target: Path, words: list[str]) -> None:
    """Run the commands between the words `--then`; write a line of counts at the end of each."""
    while words:
        end = words.index("--then") if "--then" in words else len(words)
        sys.argv[1:], words = words[:end], words[end + 1 :]
        try:
            main()
        except SystemExit as stop:
            if stop.code:
                raise
        write_line(target, ended=sys.argv[1])


if __name__ == "__main__":
    solve_identities(torch, "cholesky", "eigh", "inv", "qr", "solve")
    solve_identities(np, "eigh")
    lines = Path(sys.argv[1])
    record_steps(lines)
    run_commands(lines, sys.argv[2:])
