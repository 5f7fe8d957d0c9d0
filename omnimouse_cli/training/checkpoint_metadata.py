"""Reads the pickled index of a torch.distributed.checkpoint folder without executing it."""

import io
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.filesystem import FileSystemReader, _StorageInfo
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    StorageMeta,
    TensorProperties,
    TensorStorageMetadata,
)

from omnimouse_cli.errors import CheckpointError, DamagedCheckpointError
from omnimouse_cli.run.checkpoints import DATA_FILE, METADATA


class CheckpointReader(FileSystemReader):
    """Reads the tensors of a checkpoint whose index has been read by `read_metadata`.

    Tensors are read by `torch.load` with `weights_only`. Objects other than tensors, which PyTorch
    would unpickle without that limit, are refused by `read_metadata`.

    Args:
        path: Folder of the checkpoint.
        metadata: File, offset and length of each tensor, as `read_metadata` returns them.
    """

    def __init__(self, path: Path, metadata: Metadata) -> None:
        super().__init__(path)
        self._metadata = metadata

    def read_metadata(self, *_: object, **__: object) -> Metadata:
        """Return the index, instead of unpickling it as the base class does."""
        return self._metadata


def read_metadata(checkpoint: Path) -> Metadata:
    """Return the index of a checkpoint: file, offset and length of each tensor.

    Args:
        checkpoint: Folder of the checkpoint.

    Raises:
        DamagedCheckpointError: The file is missing or damaged.
        CheckpointError: It names a class or function that an index of tensors does not need, or a
            file outside the checkpoint.
    """
    path = checkpoint / METADATA
    try:
        record = _Unpickler(io.BytesIO(path.read_bytes())).load()
        return _build_metadata(record)
    except _ForbiddenError as error:
        raise CheckpointError(
            f"{path} {error}",
            hint="nothing in it was executed; resume only from runs of people whom you trust",
        ) from error
    # Damaged bytes can make any operation of the unpickler raise any error.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DamagedCheckpointError(
            f"the checkpoint {checkpoint} is damaged: {METADATA} cannot be read: {reason}",
            hint="remove the folder and resume: the checkpoint before it is used",
        ) from error


class _ForbiddenError(Exception):
    """The index holds something that omnimouse never writes."""


class _Record:
    """Arguments and state of a pickled object whose class is not called.

    With a `__setstate__` of its own, the unpickler sets no attributes.
    """

    arguments: tuple[Any, ...]
    state: Any

    def __new__(cls, *arguments: object) -> "_Record":
        record = object.__new__(cls)
        record.arguments, record.state = arguments, None
        return record

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Size(_Record):
    """In place of `torch.Size`."""


class _Properties(_Record):
    """In place of `TensorProperties`."""


class _Chunk(_Record):
    """In place of `ChunkStorageMetadata`."""


class _Tensor(_Record):
    """In place of `TensorStorageMetadata`."""


class _Index(_Record):
    """In place of `MetadataIndex`."""


class _Storage(_Record):
    """In place of `_StorageInfo`."""


class _Metadata(_Record):
    """In place of `Metadata`."""


class _Unused(_Record):
    """In place of what is not needed: layouts, memory formats, the folder it was saved to."""


_IN_METADATA = "torch.distributed.checkpoint.metadata"
_STAND_INS: dict[tuple[str, str], type[_Record]] = {
    (_IN_METADATA, "Metadata"): _Metadata,
    (_IN_METADATA, "TensorStorageMetadata"): _Tensor,
    (_IN_METADATA, "TensorProperties"): _Properties,
    (_IN_METADATA, "ChunkStorageMetadata"): _Chunk,
    (_IN_METADATA, "MetadataIndex"): _Index,
    (_IN_METADATA, "StorageMeta"): _Unused,
    (_IN_METADATA, "_MEM_FORMAT_ENCODING"): _Unused,
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"): _Storage,
    ("torch", "Size"): _Size,
    ("torch.serialization", "_get_layout"): _Unused,
    # Python 3.13 moved the classes to another module.
    ("pathlib", "PosixPath"): _Unused,
    ("pathlib._local", "PosixPath"): _Unused,
}


