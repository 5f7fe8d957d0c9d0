"""The catalogue of a data set: one entry per shard, derived from the shards' headers."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from omnimouse_cli.errors import LaterVersionError, OmniMouseError, ShardError
from omnimouse_cli.files import PARTIAL_SUFFIX, lock, read_document, sync_folder, write_document
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.shard.description import read_value
from omnimouse_cli.shard.format import is_foreign
from omnimouse_cli.shard.kind import MIXED_KINDS_HINT, describe_mixed_kinds
from omnimouse_cli.shard.read import Shard, open_shard
from omnimouse_cli.shard.valid import dropped_minutes, tier_minutes, valid_fraction

CATALOGUE_NAME = "catalogue.json"
LOCK_NAME = ".catalogue.lock"
SHARD_SUFFIX = ".safetensors"
_REPAIR_HINT = f"delete {CATALOGUE_NAME}; the next `omnimouse preprocess` writes a new one"


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """One session of a data set.

    Args:
        session: Session key.
        animal: Animal key.
        file: File name of the shard, in the catalogue's folder.
        bytes: Length of the shard.
        neurons: Number of neurons.
        samples: Number of stored rows of responses.
        sample_rate_hz: Rows per second.
        native_rate_hz: Scan rate before the export resampled it, where known.
        response_kind: `rate`, `dff`, `fluorescence` or `unknown`.
        dtype: `F16`, `BF16` or `F32`.
        modalities: `responses`, `screen` if there is one, and behavior signals.
        tokens: Neurons times stored rows with values.
        native_tokens: Neurons times scans in the same time, where the native rate is known.
        hours: Length of the rows with values.
        tiers: Minutes of trials of each tier, while responses were recorded.
        valid_fraction: Share of the recorded time that is in a tier or a blank, and in which every
            modality is usable.
        dropped: Minutes of the recorded time that are not valid, by reason.
        fingerprint: Fingerprint of the source files and the options.
        notes: Sentences about what was repaired or dropped.
        missing_rows: Stored rows of responses in which a value is missing.
        format: Raw format of the recording.
        split: How tiers were made: `file` if the raw files have them, else the name of the policy.
        licence: Licence of the data, where known.
    """

    session: str
    animal: str
    file: str
    bytes: int
    neurons: int
    samples: int
    sample_rate_hz: float
    native_rate_hz: float | None
    response_kind: str
    dtype: str
    modalities: tuple[str, ...]
    tokens: int
    native_tokens: int | None
    hours: float
    tiers: Mapping[str, float]
    valid_fraction: float
    dropped: Mapping[str, float]
    fingerprint: str
    notes: tuple[str, ...]
    missing_rows: int = 0
    format: str = "experanto"
    split: str = "file"
    licence: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The sessions of a folder of shards, ascending by session key.

    Args:
        folder: Folder of the shards.
        entries: One entry per session.
        notes: Sentences about files of the folder that are not used (those of other programs, and
            copies of shards), and about what catalogue.json misstates.
    """

    folder: Path
    entries: tuple[CatalogueEntry, ...]
    notes: tuple[str, ...] = ()

    def path_of(self, entry: CatalogueEntry) -> Path:
        """Return the path of an entry's shard."""
        return self.folder / entry.file


def build_entry(shard: Shard) -> CatalogueEntry:
    """Return the catalogue entry of a shard."""
    description = shard.description
    clock = description.responses.clock
    neurons = description.responses.num_neurons
    num_rows = clock.num_samples - description.responses.missing_rows
    seconds = num_rows / clock.rate_hz
    native = description.native_rate_hz
    return CatalogueEntry(
        session=description.session,
        animal=description.animal,
        file=shard.path.name,
        bytes=shard.header.file_bytes,
        neurons=neurons,
        samples=clock.num_samples,
        sample_rate_hz=clock.rate_hz,
        native_rate_hz=native,
        response_kind=description.response_kind,
        dtype=shard.response_dtype,
        modalities=description.modalities,
        tokens=neurons * num_rows,
        native_tokens=None if native is None else neurons * round(seconds * native),
        hours=seconds / 3600,
        tiers=tier_minutes(shard),
        valid_fraction=valid_fraction(shard),
        dropped=dropped_minutes(shard),
        fingerprint=description.source.fingerprint,
        notes=description.notes,
        missing_rows=description.responses.missing_rows,
        format=description.format,
        split=description.split,
        licence=description.provenance.licence,
    )


