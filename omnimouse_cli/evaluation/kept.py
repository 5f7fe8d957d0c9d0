"""Predictions of baselines, kept in the user's cache folder for later evaluations."""

import contextlib
import hashlib
import importlib.metadata
import os
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import omnimouse_cli
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.evaluation.baselines.table import Predictor
from omnimouse_cli.evaluation.records import CEILING
from omnimouse_cli.evaluation.scorer import Piece
from omnimouse_cli.evaluation.session_reader import F32
from omnimouse_cli.evaluation.targets import Targets
from omnimouse_cli.files import write_atomically
from omnimouse_cli.reporter import Reporter

# The files that were used the longest ago are removed where all of them take more.
MAX_FOLDER_BYTES = 2 << 30
# Larger predictions are not kept.
MAX_VALUES = 64_000_000
# What takes less time is computed again.
MIN_SECONDS = 0.5
# Libraries on whose versions predictions depend.
LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "cebra")
SUFFIX = ".npz"
# Names another folder than that of the user's cache.
FOLDER_VARIABLE = "OMNIMOUSE_BASELINES"
# What NumPy raises for a file that is damaged, cut short or no archive.
DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


class Rounded(NamedTuple):
    """Predictions in half the memory: float16 deviations from the mean of each output.

    Args:
        mean: float32 `(outputs,)`.
        scale: float32 `(outputs,)`: largest deviation, so that any unit fits in float16.
        deviation: float16 `(windows, samples, outputs)`: in units of the scale.
    """

    mean: F32
    scale: F32
    deviation: NDArray[np.float16]

    @classmethod
    def of(cls, values: F32) -> "Rounded":
        """Round float32 `(windows, samples, outputs)`."""
        mean = values.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
        deviation = values - mean
        scale = np.abs(deviation).max(axis=(0, 1))
        return cls(mean, scale, (deviation / np.where(scale > 0, scale, 1.0)).astype(np.float16))

    def pieces(self, targets: Targets) -> Iterator[Piece]:
        """Yield the predictions as a `Scorer` takes them."""
        for windows in targets.window_slices():
            values = self.deviation[windows].astype(np.float32) * self.scale + self.mean
            yield Piece(windows, slice(None), values)


class KeptPredictions:
    """Predictions of baselines, which depend on the data and not on the model.

    The name of a file holds a hash of all that its predictions depend on. New predictions are
    rounded as kept ones are, so that both give the same scores. Several processes may use the
    folder: files are written atomically.

    Args:
        tiers: Training tiers.
        reporter: Is warned if a file is damaged or the folder cannot be written.
    """

    def __init__(self, tiers: tuple[str, ...], reporter: Reporter) -> None:
        self._tiers = tiers
        self._reporter = reporter
        self._folder = cache_folder()
        self._is_writable = True
        self._used: dict[str, int] = {}

    def predict(
        self, name: str, predictor: Predictor, targets: Targets
    ) -> Iterator[Piece] | str | None:
        """Return what the predictor returns, from an earlier evaluation where there is one.

        Args:
            name: Name of the baseline.
            predictor: The baseline.
            targets: What is predicted.
        """
        shape = len(targets.windows), targets.num_samples, targets.num_outputs
        # The ceiling depends on the files of a simulation, which may be gone.
        if name == CEILING or np.prod(shape) > MAX_VALUES:
            return predictor(targets, self._tiers)
        path = self._folder / f"{name}-{self._hash(name, targets)}{SUFFIX}"
        rounded = self._load(path, shape)
        if rounded is not None:
            self._used[name] = self._used.get(name, 0) + 1
            return rounded.pieces(targets)
        start = time.perf_counter()
        pieces = predictor(targets, self._tiers)
        if pieces is None or isinstance(pieces, str):
            return pieces
        values = np.empty(shape, np.float32)
        for piece in pieces:
            values[piece.windows, :, piece.outputs] = piece.values
        rounded = Rounded.of(values)
        if time.perf_counter() - start > MIN_SECONDS:
            self._keep(path, rounded)
        return rounded.pieces(targets)

    def describe(self) -> str | None:
        """Return a sentence on what was not computed again; None if that is nothing."""
        if not self._used:
            return None
        names = ", ".join(f"{name} ({number})" for name, number in self._used.items())
        return f"predictions kept from earlier evaluations in {self._folder}: {names}"

    def _load(self, path: Path, shape: tuple[int, ...]) -> Rounded | None:
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                rounded = Rounded(*(stored[name] for name in Rounded._fields))
            if (rounded.deviation.shape, rounded.mean.shape) != (shape, shape[2:]):
                raise ValueError("other shapes")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except DAMAGE as error:
            refused = isinstance(error, OSError) and error.strerror
            reason = f": {refused}" if refused else " is damaged"
            self._reporter.warn(f"{path}{reason}: the baseline is computed again")
            return None
        # What was used last is removed last. Files of others have the time that they have.
        with contextlib.suppress(OSError):
            os.utime(path)
        return rounded

    def _keep(self, path: Path, rounded: Rounded) -> None:
        if not self._is_writable:
            return
        try:
            with write_atomically(path) as stream:
                np.savez(stream, **rounded._asdict())
            _remove_oldest(path.parent)
        except (OSError, OmniMouseError) as error:
            self._reporter.warn(f"predictions of baselines are not kept: {error}")
            self._is_writable = False

    def _hash(self, name: str, targets: Targets) -> str:
        reader, windows, strategy = targets.reader, targets.windows, targets.strategy
        session, status = reader.session, reader.session.path.stat()
        values = (
            name,
            self._tiers,
            strategy,
            targets.is_behavior,
            targets.inputs,
            session.key,
            # The header has checksums of all values; a file may be edited without them.
            session.shard.header,
            (status.st_size, status.st_mtime_ns),
            reader.video_scaling,
            reader.channels,
            reader.require_behavior,
            windows.tier,
            windows.stride_samples,
        )
        arrays = (
            reader.shift,
            reader.scale,
            windows.grid,
            targets.outputs,
            targets.selection.visible[0].numpy(),
        )
        digest = hashlib.sha256(code_fingerprint() + repr(values).encode())
        for array in arrays:
            digest.update(f"{array.shape}".encode() + array.tobytes())
        return digest.hexdigest()[:32]


def cache_folder() -> Path:
    """Return the folder of kept predictions: that of FOLDER_VARIABLE, or in the user's cache."""
    if os.environ.get(FOLDER_VARIABLE):
        return Path(os.environ[FOLDER_VARIABLE])
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        # A user of a container may have no home.
        base = Path(tempfile.gettempdir())
    return base / "omnimouse" / "baselines"


@lru_cache(maxsize=1)
def code_fingerprint() -> bytes:
    """Return a hash of the code on which predictions of baselines depend, and of its libraries."""
    digest = hashlib.sha256()
    for path in sorted(Path(omnimouse_cli.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    for name in LIBRARIES:
        try:
            digest.update(f"{name} {importlib.metadata.version(name)}".encode())
        except importlib.metadata.PackageNotFoundError:
            continue
    return digest.digest()


def _remove_oldest(folder: Path) -> None:
    """Remove the files that were used the longest ago until the others fit."""
    files = []
    for path in folder.glob(f"*{SUFFIX}"):
        try:
            status = path.stat()
        except FileNotFoundError:
            # Another process has removed it.
            continue
        files.append((status.st_mtime, status.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= MAX_FOLDER_BYTES:
            return
        path.unlink(missing_ok=True)
        total -= size