_DTYPES = {name: value for name, value in vars(torch).items() if isinstance(value, torch.dtype)}


class _Unpickler(pickle.Unpickler):
    """Makes records in place of the classes of an index; any other name is an error."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as in the base class
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        found = _STAND_INS.get((module, name))
        if found is None:
            raise _ForbiddenError(
                f"names {module}.{name}, which the index of a checkpoint does not need"
            )
        return found


def _build_metadata(record: object) -> Metadata:
    """Return the index that a record describes, with only what the reading of tensors needs."""
    content = _state(record, _Metadata)
    tensors = content["state_dict_metadata"]
    storage = content["storage_data"]
    if not isinstance(tensors, dict) or not isinstance(storage, dict):
        raise TypeError("`state_dict_metadata` and `storage_data` must be dicts")
    metadata = Metadata(
        state_dict_metadata={_text(name): _build_tensor(item) for name, item in tensors.items()},
        planner_data={_text(name): (name,) for name in tensors},
        storage_data={_build_index(key): _build_storage(item) for key, item in storage.items()},
        storage_meta=StorageMeta(),
    )
    missing = next((key.fqn for key in _chunks(metadata) if key not in metadata.storage_data), None)
    if missing is not None:
        raise ValueError(f"`storage_data` lacks {missing}")
    return metadata


def _chunks(metadata: Metadata) -> Iterator[MetadataIndex]:
    for name, tensor in metadata.state_dict_metadata.items():
        assert isinstance(tensor, TensorStorageMetadata), "made by `_build_tensor`"
        for chunk in tensor.chunks:
            yield MetadataIndex(name, chunk.offsets)


def _build_tensor(record: object) -> TensorStorageMetadata:
    content = _state(record, _Tensor)
    properties = content["properties"]
    if not isinstance(properties, _Properties) or not isinstance(properties.state, tuple):
        raise TypeError("the properties of a tensor are missing")
    dtype = properties.state[0]
    if not isinstance(dtype, torch.dtype):
        raise TypeError("the dtype of a tensor is missing")
    chunks = [_state(chunk, _Chunk) for chunk in content["chunks"]]
    return TensorStorageMetadata(
        properties=TensorProperties(dtype=dtype),
        size=_size(content["size"]),
        chunks=[
            ChunkStorageMetadata(offsets=_size(chunk["offsets"]), sizes=_size(chunk["sizes"]))
            for chunk in chunks
        ],
    )


def _build_index(record: object) -> MetadataIndex:
    content = _state(record, _Index)
    return MetadataIndex(_text(content["fqn"]), _size(content["offset"]))


def _build_storage(record: object) -> _StorageInfo:
    content = _state(record, _Storage)
    file = _text(content["relative_path"])
    if not DATA_FILE.fullmatch(file):
        raise _ForbiddenError(f"names the file {file!r}, which is not a file of this checkpoint")
    if content.get("transform_descriptors") is not None:
        raise _ForbiddenError("names a compression, which checkpoints of omnimouse do not have")
    return _StorageInfo(file, _count(content["offset"]), _count(content["length"]))


def _state(record: object, kind: type[_Record]) -> Mapping[str, Any]:
    if type(record) is not kind or not isinstance(record.state, dict):
        raise TypeError(f"{type(record).__name__} in place of {kind.__name__}")
    return record.state


def _size(record: object) -> torch.Size:
    if not isinstance(record, _Size) or len(record.arguments) != 1:
        raise TypeError(f"a size must be a torch.Size, not {type(record).__name__}")
    return torch.Size([_count(number) for number in record.arguments[0]])


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a name must be a string, not {type(value).__name__}")
    return value


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"an offset or a length must be a whole number: {value!r:.40}")
    return value
