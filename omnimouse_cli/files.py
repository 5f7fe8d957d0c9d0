"""Files that appear whole or not at all, and the JSON documents of the output contract."""

import contextlib
import errno
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from omnimouse_cli.errors import OmniMouseError

PARTIAL_SUFFIX = ".partial"
# A file system with less than this left cannot take a file of ours.
LEAST_FREE_BYTES = 65_536


@contextlib.contextmanager
def full_disk_named(path: Path) -> Iterator[None]:
    """Turn a full disk or a quota into an error that names the file that was being written."""
    try:
        yield
    except OmniMouseError:
        raise
    except Exception as error:
        if not _says_full(error) and not _is_full(path):
            raise
        message = f"the disk is full: {path} could not be written"
        raise OmniMouseError(
            message, hint="free some space and run the command again; what is finished is kept"
        ) from error


def _says_full(error: Exception) -> bool:
    # Libraries wrap the system's error in their own, and keep only its text.
    full = (errno.ENOSPC, errno.EDQUOT)
    texts = [os.strerror(number) for number in full]
    return getattr(error, "errno", None) in full or any(text in str(error) for text in texts)


def _is_full(path: Path) -> bool:
    # NumPy only counts the bytes that were missing; the file system knows why.
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    return shutil.disk_usage(folder).free < LEAST_FREE_BYTES


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def written_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`; sync it and rename it to `path` when the block succeeds.

    A process that is killed leaves at most a `*.partial` file, which nothing reads.

    Raises:
        OmniMouseError: The disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with full_disk_named(path):
        descriptor, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=PARTIAL_SUFFIX
        )
        partial = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                # mkstemp makes private files; results are as shareable as any other new file.
                os.fchmod(stream.fileno(), usual_mode())
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    sync_folder(path.parent)


def usual_mode() -> int:
    """Give the mode of new files that the user wants; private temporary files do not have it."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with written_atomically(path) as stream:
        stream.write(text.encode())


def json_ready(value: Any) -> Any:  # noqa: ANN401 - any JSON-like value
    """Replace what JSON does not have: NaN and infinities become null, arrays lists, paths text."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_ready(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def document(kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Give `content` the heading that every JSON document of omnimouse carries."""
    return {"format": f"omnimouse-{kind}", "version": 1, **json_ready(content)}


def write_document(path: Path, kind: str, content: Mapping[str, Any]) -> None:
    """Write `content` as the JSON document `omnimouse-<kind>`, atomically."""
    write_text(path, json.dumps(document(kind, content), indent=1, allow_nan=False) + "\n")


def read_document(path: Path, kind: str) -> dict[str, Any]:
    """Read a JSON document that `write_document` wrote.

    Raises:
        OmniMouseError: The file is missing, is no JSON, or is another kind or a later version.
    """
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise OmniMouseError(f"{path} does not exist") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
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