class FoundShards(NamedTuple):
    """The shards of a folder.

    Args:
        shards: The open shard of each session, ascending by session key; of one that is damaged,
            its entry in catalogue.json, so that commands that do not use it work.
        notes: As in `Catalogue`.
    """

    shards: dict[str, Shard | CatalogueEntry]
    notes: tuple[str, ...]


def open_shards(folder: Path) -> FoundShards:
    """Open the shards of a data set; only their headers are read.

    catalogue.json is used only to notice missing shards; it may be older than the shards.

    Raises:
        ShardError: There is no data set, a shard is missing, or a file is damaged.
    """
    if not folder.is_dir():
        raise ShardError(
            f"{folder} does not exist",
            hint="check the path; `omnimouse preprocess RECORDING... --out SHARDS` makes a folder "
            "of shards",
        )
    listed = _read_listed(folder)
    found: dict[str, Shard | CatalogueEntry] = {}
    notes = []
    for path in shard_paths(folder):
        stated = listed.get(path.name)
        try:
            found[path.name] = shard = open_shard(path)
        except ShardError:
            if stated is not None:
                found[path.name] = stated
            elif is_foreign(path):
                notes.append(_foreign(path))
            else:
                raise
        else:
            notes += _misstatements(stated, shard)
    for entry in listed.values():
        if entry.file not in found:
            raise ShardError(
                f"{folder / entry.file} is missing: {CATALOGUE_NAME} lists it for session "
                f"{entry.session}",
                hint="copy it here, or run `omnimouse preprocess` again",
            )
    if not found:
        raise ShardError(
            f"{folder} is not a folder of shards: it has no *{SHARD_SUFFIX} file",
            hint="`omnimouse preprocess RECORDING... --out SHARDS` makes one",
        )
    files, copies = _choose({name: _session(shard) for name, shard in found.items()}, listed)
    shards = {session: found[name] for session, name in files.items()}
    return FoundShards(shards=shards, notes=(*notes, *copies))


def open_catalogue(folder: Path) -> Catalogue:
    """Return the catalogue of a data set as its shards state it.

    Raises:
        ShardError: There is no data set, a shard is missing, or a file is damaged.
    """
    shards, notes = open_shards(folder)
    entries = (build_entry(one) if isinstance(one, Shard) else one for one in shards.values())
    return Catalogue(folder=folder, entries=tuple(entries), notes=notes)


def warn_of_mixed_kinds(entries: Sequence[CatalogueEntry], reporter: Reporter) -> None:
    """Warn if one model cannot be trained on all sessions, because their responses differ in kind.

    Args:
        entries: Sessions of a data set.
        reporter: Receives the warning, with what can be done.
    """
    mixed = describe_mixed_kinds({entry.session: entry.response_kind for entry in entries})
    if mixed is not None:
        reporter.warn(f"{mixed}; {MIXED_KINDS_HINT}")


def shard_paths(folder: Path) -> list[Path]:
    """Return the shards of a folder in the order of their names, without temporary files."""
    return sorted(
        path
        for path in folder.glob(f"*{SHARD_SUFFIX}")
        if not path.name.startswith(".") and path.is_file()
    )


def is_shards_folder(folder: Path) -> bool:
    """Return whether a folder has a catalogue or a shard, even a damaged one."""
    return (folder / CATALOGUE_NAME).is_file() or any(
        not is_foreign(path) for path in shard_paths(folder)
    )


