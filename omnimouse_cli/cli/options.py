"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from omnimouse_cli.errors import OmniMouseError

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document and nothing else on stdout.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
DeviceOption = Annotated[
    str, typer.Option("--device", help="cpu, cuda or auto (cuda where there is one).")
]
ShardsOption = Annotated[
    Path | None, typer.Option("--shards", help="Folder of shards; by default the run's own.")
]
AllowOtherDataOption = Annotated[
    bool,
    typer.Option(
        "--allow-other-data",
        help="Allow shards that hold other data of a session than RUN was trained on.",
    ),
]


def parse_task(text: str) -> tuple[int, int]:
    """Return I and N of an option I/N, the I-th of N shares.

    Raises:
        OmniMouseError: The text is something else, or there is no such share.

    Example:
        >>> parse_task("2/8")
        (2, 8)
    """
    words = text.split("/")
    if len(words) != 2 or not all(word.isdigit() for word in words):
        raise OmniMouseError(
            f"--task must be two whole numbers, I/N: {text!r}",
            hint="for example --task 1/8, or in an array job --task $SLURM_ARRAY_TASK_ID/8",
        )
    task, num_tasks = int(words[0]), int(words[1])
    if not 1 <= task <= num_tasks:
        raise OmniMouseError(
            f"--task {text}: tasks are numbered from 1 to N",
            hint="for example sbatch --array=1-8 with --task $SLURM_ARRAY_TASK_ID/8",
        )
    return task, num_tasks
