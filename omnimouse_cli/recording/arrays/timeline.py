"""Trials with the flips that they consist of, from a table of trials or from the frames alone."""

import hashlib
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.arrays.frames import Frames
from omnimouse_cli.recording.arrays.trials import TrialRow
from omnimouse_cli.recording.recording import Monitor, Screen, Trial, TrialKind, latest_index

# A trial begins or ends with the flip that is nearest to its time, if it is as near as this.
_MAX_SNAP_SECONDS = 0.02
# A stretch of more different frames than this is not tested for being one grey.
_MAX_GREY_FRAMES = 4
# Of the frames that stay longer than so many usual steps, so many are tested for being one grey.
_LONG_STEPS = 2.5
_MAX_TESTED_FRAMES = 256
# Without a table of trials a movie is cut into pieces of this length.
_PIECE_SECONDS = 10.0
# Runs of consecutive frames are trials if there are at most this many per second.
_MAX_RUNS_PER_SECOND = 4.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flips:
    """When which frame was shown.

    Args:
        seconds: float64 `(flips,)`, ascending.
        frame: int64 `(flips,)`: number of the frame in `frames`.
        step_seconds: Median time between flips.
        source: The file, for messages.
    """

    seconds: NDArray[np.float64]
    frame: NDArray[np.int64]
    step_seconds: float
    source: str

    @property
    def end_seconds(self) -> float:
        """Time until which the last frame is taken to stay."""
        return float(self.seconds[-1]) + self.step_seconds

    def snap(self, seconds: float) -> float:
        """Return the time of the nearest flip, or `seconds` where none is near."""
        after = int(np.searchsorted(self.seconds, seconds))
        around = self.seconds[max(after - 1, 0) : after + 1]
        nearest = float(around[np.argmin(np.abs(around - seconds))])
        near = min(self.step_seconds / 2, _MAX_SNAP_SECONDS)
        return nearest if abs(nearest - seconds) <= near else seconds


