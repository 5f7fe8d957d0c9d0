"""A published checkpoint to a run folder that `eval` takes as it takes a trained one."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from omnimouse_cli.batch.dataset import CHANNEL_ORDER
from omnimouse_cli.config.presets import default_run_config
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.cost.parameters import count_parameters
from omnimouse_cli.files import PARTIAL_SUFFIX, sync_folder
from omnimouse_cli.published.checkpoint import PublishedCheckpoint
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.folder import WEIGHTS, write_config, write_environment, write_summary
from omnimouse_cli.run.weights import CORE, TABLES, RunDescription, write_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where imported weights go.

    Args:
        run: The run's folder; it does not exist, or is empty.
        shards: Where its sessions are; None if that is for `eval` to say.
        command_line: As the user typed it.
    """

    run: Path
    shards: Path | None
    command_line: Sequence[str]


def import_weights(
    checkpoint: PublishedCheckpoint, destination: Destination, reporter: Reporter
) -> dict[str, Any]:
    """Write a run folder with the weights of a checkpoint; it appears whole or not at all.

    Args:
        checkpoint: Of `read_checkpoint`.
        destination: Where.
        reporter: Is told what is written.

    Returns:
        The content of the run's summary.
    """
    config = config_of(checkpoint)
    reporter.say(f"writing {destination.run}")
    summary = _summary(checkpoint, config, destination.run)
    with _appearing_whole(destination.run) as folder:
        write_weights(
            folder / WEIGHTS,
            _named(checkpoint),
            RunDescription(
                folder=destination.run,
                config=config,
                sessions=checkpoint.sessions,
                behavior_channels=CHANNEL_ORDER,
                animals=checkpoint.animals,
                # The published model was trained on deconvolved activity.
                response_kind="rate",
                step=checkpoint.step,
                shards=destination.shards,
            ),
        )
        write_environment(
            folder,
            # The checkpoint does not say what it was trained on.
            device=None,
            num_ranks=checkpoint.num_ranks,
            seed=None,
            shards=destination.shards,
            command_line=destination.command_line,
            imported_from={
                "folder": str(checkpoint.folder.resolve()),
                "files": checkpoint.num_ranks,
                "epoch": checkpoint.epoch,
                "step": checkpoint.step,
            },
        )
        write_config(folder, config)
        write_summary(folder, summary)
    return summary


def config_of(checkpoint: PublishedCheckpoint) -> RunConfig:
    """Give the configuration of a run with these weights: the published recipe, this model."""
    # Every rank took one batch of one of its sessions in a step.
    config = default_run_config(checkpoint.model.size)
    return replace(
        config,
        model=checkpoint.model,
        data=replace(
            config.data,
            sessions=tuple(session.session for session in checkpoint.sessions),
            normalize="scale",
        ),
        train=replace(config.train, batches_per_step=checkpoint.num_ranks),
    )


def _named(checkpoint: PublishedCheckpoint) -> dict[str, Tensor]:
    tensors = {f"{CORE}{name}": value for name, value in checkpoint.core.items()}
    for session, table in checkpoint.tables.items():
        tensors |= {f"{TABLES}{session}.{name}": value for name, value in table.items()}
    return _apart(tensors)


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors that share memory with others, which safetensors refuses."""
    apart, seen = {}, set()
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage()
        is_alone = storage.nbytes() == tensor.nbytes and storage.data_ptr() not in seen
        seen.add(storage.data_ptr())
        apart[name] = tensor if is_alone else tensor.clone()
    return apart


def _summary(checkpoint: PublishedCheckpoint, config: RunConfig, run: Path) -> dict[str, Any]:
    return {
        "run": run.resolve().name,
        "model": config.model.size,
        "parameters": count_parameters(
            config.model,
            neurons=[session.neurons for session in checkpoint.sessions],
            num_channels=len(CHANNEL_ORDER),
            num_animals=len(checkpoint.animals),
        ),
        "windows_seen": None,
        "unique_tokens": None,
        "tokens_seen": None,
        "epochs": checkpoint.epoch,
        "steps": checkpoint.step,
        "sessions": len(checkpoint.sessions),
        "animals": len(checkpoint.animals),
        "seed": None,
        "response_loss": config.model.response_loss,
        "split": None,
        "validation": {"neural_loss": None, "records": []},
        "wall_seconds": None,
        "device": None,
        "num_ranks": checkpoint.num_ranks,
        "flops": None,
        "imported_from": str(checkpoint.folder.resolve()),
    }


@contextmanager
def _appearing_whole(run: Path) -> Iterator[Path]:
    """Give a folder beside `run` that takes its name when the block succeeds."""
    run = run.absolute()
    partial = run.with_name(f".{run.name}{PARTIAL_SUFFIX}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.replace(run)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync_folder(run.parent)
