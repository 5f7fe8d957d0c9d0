"""One file of a published checkpoint, read without running or building what is not weights."""

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
    """What one rank of the published training wrote.

    Args:
        path: The file.
        tensors: Its weights and buffers, without a compiled model's prefix; memory-mapped, so
            that only what is used is ever read.
        sessions: What it says of each session, `n_neurons`, `animal_id` and `on_rank`; None
            where it has no session map.
        epoch: Of the training; None where it is not said.
        step: Of the training; None where it is not said.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    sessions: Mapping[str, Mapping[str, Any]] | None
    epoch: int | None
    step: int | None


def read_rank_file(path: Path) -> RankFile:
    """Read a rank's file.

    The pickle inside is read by torch's restricted reader, which builds tensors, numbers, strings
    and containers and calls nothing else. Arrays of NumPy are admitted and passed over.

    Raises:
        CheckpointError: The file is cut short, holds anything else, or is no checkpoint.
    """
    with path.open("rb") as stream:
        if stream.read(len(ZIP_MAGIC)) != ZIP_MAGIC:
            raise CheckpointError(
                f"{path} is no checkpoint: it is not in the zip format of torch.save",
                hint="copy the file again",
            )
    with torch.serialization.safe_globals(_ADMITTED):
        content = _content(path)
    if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict):
        raise CheckpointError(
            f"{path} is no checkpoint of the published layout: it has no `state_dict`",
            hint="name the folder with the files rank_0.ckpt, rank_1.ckpt, ...",
        )
    return RankFile(
        path=path,
        tensors=_tensors(path, content["state_dict"]),
        sessions=_sessions(path, content.get("session_map")),
        epoch=_count(path, "epoch", content.get("epoch")),
        step=_count(path, "step", content.get("step")),
    )


def _content(path: Path) -> object:
    try:
        foreign = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        if foreign:
            raise _refused(path, f"{', '.join(sorted(foreign))}, and")
        return torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise _refused(path, "a pickle that does more than describe data:") from error
    except Exception as error:  # a damaged pickle can fail in every way that there is
        reason = str(error).partition(".")[0].partition("\n")[0] or type(error).__name__
        raise CheckpointError(
            f"{path} is damaged: {reason}", hint="it may be cut short: copy the file again"
        ) from error


def _refused(path: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"{path} holds {what} only tensors, numbers, strings, containers and numpy arrays are "
        "admitted",
        hint="nothing of the file was run; take weights from a source that you trust",
    )


def _tensors(path: Path, state: Mapping[Any, Any]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(f"{path}: `state_dict` holds {key}, which is no tensor")
        name = key.removeprefix(COMPILED_PREFIX)
        if name in tensors:
            raise CheckpointError(f"{path} holds the tensor {name} twice")
        tensors[name] = value.detach()
    return tensors


def _sessions(path: Path, content: object) -> dict[str, Mapping[str, Any]] | None:
    if content is None:
        return None
    if not isinstance(content, dict) or not all(
        isinstance(key, str) and isinstance(facts, dict) for key, facts in content.items()
    ):
        raise CheckpointError(f"{path}: `session_map` does not give facts of each session")
    return content


def _count(path: Path, name: str, value: object) -> int | None:
    if value is None or isinstance(value, int):
        return value
    raise CheckpointError(f"{path}: `{name}` must be a whole number: {value!r}")


class _Unread:
    """Stands for an array that the import has no use for; whatever it is given, it drops."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


class _NumberType:
    """Stands for the type of a NumPy number."""

    def __init__(self, code: object, *_: object) -> None:
        self._code, self._order = str(code), ""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._order = str(state[1])

    def read(self, content: object) -> object:
        """Give the number that some bytes are."""
        dtype = np.dtype(self._order + self._code)
        if dtype.kind not in _NUMBERS or not isinstance(content, bytes):
            raise pickle.UnpicklingError(f"a NumPy scalar of {dtype} is no number")
        return np.frombuffer(content, dtype, count=1)[0].item()


def _number(kind: object, content: object = None) -> object:
    if not isinstance(kind, _NumberType):
        raise pickle.UnpicklingError("a NumPy scalar has no type")
    return kind.read(content)


def _list(items: Iterable[object] = (), _longest: object = None) -> list[object]:
    return list(items)


def _dict(_default: object = None) -> dict[object, object]:
    return {}


# What a pickle may name beside what torch admits itself (tensors and the containers that state
# dicts are made of), and what is called in its place.
_ADMITTED: list[Any] = [
    (_Unread, "numpy.ndarray"),
    *((_Unread, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    *((_number, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    (_NumberType, "numpy.dtype"),
    (_list, "collections.deque"),
    (_dict, "collections.defaultdict"),
    *((kind, f"builtins.{kind.__name__}") for kind in (int, float, list, dict, frozenset)),
]