@dataclass(kw_only=True, eq=False)
class Timeline:
    """Trials in the making, and the flips that they consist of.

    Args:
        flips: When which frame was shown.
        frames: The frames.

    Attributes:
        trials: The trials that were added.
        notes: One sentence for each thing that was assumed, repaired or left out.
    """

    flips: Flips
    frames: Frames
    trials: list[Trial] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _seconds: list[NDArray[np.float64]] = field(default_factory=list)
    _frame: list[NDArray[np.int64]] = field(default_factory=list)
    _num_flips: int = 0
    _grey_levels: dict[int, int | None] = field(default_factory=dict)

    def add_rows(self, rows: list[TrialRow]) -> None:
        """Add the trials of a table, and blanks where one grey was shown between them."""
        snapped = [
            replace(
                row,
                start_seconds=self.flips.snap(row.start_seconds),
                end_seconds=self.flips.snap(row.end_seconds),
            )
            for row in rows
        ]
        done, unused, unshown = float(self.flips.seconds[0]), 0.0, 0
        for row in [*snapped, None]:
            until = self.flips.end_seconds
            if row is not None:
                until = min(until, row.start_seconds)
            if until > done and not self._add_blank(done, until):
                unused += until - done
            if row is not None:
                unshown += not self._add(row)
                done = max(done, row.end_seconds)
        if unshown:
            self.notes.append(
                f"trials that end before the first flip or start after the last, in which it is "
                f"not known what was shown: {unshown} of {len(rows)}"
            )
        if unused > self.flips.step_seconds:
            self.notes.append(
                f"trials: {unused:.1f} s in which frames other than one grey were shown lie in no "
                "trial and are not used"
            )

    def add_runs(self) -> None:
        """Add runs of consecutive frames as trials, long ones in pieces."""
        seconds, frame = self.flips.seconds, self.flips.frame
        is_grey = self._long_greys()
        is_next = (np.diff(frame) == 1) & (is_grey[1:] == is_grey[:-1])
        starts = np.flatnonzero(np.concatenate(([True], ~is_next)))
        span = self.flips.end_seconds - float(seconds[0])
        if len(starts) > _MAX_RUNS_PER_SECOND * span:
            starts = np.array([0])
        edges = [*seconds[starts].tolist(), self.flips.end_seconds]
        for start, end in pairwise(edges):
            num_pieces = max(1, round((end - start) / _PIECE_SECONDS))
            cuts = seconds[np.searchsorted(seconds, np.linspace(start, end, num_pieces + 1)[1:-1])]
            borders = list(dict.fromkeys([start, *cuts.tolist(), end]))
            for first, last in pairwise(borders):
                if not self._add_blank(first, last):
                    self._add(TrialRow(start_seconds=first, end_seconds=last))

    def screen(self, monitor: Monitor) -> Screen:
        """Return the screen of the trials that were added."""
        shown = np.concatenate(self._frame) if self._frame else np.empty(0, np.int64)
        seconds = np.concatenate(self._seconds) if self._seconds else np.empty(0)
        first_flip = [trial.first_flip for trial in self.trials]
        frames = self.frames

        def read_frames(trial_number: int, first: int, last: int) -> NDArray[np.uint8]:
            at = first_flip[trial_number]
            return frames.read(shown[at + first : at + last])

        return Screen(
            flip_seconds=seconds,
            frame_height=frames.height,
            frame_width=frames.width,
            read_frames=read_frames,
            monitor=monitor,
        )

    def _shown(self, start: float, end: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return times and frames of the flips in a stretch, the one before held into it."""
        first = int(latest_index(self.flips.seconds, np.array([start]))[0])
        last = int(np.searchsorted(self.flips.seconds, end - 1e-6))
        held = slice(max(first, 0), max(last, first + 1))
        return np.maximum(self.flips.seconds[held], start), self.flips.frame[held]

    def _grey_level(self, frame: NDArray[np.int64]) -> int | None:
        """Return the level if all frames are of one grey, else None."""
        numbers = np.unique(frame).tolist()
        if len(numbers) > _MAX_GREY_FRAMES or not numbers:
            return None
        for number in numbers:
            if number not in self._grey_levels:
                self._grey_levels[number] = self.frames.grey_level(number)
        levels = {self._grey_levels[number] for number in numbers}
        return levels.pop() if len(levels) == 1 else None

    def _long_greys(self) -> NDArray[np.bool_]:
        """Return which flips show a grey that stays longer than a usual frame, bool `(flips,)`."""
        seconds, frame = self.flips.seconds, self.flips.frame
        held = np.diff(seconds, append=self.flips.end_seconds)
        candidates = np.unique(frame[held > _LONG_STEPS * self.flips.step_seconds])
        greys = [
            number
            for number in candidates[:_MAX_TESTED_FRAMES].tolist()
            if self._grey_level(np.array([number])) is not None
        ]
        return np.isin(frame, greys)

    def _add_blank(self, start: float, end: float) -> bool:
        seconds, frame = self._shown(start, end)
        level = self._grey_level(frame)
        if level is None:
            return False
        row = TrialRow(
            start_seconds=start, end_seconds=end, kind="blank", condition=f"blank {level}"
        )
        # The last flip says until when the screen is known.
        ends = np.unique([0, len(frame) - 1])
        self._append(row, "blank", seconds[ends], frame[ends])
        return True

    def _add(self, row: TrialRow) -> bool:
        """Add a trial; return whether its frames are known."""
        seconds, frame = self._shown(row.start_seconds, row.end_seconds)
        is_shown = len(frame) > 0 and row.start_seconds < self.flips.end_seconds
        if not is_shown or row.kind == "unknown":
            self.trials.append(without_screen(row))
            return row.kind == "unknown"
        is_image = bool((frame == frame[0]).all())
        kind: TrialKind = "image" if is_image else "video"
        if row.kind is not None or self._grey_level(frame) is not None:
            kind = row.kind or "blank"
        self._append(row, kind, seconds, frame)
        return True

    def _append(
        self,
        row: TrialRow,
        kind: TrialKind,
        seconds: NDArray[np.float64],
        frame: NDArray[np.int64],
    ) -> None:
        self.trials.append(
            Trial(
                start_seconds=float(seconds[0]),
                end_seconds=row.end_seconds,
                kind=kind,
                tier=row.tier,
                condition=row.condition or _name_frames(frame),
                first_flip=self._num_flips,
                num_flips=len(frame),
            )
        )
        self._seconds.append(seconds)
        self._frame.append(frame)
        self._num_flips += len(seconds)


def without_screen(row: TrialRow) -> Trial:
    """Return a trial of which no frame is known."""
    return Trial(
        start_seconds=row.start_seconds,
        end_seconds=row.end_seconds,
        kind=row.kind or "unknown",
        tier=row.tier,
        condition=row.condition,
        first_flip=0,
        num_flips=0,
    )


def _name_frames(frame: NDArray[np.int64]) -> str:
    """Return a name that trials with the same frames share, however often each is flipped."""
    frame = frame[np.concatenate(([True], np.diff(frame) != 0))]
    if bool((np.diff(frame) == 1).all()):
        return f"frames {frame[0]}-{frame[-1]}" if len(frame) > 1 else f"frame {frame[0]}"
    return f"frames {hashlib.blake2b(frame.tobytes(), digest_size=6).hexdigest()}"
