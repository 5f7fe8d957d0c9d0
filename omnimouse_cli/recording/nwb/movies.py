"""Films that show what was on the screen, read in blocks."""

import itertools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.grey import (
    GreyScale,
    consecutive_runs,
    find_scale,
    require_images,
    spread_numbers,
)
from omnimouse_cli.recording.nwb.external_films import ExternalFilm, open_external
from omnimouse_cli.recording.nwb.series import read_times, scale_of
from omnimouse_cli.recording.nwb.sources import has_times
from omnimouse_cli.recording.nwb.tables import stimulus_name
from omnimouse_cli.recording.nwb.templates import require_dataset
from omnimouse_cli.recording.nwb.timeline import Segment, cut
from omnimouse_cli.recording.nwb.tree import Node, open_tree
from omnimouse_cli.recording.recording import Monitor
from omnimouse_cli.recording.resize import FRAME_HEIGHT, FRAME_WIDTH, resize_frames
from omnimouse_cli.recording.times import require_times

# Bytes of stored frames that are read at once.
_BLOCK_BYTES = 16 * 2**20
# Frames that are looked at for the scale of their values.
_NUM_SAMPLES = 8
# Parts of a film that no table names are cut to this length.
_PIECE_SECONDS = 10.0
# Frames of a part without a name that are looked at, to see whether it is grey.
_NUM_LOOKS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """An embedded film.

    Args:
        file: The file that holds it.
        path: Path of its frames.
        num_frames: Number of its frames.
        scale: How stored values become grey levels.
    """

    file: Path
    path: str
    num_frames: int
    scale: GreyScale

    def read(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return frames, uint8 `(len(numbers), 36, 64)`; a block of stored frames is read at once.

        Args:
            numbers: int64 `(n,)`, ascending: numbers of the frames.

        Raises:
            RecordingError: A frame cannot be read.
        """
        result = np.empty((len(numbers), FRAME_HEIGHT, FRAME_WIDTH), np.uint8)
        with open_tree(self.file) as root:
            data = require_dataset(root, self.path)
            stored_bytes = int(np.prod(data.shape[1:])) * data.dtype.itemsize
            num_frames = max(1, _BLOCK_BYTES // stored_bytes)
            for first, last in consecutive_runs(numbers, num_frames):
                stored = data.read(int(numbers[first]), int(numbers[last - 1]) + 1)
                frames = resize_frames(self.scale.apply(stored, data.where))
                result[first:last] = frames
        return result


def open_film(node: Node) -> tuple[Segment | None, list[str]]:
    """Open a film.

    Args:
        node: An ImageSeries.

    Returns:
        The whole film as one segment, and notes for the user; None if its frames cannot be used,
        with the reason as the only note.

    Raises:
        RecordingError: Its times are wrong.
    """
    source, note = _open_frames(node)
    if source is None:
        return None, [note]
    if not has_times(node):
        return None, [f"{node.path}: has neither timestamps nor a positive rate"]
    notes = [note] if note else []
    timestamps = node.get("timestamps")
    num_frames = source.num_frames
    if isinstance(source, ExternalFilm) and timestamps is not None:
        num_frames = timestamps.shape[0]
        if num_frames != source.num_frames:
            notes.append(
                f"{node.path}: {source.path.name} has {source.num_frames} frames, but {num_frames} "
                "have a time; the first ones of both belong together"
            )
    seconds = read_times(node, num_frames)[: source.num_frames]
    require_times(seconds, f"{node.where}/timestamps")
    step = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 0.0
    segment = Segment(
        start=float(seconds[0]),
        end=float(seconds[-1]) + step,
        kind="video",
        condition=None,
        origin=node.path,
        source=source,
        flips=seconds,
        numbers=np.arange(len(seconds)),
        is_divisible=True,
    )
    return segment, notes


def _open_frames(node: Node) -> tuple[Film | ExternalFilm | None, str]:
    """Return what reads the frames of a film, and a note; None and the reason if nothing can."""
    data = node.get("data")
    if data is None or not data.is_dataset or 0 in data.shape:
        external = node.get("external_file")
        names = external.texts() if external is not None and external.is_dataset else []
        return open_external(node, names)
    try:
        require_images(data.shape, data.where)
        at = spread_numbers(data.shape[0], _NUM_SAMPLES)
        samples = np.concatenate([data.read(n, n + 1) for n in at])
        stated = scale_of(node)
        scale = find_scale(samples, float(stated.factor[0]), stated.offset, node.path)
    except RecordingError as error:
        return None, f"{node.path}: its frames are not used: {error.message}"
    film = Film(file=data.file, path=data.path, num_frames=data.shape[0], scale=scale)
    return film, scale.note


def read_geometry(node: Node) -> Monitor | None:
    """Return the monitor of a film, as an OpticalSeries states it in metres; None without it."""
    distance, field = node.child_number("distance"), node.get("field_of_view")
    if field is None or not field.is_dataset or field.dtype.kind not in "iuf":
        return None
    size = np.atleast_1d(field.read()).ravel().astype(np.float64)
    if distance is None or len(size) < 2 or not (size[:2] > 0).all() or not distance > 0:
        return None
    return Monitor(
        policy="the monitor",
        width_cm=100 * float(size[0]),
        height_cm=100 * float(size[1]),
        distance_cm=100 * distance,
    )


def name_pieces(segment: Segment) -> list[Segment]:
    """Return a part of a film that no table names: grey if it is, else in pieces with own names."""
    assert segment.source is not None
    at = spread_numbers(len(segment.numbers), _NUM_LOOKS)
    frames = segment.source.read(segment.numbers[at])
    if (frames == frames[0, 0, 0]).all():
        return [replace(segment, kind="blank", condition=f"blank {frames[0, 0, 0]}")]
    num_pieces = max(1, round((segment.end - segment.start) / _PIECE_SECONDS))
    film = stimulus_name(segment.origin.rpartition("/")[2])
    edges = np.linspace(segment.start, segment.end, num_pieces + 1)
    pieces = []
    for start, end in itertools.pairwise(edges):
        # Pieces begin at a flip, so that none of them repeats a frame of the one before.
        rows = np.searchsorted(segment.flips, [start, end])
        if rows[1] > rows[0]:
            begin = float(segment.flips[rows[0]])
            last = segment.end if rows[1] == len(segment.flips) else float(segment.flips[rows[1]])
            piece = cut(segment, begin, last)
            if piece is not None:
                name = f"{film} frame {piece.numbers[0]}"
                pieces.append(replace(piece, condition=name))
    return pieces
