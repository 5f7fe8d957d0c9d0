"""One file of a published checkpoint, read without executing its pickle."""

import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from omnimouse_cli.errors import CheckpointError
from omnimouse_cli.published.names import COMPILED_PREFIX

ZIP_MAGIC = b"PK\x03\x04"
_NUMBERS = "biufc"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RankFile:
    """Content of the file that one rank of the published training wrote.

    Args:
        path: The file.
        tensors: Weights and buffers by name, without the prefix of torch.compile; memory-mapped,
            so that only tensors that are used are read.
        sessions: `n_neurons`, `animal_id` and `on_rank` by session; None without a session map.
        epoch: Epoch of the training; None if it is not in the file.
        step: Step of the training; None if it is not in the file.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    sessions: Mapping[str, Mapping[str, Any]] | None
    epoch: int | None
    step: int | None


def read_rank_file(path: Path) -> RankFile:
    """Read the file of a rank.

    PyTorch's restricted unpickler builds tensors, numbers, strings and containers and calls nothing
    else. NumPy arrays are accepted and dropped.

    Raises:
        CheckpointError: The file is cut short, holds anything else, or is not a checkpoint.
    """
    with path.open("rb") as stream:
        if stream.read(len(ZIP_MAGIC)) != ZIP_MAGIC:
            raise CheckpointError(
                f"{path} is not a checkpoint: it is not in the zip format of torch.save",
                hint="copy the file again",
            )
    with torch.serialization.safe_globals(_ALLOWED):
        content = _unpickle(path)
    if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict):
        raise CheckpointError(
            f"{path} is not a checkpoint of the published layout: it has no `state_dict`",
            hint="name the folder with the files rank_0.ckpt, rank_1.ckpt, ...",
        )
    return RankFile(
        path=path,
        tensors=_require_tensors(path, content["state_dict"]),
        sessions=_require_session_map(path, content.get("session_map")),
        epoch=_require_count(path, "epoch", content.get("epoch")),
        step=_require_count(path, "step", content.get("step")),
    )


def _unpickle(path: Path) -> object:
    try:
        forbidden = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        if forbidden:
            raise _forbidden_content(path, f"{', '.join(sorted(forbidden))}, and")
        return torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise _forbidden_content(path, "a pickle that does more than describe data:") from error
    except Exception as error:  # a damaged pickle can raise anything
        reason = str(error).partition(".")[0].partition("\n")[0] or type(error).__name__
        raise CheckpointError(
            f"{path} is damaged: {reason}", hint="it may be cut short: copy the file again"
        ) from error


def _forbidden_content(path: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"{path} holds {what} only tensors, numbers, strings, containers and numpy arrays are "
        "allowed",
        hint="nothing of the file was run; take weights from a source that you trust",
    )


def _require_tensors(path: Path, state: Mapping[Any, Any]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(f"{path}: `state_dict` holds {key}, which is not a tensor")
        name = key.removeprefix(COMPILED_PREFIX)
        if name in tensors:
            raise CheckpointError(f"{path} holds the tensor {name} twice")
        tensors[name] = value.detach()
    return tensors


def _require_session_map(path: Path, content: object) -> dict[str, Mapping[str, Any]] | None:
    if content is None:
        return None
    if not isinstance(content, dict) or not all(
        isinstance(key, str) and isinstance(facts, dict) for key, facts in content.items()
    ):
        raise CheckpointError(f"{path}: `session_map` does not describe each session")
    return content


def _require_count(path: Path, name: str, value: object) -> int | None:
    if value is None or isinstance(value, int):
        return value
    raise CheckpointError(f"{path}: `{name}` must be a whole number: {value!r}")


class _DroppedArray:
    """Takes the place of a NumPy array, which the import does not need."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


class _NumberType:
    """Takes the place of `numpy.dtype` for a NumPy scalar."""

    def __init__(self, code: object, *_: object) -> None:
        self._code, self._order = str(code), ""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._order = str(state[1])

    def read(self, content: object) -> object:
        """Return the number that is stored in some bytes."""
        dtype = np.dtype(self._order + self._code)
        if dtype.kind not in _NUMBERS or not isinstance(content, bytes):
            raise pickle.UnpicklingError(f"a NumPy scalar of {dtype} is not a number")
        return np.frombuffer(content, dtype, count=1)[0].item()


def _number(kind: object, content: object = None) -> object:
    if not isinstance(kind, _NumberType):
        raise pickle.UnpicklingError("a NumPy scalar has no type")
    return kind.read(content)


def _list(items: Iterable[object] = (), _longest: object = None) -> list[object]:
    return list(items)


def _dict(_default: object = None) -> dict[object, object]:
    return {}


# Names that a pickle may use in addition to those that PyTorch allows (tensors and the containers
# of state dicts), and what is called in their place.
_ALLOWED: list[Any] = [
    (_DroppedArray, "numpy.ndarray"),
    *((_DroppedArray, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    *((_number, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    (_NumberType, "numpy.dtype"),
    (_list, "collections.deque"),
    (_dict, "collections.defaultdict"),
    *((kind, f"builtins.{kind.__name__}") for kind in (int, float, list, dict, frozenset)),
]
