"""What was on the screen when: stretches from several sources, as trials and flips of a screen."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.nwb.geometry import GREY
from omnimouse_cli.recording.recording import (
    FLIP_TOLERANCE_SECONDS,
    Monitor,
    Screen,
    Trial,
    TrialKind,
)
from omnimouse_cli.recording.resize import FRAME_HEIGHT, FRAME_WIDTH

# Stretches that overlap by less than this, or lie less apart, follow each other: their times have
# jitter.
JITTER_SECONDS = 0.05
# An indivisible stretch that is cut to less than this share of it is dropped.
_MIN_SHARE = 0.5
# A screen without a flip for this long before its end gets one at its end, because a screen is
# known until its last flip.
_MAX_OPEN_SECONDS = 0.5
_WITH_FRAMES = ("video", "image")


class FrameSource(Protocol):
    """Where frames come from."""

    def read(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return frames by their numbers in the source, uint8 `(len(numbers), 36, 64)`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Grey:
    """A grey screen."""

    def read(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return grey frames, uint8 `(len(numbers), 36, 64)`."""
        return np.full((len(numbers), FRAME_HEIGHT, FRAME_WIDTH), GREY, np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segment:
    """A stretch of time in which one stimulus is shown.

    Args:
        start: Start, in seconds of the file.
        end: End.
        kind: Content of the screen.
        condition: Name of the stimulus; None without one.
        origin: Path inside the file, of what says so.
        source: Where the frames come from; None if they are not known.
        flips: float64 `(flips,)`, ascending, from `start` to before `end`; empty without frames.
        numbers: int64 `(flips,)`: number of each flip's frame in the source.
        tier: Data split that the file states.
        is_divisible: Whether each part of it is as good as the whole, as of grey or of a film.
    """

    start: float
    end: float
    kind: TrialKind
    condition: str | None
    origin: str
    source: FrameSource | None = None
    flips: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    numbers: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    tier: str | None = None
    is_divisible: bool = False


def grey_segment(start: float, end: float, origin: str) -> Segment:
    """Return a stretch of grey."""
    return Segment(
        start=start,
        end=end,
        kind="blank",
        condition=f"blank {GREY}",
        origin=origin,
        source=Grey(),
        flips=np.array([start]),
        numbers=np.zeros(1, np.int64),
        is_divisible=True,
    )


def cut(segment: Segment, start: float, end: float) -> Segment | None:
    """Return the part of a segment between two times; None if nothing is left.

    The frame that is on the screen at `start` gets a flip there.
    """
    if start <= segment.start and segment.end <= end:
        return segment
    start, end = max(start, segment.start), min(end, segment.end)
    flips, numbers = segment.flips, segment.numbers
    if segment.source is not None:
        first = int(np.searchsorted(flips, start + FLIP_TOLERANCE_SECONDS, side="right")) - 1
        last = int(np.searchsorted(flips, end))
        if last <= max(first, 0):
            return None
        flips, numbers = flips[max(first, 0) : last].copy(), numbers[max(first, 0) : last]
        if first >= 0:
            flips[0] = max(flips[0], start)
        start = float(flips[0])
    if end <= start:
        return None
    return replace(segment, start=start, end=end, flips=flips, numbers=numbers)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Joined:
    """Frames of several segments, one after the other.

    Args:
        segments: The segments, each with frames.
    """

    segments: tuple[Segment, ...]

    def read(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return frames by their number among all, ascending, uint8 `(len(numbers), 36, 64)`."""
        first, parts = 0, [np.empty((0, FRAME_HEIGHT, FRAME_WIDTH), np.uint8)]
        for segment in self.segments:
            last = first + len(segment.numbers)
            inside = numbers[(numbers >= first) & (numbers < last)] - first
            if len(inside) and segment.source is not None:
                parts.append(segment.source.read(segment.numbers[inside]))
            first = last
        return np.concatenate(parts)


class Spans:
    """Stretches of time that are taken, as sorted intervals."""

    def __init__(self) -> None:
        self._starts = np.empty(0)
        self._ends = np.empty(0)

    def add(self, segments: Iterable[Segment]) -> None:
        """Add the time of segments."""
        pairs = [(segment.start, segment.end) for segment in segments]
        pairs += zip(self._starts.tolist(), self._ends.tolist(), strict=True)
        merged: list[list[float]] = []
        for start, end in sorted(pairs):
            if merged and start <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], end)
            else:
                merged.append([start, end])
        array = np.array(merged).reshape(-1, 2)
        self._starts, self._ends = array[:, 0], array[:, 1]

    def free(self, start: float, end: float) -> list[tuple[float, float]]:
        """Return the parts of a stretch that are not taken, in order.

        Example:
            >>> spans = Spans()
            >>> spans.add([grey_segment(2.0, 3.0, "")])
            >>> spans.free(0.0, 4.0)
            [(0.0, 2.0), (3.0, 4.0)]
        """
        first = int(np.searchsorted(self._ends, start, side="right"))
        last = int(np.searchsorted(self._starts, end, side="left"))
        edges = [start]
        for number in range(first, last):
            edges += [float(self._starts[number]), float(self._ends[number])]
        edges.append(end)
        return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a]


def resolve(groups: Sequence[Sequence[Segment]]) -> tuple[list[Segment], list[str]]:
    """Return segments that do not overlap: where several describe one time, earlier groups win.

    Args:
        groups: Segments of one source each, most certain first. Those of one group do not overlap.
            Empty groups are ignored.

    Returns:
        The segments in temporal order, and notes for the user.
    """
    taken, kept, notes = Spans(), list[Segment](), list[str]()
    for group in groups:
        num_cut, num_dropped, added = 0, 0, list[Segment]()
        for segment in group:
            free = taken.free(segment.start, segment.end)
            parts = [(start, end) for start, end in free if end - start >= JITTER_SECONDS]
            length = segment.end - segment.start
            num_free = sum(end - start for start, end in parts)
            if not segment.is_divisible:
                parts = [p for p in parts if p[1] - p[0] >= _MIN_SHARE * length][:1]
                num_cut += bool(parts) and length - num_free > JITTER_SECONDS
                num_dropped += not parts
            pieces = (cut(segment, start, end) for start, end in parts)
            added += [piece for piece in pieces if piece is not None]
        kept += added
        taken.add(added)
        if num_cut or num_dropped:
            origins = ", ".join(dict.fromkeys(segment.origin for segment in group))
            notes.append(
                f"{origins}: {num_cut + num_dropped} of {len(group)} entries overlap with "
                f"others that describe the same time; {num_cut} were cut, {num_dropped} dropped"
            )
    return sorted(kept, key=lambda segment: segment.start), notes


def cut_by_rows(
    track: Sequence[Segment], rows: Sequence[Segment]
) -> tuple[list[Segment], list[Segment]]:
    """Return rows of a table with the frames of the segments that they cut, and what they leave.

    Rows begin and end at the flip next to their times, at most half a usual step away, so that
    repeats of a stimulus have the same frames.

    Args:
        track: Segments with frames, in temporal order, that do not overlap.
        rows: Segments without frames, in temporal order, that do not overlap.

    Returns:
        The rows, without frames where the track covers less than half of them; and the rest of the
        track.
    """
    flips = np.concatenate([segment.flips for segment in track] or [np.empty(0)])
    half_step = float(np.median(np.diff(flips))) / 2 if len(flips) > 1 else 0.0
    starts = np.array([segment.start for segment in track])
    ends = np.array([segment.end for segment in track])
    named = []
    for row in rows:
        start, end = (_snap(flips, time, half_step) for time in (row.start, row.end))
        first = int(np.searchsorted(ends, start, side="right"))
        last = int(np.searchsorted(starts, end))
        cuts = [cut(segment, start, end) for segment in track[first:last]]
        parts = [part for part in cuts if part is not None]
        covered = sum(part.end - part.start for part in parts)
        named.append(row if covered < _MIN_SHARE * (end - start) else _fill(row, parts))
    taken = Spans()
    taken.add(row for row in named if row.source is not None)
    rest = []
    for segment in track:
        left = [cut(segment, *free) for free in taken.free(segment.start, segment.end)]
        rest += [part for part in left if part is not None]
    return named, rest


def _snap(flips: NDArray[np.float64], time: float, distance: float) -> float:
    """Return the flip next to a time, or the time if none is within a distance."""
    at = int(np.searchsorted(flips, time))
    near = flips[max(at - 1, 0) : at + 1]
    best = float(near[np.argmin(np.abs(near - time))]) if len(near) else time
    return best if abs(best - time) <= distance else time


def _fill(row: Segment, parts: Sequence[Segment]) -> Segment:
    """Return a row with the frames of segments."""
    kinds: set[TrialKind] = {part.kind for part in parts}
    # The name of a row says more than a film.
    kinds = {"blank"} if row.kind == "blank" else kinds
    names = {part.condition for part in parts}
    condition = row.condition if row.condition is not None or len(names) > 1 else names.pop()
    numbers = np.arange(sum(len(part.numbers) for part in parts))
    return replace(
        row,
        start=parts[0].start,
        end=parts[-1].end,
        kind=kinds.pop() if len(kinds) == 1 else "video",
        condition=condition,
        source=parts[0].source if len(parts) == 1 else Joined(segments=tuple(parts)),
        flips=np.concatenate([part.flips for part in parts]),
        numbers=parts[0].numbers if len(parts) == 1 else numbers,
    )


def fill_gaps(segments: Sequence[Segment], longest_seconds: float, origin: str) -> list[Segment]:
    """Return segments with grey in the gaps between two stimuli that are known.

    Args:
        segments: Segments in temporal order that do not overlap.
        longest_seconds: Longest gap that is filled.
        origin: What says so, for notes.
    """
    result = list(segments[:1])
    for before, segment in itertools.pairwise(segments):
        is_known = not {before.kind, segment.kind} & {"unknown", "invalid"}
        if is_known and JITTER_SECONDS <= segment.start - before.end <= longest_seconds:
            result.append(grey_segment(before.end, segment.start, origin))
        result.append(segment)
    return result


def abut(segments: Sequence[Segment]) -> list[Segment]:
    """Return segments in temporal order, each extended over a gap of jitter to the next one."""
    result = list(segments)
    for number, (segment, following) in enumerate(itertools.pairwise(segments)):
        if segment.end < following.start < segment.end + JITTER_SECONDS:
            result[number] = replace(segment, end=following.start)
    return result


def build_screen(
    segments: Sequence[Segment], monitor: Monitor | None
) -> tuple[Screen | None, tuple[Trial, ...]]:
    """Return the screen and the trials of segments, one for each.

    Args:
        segments: Segments in temporal order that do not overlap.
        monitor: The monitor.

    Returns:
        The screen, None if no frame is known, and the trials. If some frames are known, a segment
        without frames is an `unknown` trial without a flip.
    """
    segments = list(segments)
    shown = [number for number, segment in enumerate(segments) if segment.source is not None]
    if shown:
        segments[shown[-1]] = _close(segments[shown[-1]])
    trials, num_flips = list[Trial](), 0
    for segment in segments:
        is_unknown = bool(shown) and segment.source is None and segment.kind != "invalid"
        trials.append(
            Trial(
                start_seconds=segment.start,
                end_seconds=segment.end,
                kind="unknown" if is_unknown else segment.kind,
                tier=segment.tier,
                condition=segment.condition,
                first_flip=num_flips,
                num_flips=len(segment.flips),
                identified_by_frames=segment.condition is None
                and segment.kind in _WITH_FRAMES
                and segment.source is not None,
            )
        )
        num_flips += len(segment.flips)
    if not shown:
        return None, tuple(trials)

    def read_frames(trial_number: int, first: int, last: int) -> NDArray[np.uint8]:
        segment = segments[trial_number]
        if segment.source is None:
            return np.empty((0, FRAME_HEIGHT, FRAME_WIDTH), np.uint8)
        return segment.source.read(segment.numbers[first:last])

    screen = Screen(
        flip_seconds=np.concatenate([segment.flips for segment in segments]),
        frame_height=FRAME_HEIGHT,
        frame_width=FRAME_WIDTH,
        read_frames=read_frames,
        monitor=monitor,
    )
    return screen, tuple(trials)


def _close(segment: Segment) -> Segment:
    """Return a segment with a flip at its end if its last frame stays for long."""
    if segment.end - segment.flips[-1] <= _MAX_OPEN_SECONDS:
        return segment
    last = max(segment.end - FLIP_TOLERANCE_SECONDS, segment.flips[-1])
    return replace(
        segment,
        flips=np.append(segment.flips, last),
        numbers=np.append(segment.numbers, segment.numbers[-1]),
    )
