"""Where the trials of a Sensorium set lie on one time axis, and which of their responses exist."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.recording import Clock
from omnimouse_cli.recording.sensorium.store import TIERS, Store
from omnimouse_cli.text import pluralize

RESPONSES = "responses"
VIDEOS = "videos"
IMAGES = "images"
_TRIAL_INDEX = "meta/trials/trial_idx.npy"
# Trials of this tier were excluded by the competition.
_EXCLUDED_TIERS = ("none", "nan", "")
VIDEO_RATE_HZ = 30.0
# An image is shown for as long as a window of the model; it has one row of every signal.
IMAGE_RATE_HZ = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedTrial:
    """A trial and its rows on the common time axis.

    Args:
        number: Number of its files.
        tier: Its tier.
        first_row: Its first row.
        num_rows: Number of its rows.
        num_recorded: Number of rows, from the first on, that have responses; 0 if they are
            withheld.
    """

    number: int
    tier: str
    first_row: int
    num_rows: int
    num_recorded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The time axis of a set: trials one after the other.

    Args:
        clock: The clock that all signals share.
        trials: In their order on the time axis.
        num_files: Number of trials of the set, excluded ones among them.
        num_neurons: Number of neurons.
        notes: What was assumed, excluded or found missing.
    """

    clock: Clock
    trials: tuple[PlacedTrial, ...]
    num_files: int
    num_neurons: int
    notes: tuple[str, ...]

    def seconds(self, row: int) -> float:
        """Return the time of a row."""
        return row / self.clock.rate_hz

    @property
    def gaps(self) -> NDArray[np.float64]:
        """float64 `(gaps, 2)`: times of trials without responses."""
        rows = [
            (trial.first_row + trial.num_recorded, trial.first_row + trial.num_rows)
            for trial in self.trials
            if trial.num_recorded < trial.num_rows
        ]
        return np.array(rows, np.float64).reshape(-1, 2) / self.clock.rate_hz


def place_trials(store: Store, *, is_static: bool) -> Layout:
    """Lay the trials of a set one after the other.

    A video trial is as long as its video, which ends at the first NaN of its first pixel. Rows of
    it without responses are missing; responses after the end of the video are not used. Responses
    of a trial that are all zero were withheld by the competition; those of a single image only if
    all images of its tier are so, as few neurons may be silent together.

    Args:
        store: The files of the set.
        is_static: Whether trials are images.

    Raises:
        RecordingError: A file is missing, damaged or contradicts another one.
    """
    notes: list[str] = []
    tiers = _read_tiers(store)
    order = _presentation_order(store, len(tiers), notes)
    kept = [number for number in order if tiers[number].lower() not in _EXCLUDED_TIERS]
    if len(kept) < len(tiers):
        notes.append(
            f"trials are excluded whose tier is none: {len(tiers) - len(kept)} of {len(tiers)}"
        )
    stimuli = store.variable(IMAGES if is_static else VIDEOS)
    responses = store.variable(RESPONSES)
    with_stimulus = [number for number in kept if number in stimuli]
    if len(with_stimulus) < len(kept):
        missing = len(kept) - len(with_stimulus)
        notes.append(f"trials are excluded whose stimulus has no file: {missing} of {len(kept)}")
    if not with_stimulus:
        raise _no_trial(store, notes)
    trials: list[PlacedTrial] = []
    row, num_neurons = 0, _count_neurons(store, responses, with_stimulus)
    for number in with_stimulus:
        num_rows = 1 if is_static else video_length(store, stimuli[number])
        if num_rows == 0:
            notes.append(f"trial {number} is excluded: its video has no frame")
            continue
        file = responses.get(number)
        recorded = 0 if file is None else _recorded_rows(store, file, num_neurons)
        trial = PlacedTrial(
            number=number,
            tier=tiers[number],
            first_row=row,
            num_rows=num_rows,
            num_recorded=min(recorded, num_rows),
        )
        trials.append(trial)
        row += num_rows
    if not trials:
        raise _no_trial(store, notes)
    if is_static:
        trials = _restore_silent(trials, responses)
    notes += _withheld_notes(trials)
    rate_hz = IMAGE_RATE_HZ if is_static else VIDEO_RATE_HZ
    return Layout(
        clock=Clock(start_seconds=0.0, rate_hz=rate_hz, num_samples=row),
        trials=tuple(trials),
        num_files=len(tiers),
        num_neurons=num_neurons,
        notes=tuple(notes),
    )


def _no_trial(store: Store, notes: Sequence[str]) -> RecordingError:
    return RecordingError(
        f"{store.path} has no trial that can be used: " + "; ".join(notes),
        hint="trials need a stimulus and a tier other than none",
    )


