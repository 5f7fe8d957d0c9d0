"""Predictions of baselines, kept in the user's cache folder for later evaluations."""

import hashlib
import os
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
from omnimouse_cli.evaluate.baselines.table import Predictor
from omnimouse_cli.evaluate.records import CEILING
from omnimouse_cli.evaluate.scorer import Piece
from omnimouse_cli.evaluate.session_reader import F32
from omnimouse_cli.evaluate.targets import Targets
from omnimouse_cli.files import write_atomically
from omnimouse_cli.reporter import Reporter

# The files that were used the longest ago are removed where all of them take more.
MAX_FOLDER_BYTES = 2 << 30
# Larger predictions are not kept.
MAX_VALUES = 64_000_000
# What takes less time is computed again.
MIN_SECONDS = 0.5
# Predictions of other code than that of these folders are not used.
CODE_FOLDERS = ("batch", "evaluate", "model")
SUFFIX = ".npz"
# Names another folder than that of the user's cache.
FOLDER_VARIABLE = "OMNIMOUSE_BASELINES"
# What NumPy raises for a file that is damaged, cut short or no archive.
DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


class Rounded(NamedTuple):
    """Predictions in half the memory: as float16 about the mean of each output.

    Args:
        mean: float32 `(outputs,)`.
        deviation: float16 `(windows, samples, outputs)`.
    """

    mean: F32
    deviation: NDArray[np.float16]

    @classmethod
    def of(cls, values: F32) -> "Rounded":
        """Round float32 `(windows, samples, outputs)`."""
        mean = values.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
        return cls(mean, (values - mean).astype(np.float16))

    def pieces(self, targets: Targets) -> Iterator[Piece]:
        """Yield the predictions as a `Scorer` takes them."""
        for windows in targets.window_slices():
            values = self.deviation[windows].astype(np.float32) + self.mean
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
        if not path.is_file():
            return None
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                rounded = Rounded(stored["mean"], stored["deviation"])
            if rounded.deviation.shape != shape or rounded.mean.shape != shape[2:]:
                raise ValueError("other shapes")
            # What was used last is removed last.
            os.utime(path)
        except DAMAGE:
            self._reporter.warn(f"{path} is damaged: the baseline is computed again")
            return None
        return rounded

    def _keep(self, path: Path, rounded: Rounded) -> None:
        if not self._is_writable:
            return
        try:
            with write_atomically(path) as stream:
                np.savez(stream, mean=rounded.mean, deviation=rounded.deviation)
            _remove_oldest(path.parent)
        except (OSError, OmniMouseError) as error:
            self._reporter.warn(f"predictions of baselines are not kept: {error}")
            self._is_writable = False

    def _hash(self, name: str, targets: Targets) -> str:
        reader, windows, strategy = targets.reader, targets.windows, targets.strategy
        session = reader.session
        values = (
            name,
            self._tiers,
            strategy,
            targets.is_behavior,
            targets.inputs,
            session.key,
            session.fingerprint,
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
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "omnimouse" / "baselines"


@lru_cache(maxsize=1)
def code_fingerprint() -> bytes:
    """Return a hash of the code on which predictions of baselines depend."""
    package = Path(omnimouse_cli.__file__).parent
    digest = hashlib.sha256()
    for name in CODE_FOLDERS:
        for path in sorted((package / name).rglob("*.py")):
            digest.update(path.read_bytes())
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
