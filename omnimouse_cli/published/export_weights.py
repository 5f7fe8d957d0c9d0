"""The weights of a finished run as a plain safetensors file, by our names or the published ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from torch import Tensor

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.published.names import ANIMAL_PREFIX, ANIMALS, core_names, table_names
from omnimouse_cli.run.load import LoadedRun
from omnimouse_cli.run.weights import write_tensors, write_weights

Names = Literal["ours", "published"]


def export_weights(run: LoadedRun, out: Path, names: Names) -> dict[str, tuple[int, ...]]:
    """Write the weights of a run.

    Args:
        run: The run.
        out: The file; it appears whole or not at all.
        names: By ours the file is that of the run, with the run's description in its header.

    Returns:
        The shape of every tensor, by the names in the file.

    Raises:
        OmniMouseError: The file exists, or the published model has no name for a tensor.
    """
    if out.exists():
        raise OmniMouseError(
            f"{out} exists", hint="name another file with --out, or remove this one first"
        )
    if names == "published":
        tensors = published_tensors(run)
        write_tensors(out, tensors, {"format": "pt"})
    else:
        tensors = run.tensors()
        write_weights(out, tensors, run)
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def published_tensors(run: LoadedRun) -> dict[str, Tensor]:
    """Give the tensors of a run by the names of the published model.

    Raises:
        OmniMouseError: The run's model has what the published one has not.
    """
    core, names = run.model.state_dict(), core_names(run.config.model)
    animals = core.pop(ANIMALS)
    _require_published(run, core, names)
    tensors = {names[ours]: value for ours, value in core.items()}
    for animal, row in zip(run.animals, animals, strict=True):
        tensors[f"{ANIMAL_PREFIX}{animal}"] = row.clone()
    for session, table in run.tables.items():
        own = table_names(session)
        tensors |= {own[ours]: value for ours, value in table.state_dict().items()}
    return tensors


def _require_published(
    run: LoadedRun, core: Mapping[str, Tensor], names: Mapping[str, str]
) -> None:
    unknown = sorted(set(core) - set(names))
    if unknown:
        raise OmniMouseError(
            f"the published model has no name for {unknown[0]} of {run.folder}"
            + (f" and {len(unknown) - 1} others" if len(unknown) > 1 else ""),
            hint="export by our names, with --names ours",
        )