def video_length(store: Store, file: str) -> int:
    """Return the number of frames of a video before its padding with NaN.

    Raises:
        RecordingError: The file is damaged or has another shape.
    """
    header, pixel = store.read_first(file)
    if len(header.shape) not in (3, 4) or header.dtype.kind not in "iuf":
        raise RecordingError(
            f"{store.where(file)} must hold numbers of shape (height, width, time): "
            f"{header.dtype} of shape {header.shape}",
            hint="download or copy it again",
        )
    return _first_nan(pixel)


def _first_nan(values: NDArray[np.generic]) -> int:
    is_nan = np.isnan(values)
    return int(np.argmax(is_nan)) if is_nan.any() else len(values)


def _read_tiers(store: Store) -> list[str]:
    values = store.read_array(TIERS)
    if values.ndim != 1 or values.dtype.kind not in "US" or len(values) == 0:
        raise RecordingError(
            f"{store.where(TIERS)} must hold one text per trial: {values.dtype} of shape "
            f"{values.shape}",
            hint="download or copy it again",
        )
    return [text.strip() for text in values.astype(np.str_).tolist()]


def _presentation_order(store: Store, num_trials: int, notes: list[str]) -> Sequence[int]:
    """Return trial numbers in the order in which trials were shown, else in that of the files."""
    if _TRIAL_INDEX not in store.files:
        notes.append("the order of presentation is not known: trials are in the order of the files")
        return range(num_trials)
    texts = store.read_texts(_TRIAL_INDEX, num_trials, notes) or []
    # Image trials of a video set join the numbers of several images: `6--7`.
    firsts = [re.match(r"\d+(?=$|--)", text) for text in texts]
    found = [int(match[0]) for match in firsts if match]
    if len(found) != num_trials:
        notes.append(
            f"{_TRIAL_INDEX} does not number all trials: trials are in the order of the files"
        )
        return range(num_trials)
    notes.append(f"trials are in the order of presentation ({_TRIAL_INDEX})")
    return sorted(range(num_trials), key=found.__getitem__)


def _count_neurons(store: Store, responses: Mapping[int, str], numbers: Sequence[int]) -> int:
    first = next((number for number in numbers if number in responses), None)
    if first is None:
        raise RecordingError(
            f"{store.path} has no responses: no trial with a stimulus has a file in data/responses",
            hint="a recording without neural activity cannot be used",
        )
    shape = store.read_header(responses[first]).shape
    if len(shape) not in (1, 2) or shape[0] == 0:
        raise RecordingError(
            f"{store.where(responses[first])} must have shape (neurons,) or (neurons, time): "
            f"{shape}",
            hint="download or copy it again",
        )
    return int(shape[0])


def _recorded_rows(store: Store, file: str, num_neurons: int) -> int:
    """Return how many rows have responses: 0 if they are all zero, else up to the first NaN."""
    header, first = store.read_first(file)
    if header.shape[0] != num_neurons or header.dtype.kind not in "iuf":
        raise RecordingError(
            f"{store.where(file)} must hold numbers of {num_neurons} neurons, as the other trials: "
            f"{header.dtype} of shape {header.shape}",
            hint="download or copy it again",
        )
    has_value = bool(((first > 0) | (first < 0)).any()) or store.has_value(file)
    if not has_value:
        return 0
    if len(header.shape) == 1:
        return 1
    num_rows = _first_nan(first)
    if num_rows == 0:
        # The first neuron has no value in this trial.
        missing = np.isnan(store.read_array(file)).all(axis=0)
        num_rows = int(np.argmax(missing)) if missing.any() else len(missing)
    return num_rows


def _restore_silent(
    trials: Sequence[PlacedTrial], responses: Mapping[int, str]
) -> list[PlacedTrial]:
    """Count images as recorded that are all zero in a tier that has responses."""
    has_responses = {trial.tier for trial in trials if trial.num_recorded}
    return [
        replace(trial, num_recorded=int(trial.tier in has_responses and trial.number in responses))
        for trial in trials
    ]


def _withheld_notes(trials: Sequence[PlacedTrial]) -> list[str]:
    notes = []
    withheld = Counter(trial.tier for trial in trials if trial.num_recorded == 0)
    if withheld:
        tiers = ", ".join(f"{tier} {count}" for tier, count in withheld.items())
        notes.append(
            f"responses of {pluralize(withheld.total(), 'trial')} are withheld (all zero, or no "
            f"file) and count as missing: {tiers}"
        )
    shorter = [trial for trial in trials if 0 < trial.num_recorded < trial.num_rows]
    if shorter:
        rows = sum(trial.num_rows - trial.num_recorded for trial in shorter)
        notes.append(
            f"responses of {pluralize(len(shorter), 'trial')} end before the video: "
            f"{pluralize(rows, 'row is', 'rows are')} missing"
        )
    return notes
