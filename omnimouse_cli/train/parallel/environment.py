"""Which rank a process is, as torchrun or Slurm tell it in the environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A process among those that train together.

    Args:
        rank: Its number, from 0.
        num_ranks: Of how many.
        local_rank: Its number on its machine.
        host: Where rank 0 listens; None where MASTER_ADDR and MASTER_PORT say it, or alone.
        port: On which port; used with `host`.
    """

    rank: int = 0
    num_ranks: int = 1
    local_rank: int = 0
    host: str | None = None
    port: int = 0


def place_of(environment: Mapping[str, str]) -> Place:
    """Read the place from the environment; without a launcher a process is alone.

    Args:
        environment: Variables, as of `os.environ`.

    Example:
        >>> place_of({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}).rank
        1
        >>> place_of({}).num_ranks
        1
    """
    if "RANK" in environment and "WORLD_SIZE" in environment:
        return Place(
            rank=int(environment["RANK"]),
            num_ranks=int(environment["WORLD_SIZE"]),
            local_rank=int(environment.get("LOCAL_RANK", 0)),
        )
    # Only srun sets the step's own number of tasks; a batch script alone is not one of them.
    if int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        named = "MASTER_ADDR" in environment and "MASTER_PORT" in environment
        return Place(
            rank=int(environment["SLURM_PROCID"]),
            num_ranks=int(environment["SLURM_STEP_NUM_TASKS"]),
            local_rank=int(environment["SLURM_LOCALID"]),
            host=None if named else first_host(environment["SLURM_STEP_NODELIST"]),
            port=0 if named else 20_000 + int(environment["SLURM_JOB_ID"]) % 20_000,
        )
    return Place()


def first_host(nodes: str) -> str:
    """Give the first machine of a Slurm node list.

    Args:
        nodes: As Slurm abbreviates it.

    Example:
        >>> first_host("gpu[03-05,9],login1")
        'gpu03'
    """
    match = re.match(r"([^\[,]+)(?:\[([^\],-]+)[^\]]*\]([^,]*))?", nodes)
    assert match is not None, f"a node list begins with a name: {nodes!r}"
    stem, number, suffix = match.groups(default="")
    return stem + number + suffix
