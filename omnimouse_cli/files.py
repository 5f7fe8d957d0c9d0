"""Atomic writes, errors of a full disk, and the JSON documents of the output contract."""

import contextlib
import errno
import fcntl
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from omnimouse_cli.errors import OmniMouseError

PARTIAL_SUFFIX = ".partial"
# File systems take names of 255 bytes; `tempfile` adds eight letters, and the suffix has eight.
_PARTIAL_NAME_BYTES = 200
# Less free space than this counts as a full disk.
MIN_FREE_BYTES = 65_536
# Errors of file systems that have no locks, or do not sync folders. EBADF: on NFS only files that
# are open for writing can be locked.
_UNSUPPORTED = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF)


@contextlib.contextmanager
def translate_full_disk(path: Path) -> Iterator[None]:
    """Raise an OmniMouseError that names `path` when the block fails for lack of disk space.

    Other errors pass unchanged.

    Args:
        path: The file that the block writes.

    Raises:
        OmniMouseError: The disk or the quota is full.
    """
    try:
        yield
    except OmniMouseError:
        raise
    except Exception as error:
        if not _reports_full_disk(error) and not _is_disk_full(path):
            raise
        message = f"the disk is full: {path} could not be written"
        raise OmniMouseError(
            message, hint="free some space and run the command again; what is finished is kept"
        ) from error


@contextlib.contextmanager
def explain_file_errors() -> Iterator[None]:
    """Raise an OmniMouseError where the system refuses a file, a folder or memory.

    Raises:
        OmniMouseError: Permissions, a disk that fails, a file in place of a folder, a file that is
            not text, too little memory.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        name = error.filename
        raise OmniMouseError(
            reason if name is None else f"{name}: {reason}",
            hint="use a shorter name: file systems take names of up to 255 bytes"
            if error.errno == errno.ENAMETOOLONG
            else "check that it exists, its permissions and its disk",
        ) from error
    except UnicodeDecodeError as error:
        raise OmniMouseError(
            f"a file is not text in UTF-8: {error.reason} in {bytes(error.object[:20])!r}",
            hint="save it as UTF-8",
        ) from error
    except MemoryError as error:
        raise OmniMouseError(
            f"there is not enough memory: {error}" if str(error) else "there is not enough memory",
            hint="use smaller numbers, or a machine with more memory",
        ) from error


def _reports_full_disk(error: Exception) -> bool:
    # Libraries wrap the system's error in their own and keep only its text.
    full = (errno.ENOSPC, errno.EDQUOT)
    texts = [os.strerror(number) for number in full]
    return getattr(error, "errno", None) in full or any(text in str(error) for text in texts)


def _is_disk_full(path: Path) -> bool:
    # NumPy's error counts the missing bytes and gives no reason, so the file system is asked.
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    return shutil.disk_usage(folder).free < MIN_FREE_BYTES


def sync_folder(folder: Path) -> bool:
    """Write the entries of `folder` to disk, so that a rename in it survives a power failure.

    Returns:
        False on a file system that does not sync folders; files are synced there all the same.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        return _is_supported(os.fsync, descriptor)
    finally:
        os.close(descriptor)


def lock(descriptor: int, *, wait: bool) -> bool:
    """Lock an open file or folder against other processes, until it is closed.

    Args:
        descriptor: File descriptor; a file should be open for writing.
        wait: Whether to wait for a process that has the lock.

    Returns:
        False on a file system without locks; nothing is locked then.

    Raises:
        BlockingIOError: Another process has the lock, and `wait` is False.
    """
    operation = fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)
    return _is_supported(fcntl.flock, descriptor, operation)


def _is_supported(call: Callable[..., None], *arguments: int) -> bool:
    """Call a function of the system; return whether the file system has it."""
    try:
        call(*arguments)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return False
    return True


def partial_name(path: Path) -> str:
    """Return how the name of a temporary file or folder begins that becomes `path`.

    Of a long name it has the end, so that every name that the file system takes can be written.

    Example:
        >>> partial_name(Path("shards/17797-4-7.safetensors"))
        '.17797-4-7.safetensors'
    """
    return f".{path.name.encode()[-_PARTIAL_NAME_BYTES:].decode(errors='ignore')}"