def refresh_catalogue(folder: Path, reporter: Reporter) -> Catalogue:
    """Read the headers of all shards of a folder, and write their catalogue atomically.

    A damaged shard, a file of another program and a copy of a shard are omitted, with a warning.
    Several processes may do this at the same time, unless the file system has no locks.

    Args:
        folder: Folder of the shards.
        reporter: Receives the warnings.

    Raises:
        LaterVersionError: A shard is of a later version.
        ShardError: The old catalogue is damaged.
    """
    with _lock(folder) as is_locked:
        if is_locked:
            # A catalogue is written under the lock, so these are from processes that were killed.
            for abandoned in folder.glob(f".{CATALOGUE_NAME}.*{PARTIAL_SUFFIX}"):
                abandoned.unlink()
        entries: dict[str, CatalogueEntry] = {}
        notes = []
        for path in shard_paths(folder):
            try:
                entries[path.name] = build_entry(open_shard(path))
            except LaterVersionError:
                raise
            except ShardError as error:
                notes.append(_foreign(path) if is_foreign(path) else error.message)
        sessions = {name: entry.session for name, entry in entries.items()}
        files, copies = _choose(sessions, _read_listed(folder))
        catalogue = Catalogue(
            folder=folder,
            entries=tuple(entries[name] for name in files.values()),
            notes=(*notes, *copies),
        )
        _warn(catalogue, reporter, is_locked=is_locked)
        content = {"sessions": [asdict(entry) for entry in catalogue.entries]}
        write_document(folder / CATALOGUE_NAME, "catalogue", content)
    return catalogue


def _choose(
    sessions: Mapping[str, str], listed: Collection[str]
) -> tuple[dict[str, str], list[str]]:
    """Return one file per session, ascending, and a sentence for each other file of a session.

    Args:
        sessions: Session key of each file.
        listed: Names of files that are preferred, because the catalogue lists them already.
    """
    chosen: dict[str, str] = {}
    omitted = []
    for name in sorted(sessions, key=lambda file: (file not in listed, len(file), file)):
        session = sessions[name]
        kept = chosen.setdefault(session, name)
        if kept != name:
            omitted.append(f"{name} is not used: it has the same session as {kept}, {session}")
    return {session: chosen[session] for session in sorted(chosen)}, omitted


def _session(found: Shard | CatalogueEntry) -> str:
    return found.description.session if isinstance(found, Shard) else found.session


def _foreign(path: Path) -> str:
    return f"{path.name} is not used: it is not an omnimouse shard"


def _warn(catalogue: Catalogue, reporter: Reporter, *, is_locked: bool) -> None:
    for sentence in catalogue.notes:
        reporter.warn(f"omitted from the catalogue: {sentence}")
    folder = catalogue.folder
    if not is_locked:
        reporter.warn(
            f"the file system of {folder} has no locks: do not preprocess into this folder twice "
            "at once"
        )
    if not sync_folder(folder):
        reporter.warn(
            f"the file system of {folder} does not sync folders: after a power failure run "
            "`omnimouse inspect --verify`"
        )


def _misstatements(stated: CatalogueEntry | None, shard: Shard) -> list[str]:
    """Return a sentence if catalogue.json contradicts the header of a shard."""
    if stated is None:
        return []
    description = shard.description
    facts = {
        "session": description.session,
        "animal": description.animal,
        "neurons": description.responses.num_neurons,
        "samples": description.responses.clock.num_samples,
        "modalities": description.modalities,
    }
    wrong = [name for name, value in facts.items() if getattr(stated, name) != value]
    if not wrong:
        return []
    return [
        f"{CATALOGUE_NAME} misstates {', '.join(wrong)} of {stated.file}: its header is "
        "used; the next `omnimouse preprocess` corrects the catalogue"
    ]


def _read_listed(folder: Path) -> dict[str, CatalogueEntry]:
    """Return the entries of catalogue.json by file name; none without that file.

    Raises:
        ShardError: The file is damaged.
    """
    path = folder / CATALOGUE_NAME
    if not path.exists():
        return {}
    try:
        content = read_document(path, "catalogue")
    except OmniMouseError as error:
        raise ShardError(error.message, hint=error.hint or _REPAIR_HINT) from error
    try:
        # Catalogues of earlier releases lack the fields that have a default.
        items = read_value(tuple[CatalogueEntry, ...], content.get("sessions"), "sessions")
    except ValueError as error:
        raise ShardError(f"{path} is damaged: {error}", hint=_REPAIR_HINT) from error
    return {entry.file: entry for entry in items}


@contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        is_locked = lock(descriptor, wait=True)
        if is_locked:
            yield True
            return
    finally:
        os.close(descriptor)
    # NFS cannot lock folders, only files that are open for writing.
    with (folder / LOCK_NAME).open("a") as stream:
        yield lock(stream.fileno(), wait=True)
