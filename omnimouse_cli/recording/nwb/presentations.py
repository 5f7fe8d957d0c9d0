"""Series of indices that say which template was shown when, as movies and flashes."""

import itertools
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.nwb.series import read_times
from omnimouse_cli.recording.nwb.tables import stimulus_name
from omnimouse_cli.recording.nwb.timeline import FrameSource, Segment, grey_segment
from omnimouse_cli.recording.nwb.tree import Node
from omnimouse_cli.recording.times import require_times

# Images that stay for at least this long are flashes, others are frames of a movie.
_FLASH_SECONDS = 0.1
# In a movie of a low rate, frames may stay for this long, if this share of them is in order.
_SLOW_FRAME_SECONDS = 0.21
_MOVIE_SHARE = 0.8
# A step longer than this separates two blocks of a stimulus: repair of Allen's stimulus tables.
_BLOCK_GAP_SECONDS = 10.0
# An image lasts at most this many usual steps.
_LAST_STEPS = 1.5
# A movie in which this share of the steps goes backwards has no order of its own.
_RANDOM_SHARE = 0.3
# Stretches of a movie without an order are cut to this length.
_RANDOM_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Presentations:
    """Which template was shown when.

    Args:
        origin: Path of the series.
        name: Name of the stimulus.
        indices: int64 `(n,)`: number of a template; -1 for grey.
        starts: float64 `(n,)`, ascending, in seconds.
        usual_step: Usual time from one to the next.
    """

    origin: str
    name: str
    indices: NDArray[np.int64]
    starts: NDArray[np.float64]
    usual_step: float

    @property
    def ends(self) -> NDArray[np.float64]:
        """When each image ends: at the next one, or a usual step after it began."""
        last = self.starts + self.usual_step
        following = np.append(self.starts[1:], last[-1])
        return np.where(following - self.starts <= _LAST_STEPS * self.usual_step, following, last)


def read_presentations(node: Node, num_templates: int | None) -> Presentations | None:
    """Read a series of indices.

    An index that no template has, as -1 or 4294967295, is grey.

    Args:
        node: An IndexSeries.
        num_templates: Number of templates; None if there are none, so that every index is kept.

    Returns:
        What was shown; None if it is empty.

    Raises:
        RecordingError: Indices and times do not fit together.
    """
    data = node.get("data")
    if data is None or not data.is_dataset or len(data.shape) != 1:
        raise RecordingError(
            f"{node.where} has no indices: `data` must be one number an image",
            hint="name another stimulus: --stimulus",
        )
    if not data.shape[0]:
        return None
    starts = read_times(node, data.shape[0])
    require_times(starts, f"{node.where}/timestamps")
    indices = np.nan_to_num(data.read().astype(np.float64), nan=-1).astype(np.int64)
    is_grey = indices < 0
    is_grey |= indices >= (2**32 - 1 if num_templates is None else num_templates)
    indices[is_grey] = -1
    step = float(np.median(np.diff(starts))) if len(starts) > 1 else _FLASH_SECONDS
    if step < _FLASH_SECONDS:
        # A series with an entry for every flip repeats the index of an image.
        is_new = np.concatenate(([True], np.diff(indices) != 0))
        held = float(np.median(np.diff(starts[is_new]))) if is_new.sum() > 1 else 0.0
        if held >= _FLASH_SECONDS:
            indices, starts, step = indices[is_new], starts[is_new], held
    return Presentations(
        origin=node.path,
        name=stimulus_name(node.name),
        indices=indices,
        starts=starts,
        usual_step=step,
    )


def presentation_segments(shown: Presentations, source: FrameSource | None) -> list[Segment]:
    """Return one segment for each flash, or for each run of a movie.

    Args:
        shown: Which template was shown when.
        source: Renders the templates; None if there are none.
    """
    steps = np.diff(shown.indices)
    is_slow_movie = bool(len(steps)) and float((steps == 1).mean()) > _MOVIE_SHARE
    least = _SLOW_FRAME_SECONDS if is_slow_movie else _FLASH_SECONDS
    is_flash = shown.usual_step >= least
    is_random = bool(len(steps)) and float((steps < 0).mean()) > _RANDOM_SHARE
    edges = (
        list(range(len(shown.starts) + 1)) if is_flash else _run_edges(shown, is_random=is_random)
    )
    first_index = int(shown.indices[shown.indices >= 0].min(initial=2**31))
    segments, ends = [], shown.ends
    for first, last in itertools.pairwise(edges):
        start, end = float(shown.starts[first]), float(ends[last - 1])
        indices = shown.indices[first:last]
        if indices[0] < 0:
            segments.append(grey_segment(start, end, shown.origin))
            continue
        name = shown.name
        if is_flash:
            name += f"/{indices[0]}"
        elif is_random:
            name += f" sequence {zlib.crc32(indices.tobytes()):08x}"
        elif indices[0] != first_index:
            name += f" from frame {indices[0]}"
        segments.append(
            Segment(
                start=start,
                end=end,
                kind="image" if is_flash else "video",
                condition=name,
                origin=shown.origin,
                source=source,
                flips=shown.starts[first:last] if source is not None else np.empty(0),
                numbers=indices if source is not None else np.empty(0, np.int64),
            )
        )
    return segments


def _run_edges(shown: Presentations, *, is_random: bool) -> list[int]:
    """Return the entries at which runs of a movie begin, and the number of entries."""
    starts, indices = shown.starts, shown.indices
    is_break = np.diff(starts) > _BLOCK_GAP_SECONDS
    is_break |= (indices[1:] < 0) != (indices[:-1] < 0)
    if not is_random:
        is_break |= np.diff(indices) < 0
    edges = [0, *(np.flatnonzero(is_break) + 1).tolist(), len(starts)]
    if not is_random:
        return edges
    step = max(1, round(_RANDOM_SECONDS / shown.usual_step))
    begins = (at for first, last in itertools.pairwise(edges) for at in range(first, last, step))
    return [*begins, len(starts)]
