"""start.safetensors: the functions of dendritic units before the first step of a training."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from omnimouse_cli.errors import CheckpointError
from omnimouse_cli.files import write_atomically

START = "start.safetensors"
# Name of the function that all layers share.
WHOLE_MODEL = "all"
_WEIGHTS = "dendrite.weights"


def write_start_functions(run: Path, core: Mapping[str, Tensor]) -> None:
    """Write the functions of a core that is not trained yet; nothing if it has none.

    Args:
        run: Folder of the run.
        core: Weights of the core by their names.
    """
    functions = {
        name.removesuffix(_WEIGHTS).removesuffix(".") or WHOLE_MODEL: value.detach().cpu()
        for name, value in core.items()
        if name.endswith(_WEIGHTS)
    }
    if functions:
        with write_atomically(run / START) as stream:
            stream.write(save({name: value.contiguous() for name, value in functions.items()}))


def read_start_functions(run: Path) -> dict[str, Tensor]:
    """Return weights `(cell types, weights)` by the name of their feed-forward, or `all`.

    The result is empty for a run of an earlier version, which stored none.

    Raises:
        CheckpointError: The file is damaged.
    """
    path = run / START
    if not path.exists():
        return {}
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} is damaged: {error}", hint="remove it, or copy it again"
        ) from error
