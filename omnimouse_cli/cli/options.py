"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document and nothing else on stdout.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of everything random.")]
DeviceOption = Annotated[
    str, typer.Option("--device", help="cpu, cuda or auto (cuda where there is one).")
]
ShardsOption = Annotated[
    Path | None, typer.Option("--shards", help="Folder of shards; by default the run's own.")
]


def split_words(text: str) -> list[str]:
    """Split a comma-separated option; empty words are dropped."""
    return [word.strip() for word in text.split(",") if word.strip()]
