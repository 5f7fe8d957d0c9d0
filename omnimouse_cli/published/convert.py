"""Published checkpoints to run folders, and weights of runs to safetensors files."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from omnimouse_cli.batch.dataset import CHANNEL_ORDER
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.config.sizes import default_run_config
from omnimouse_cli.cost.parameters import count_parameters
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import PARTIAL_SUFFIX, partial_name, sync_folder
from omnimouse_cli.published.checkpoint import PublishedCheckpoint
from omnimouse_cli.published.names import ANIMAL_PREFIX, ANIMALS, core_names, session_names
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.folder import WEIGHTS, write_config, write_environment, write_summary
from omnimouse_cli.run.load import LoadedRun
from omnimouse_cli.run.weights import CORE, TABLES, RunDescription, write_tensors, write_weights
from omnimouse_cli.text import pluralize

Names = Literal["ours", "published"]


def import_weights(
    checkpoint: PublishedCheckpoint,
    run: Path,
    *,
    shards: Path | None,
    command_line: Sequence[str],
    reporter: Reporter,
) -> dict[str, Any]:
    """Write a run with the weights of a checkpoint; its folder appears whole or not at all.

    Args:
        checkpoint: The published checkpoint.
        run: Folder of the run; it does not exist or is empty.
        shards: Folder with shards of the sessions; None if unknown.
        command_line: Arguments of the process.
        reporter: Shows what is written.

    Returns:
        The content of the run's summary.
    """
    # The published recipe: in a step, every rank computed one batch of one of its sessions.
    defaults = default_run_config(checkpoint.model.size)
    config = replace(
        defaults,
        model=checkpoint.model,
        data=replace(
            defaults.data,
            sessions=tuple(session.session for session in checkpoint.sessions),
            normalize="scale",
            # As in the published recipe.
            require_behavior=True,
        ),
        train=replace(defaults.train, batches_per_step=checkpoint.num_ranks),
    )
    description = RunDescription(
        folder=run,
        config=config,
        sessions=checkpoint.sessions,
        behavior_channels=CHANNEL_ORDER,
        animals=checkpoint.animals,
        # The published model was trained on deconvolved activity.
        response_kind="rate",
        step=checkpoint.step,
        shards=shards,
    )
    tensors = {f"{CORE}{name}": value for name, value in checkpoint.core.items()}
    for session, of_session in checkpoint.embeddings.items():
        tensors |= {f"{TABLES}{session}.{name}": value for name, value in of_session.items()}
    summary = _summarize(checkpoint, config, run)
    reporter.say(f"writing {run}")
    with _write_folder(run) as folder:
        write_weights(folder / WEIGHTS, _unshare_memory(tensors), description)
        write_environment(
            folder,
            device=None,
            num_ranks=checkpoint.num_ranks,
            seed=None,
            shards=shards,
            command_line=command_line,
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


def _summarize(checkpoint: PublishedCheckpoint, config: RunConfig, run: Path) -> dict[str, Any]:
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


def _unshare_memory(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors that share memory with others, which safetensors refuses."""
    copied, seen = {}, set()
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage()
        is_alone = storage.nbytes() == tensor.nbytes and storage.data_ptr() not in seen
        seen.add(storage.data_ptr())
        copied[name] = tensor if is_alone else tensor.clone()
    return copied


@contextmanager
def _write_folder(run: Path) -> Iterator[Path]:
    """Make a temporary folder that is renamed to `run` when the block succeeds."""
    run = run.absolute()
    partial = run.with_name(f"{partial_name(run)}{PARTIAL_SUFFIX}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.replace(run)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync_folder(run.parent)


def export_weights(run: LoadedRun, out: Path, names: Names) -> dict[str, tuple[int, ...]]:
    """Write the weights of a run as a safetensors file, which appears whole or not at all.

    Args:
        run: The run.
        out: The file.
        names: Names of the tensors. With ours, the header describes the run as in its own file.

    Returns:
        The shape of every tensor by its name in the file.

    Raises:
        OmniMouseError: The file exists, or the published model has no name for a tensor.
    """
    if out.exists():
        raise OmniMouseError(
            f"{out} exists", hint="name another file with --out, or remove this one first"
        )
    if names == "published" and run.config.model.kind == "cnn-twin":
        raise OmniMouseError(
            f"{run.folder} is a cnn-twin, and the published names are those of a transformer",
            hint="export with our names: --names ours",
        )
    if names == "published":
        tensors = _rename_to_published(run)
        write_tensors(out, tensors, {"format": "pt"})
    else:
        tensors = run.tensors()
        write_weights(out, tensors, run)
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _rename_to_published(run: LoadedRun) -> dict[str, Tensor]:
    core, names = run.model.state_dict(), core_names(run.config.model)
    animals = core.pop(ANIMALS)
    unknown = sorted(set(core) - set(names))
    if unknown:
        raise OmniMouseError(
            f"the published model has no name for {unknown[0]} of {run.folder}"
            + (f" and {pluralize(len(unknown) - 1, 'other')}" if len(unknown) > 1 else ""),
            hint="export with our names: --names ours",
        )
    tensors = {names[ours]: value for ours, value in core.items()}
    for animal, row in zip(run.animals, animals, strict=True):
        tensors[f"{ANIMAL_PREFIX}{animal}"] = row.clone()
    for session, embeddings in run.embeddings.items():
        theirs = session_names(session)
        tensors |= {theirs[ours]: value for ours, value in embeddings.state_dict().items()}
    return tensors