@contextlib.contextmanager
def write_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that becomes `path` when the block succeeds.

    The file lies beside `path` and is synced before it is renamed. A killed process leaves at most
    a `*.partial` file, which nothing reads.

    Raises:
        OmniMouseError: The disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name that the file system refuses is an error before the block begins.
    path.exists()
    with translate_full_disk(path):
        descriptor, name = tempfile.mkstemp(
            dir=path.parent, prefix=f"{partial_name(path)}.", suffix=PARTIAL_SUFFIX
        )
        partial = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                # mkstemp makes files that only their owner can read.
                os.fchmod(stream.fileno(), default_file_mode())
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    sync_folder(path.parent)


def default_file_mode() -> int:
    """Return the mode of new files under the umask; temporary files have a private one instead."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def require_folder(path: Path) -> None:
    """Check that a path is a folder that can be written to, or can become one.

    Raises:
        OmniMouseError: It is a file, or lies in a file or in a folder that cannot be written to.
    """
    hint = "name another folder with --out"
    if path.exists() and not path.is_dir():
        raise OmniMouseError(f"--out must be a folder, and {path} is a file", hint=hint)
    place = next(one for one in (path, *path.absolute().parents) if one.exists())
    if not place.is_dir():
        raise OmniMouseError(f"--out {path} cannot be made: {place} is a file", hint=hint)
    if not os.access(place, os.W_OK):
        raise OmniMouseError(
            f"--out {path} cannot be written: {place} is read-only",
            hint=hint,
        )


def names_a_file(text: str) -> bool:
    """Return whether a text is the path of a file; a long one may be no path at all."""
    try:
        return Path(text).is_file()
    except OSError:
        return False


def explain_unwritable(folder: Path) -> str | None:
    """Return why no file can be made in a folder, which need not exist; None if one can."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest, prefix="."):
            return None
    except OSError as error:
        return error.strerror


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with write_atomically(path) as stream:
        stream.write(text.encode())


def to_json_value(value: Any) -> Any:  # noqa: ANN401 - any JSON-like value
    """Return `value` as JSON can hold it: NaN and infinities are None, arrays lists, paths text."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): to_json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json_value(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def parse_json(text: str | bytes) -> Any:  # noqa: ANN401 - whatever the text holds
    """Return the value of a JSON text.

    Raises:
        ValueError: The text is no JSON, or its values lie inside each other in too many levels.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("its values lie inside each other in too many levels") from error


def format_document(kind: str, content: Mapping[str, Any]) -> str:
    """Return `content` as the text of the JSON document `omnimouse-<kind>`, version 1."""
    document = {"format": f"omnimouse-{kind}", "version": 1, **to_json_value(content)}
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def write_document(path: Path, kind: str, content: Mapping[str, Any]) -> None:
    """Write `content` as the JSON document `omnimouse-<kind>`, atomically."""
    write_text(path, format_document(kind, content))


def read_document(path: Path, kind: str) -> dict[str, Any]:
    """Return the content of a JSON document that `write_document` wrote.

    Raises:
        OmniMouseError: The file is missing, cannot be read, is no JSON, or is another kind or a
            later version.
    """
    try:
        # A pipe would be waited for.
        if path.exists() and not path.is_file():
            raise OmniMouseError(f"{path} is not a file")
        content = parse_json(path.read_text())
    except FileNotFoundError as error:
        raise OmniMouseError(f"{path} does not exist") from error
    except OSError as error:
        raise OmniMouseError(
            f"{path} cannot be read: {error.strerror}", hint="check its permissions and its disk"
        ) from error
    except ValueError as error:
        raise OmniMouseError(f"{path} is not a JSON document: {error}") from error
    if not isinstance(content, dict) or content.get("format") != f"omnimouse-{kind}":
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise OmniMouseError(f"{path} is not an omnimouse-{kind} document: its format is {found}")
    if content.get("version") != 1:
        raise OmniMouseError(
            f"{path} has version {content.get('version')}; this omnimouse reads version 1",
            hint="install a newer omnimouse",
        )
    return content
