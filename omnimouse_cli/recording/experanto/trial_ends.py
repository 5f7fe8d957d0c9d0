"""When the trials of a screen end: at the next flip, unless a pause lies before it."""

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.experanto.trials import TrialList
from omnimouse_cli.text import pluralize

_DEFAULT_FRAME_SECONDS = 1 / 30
# A video whose next flip comes this much later than its frames do is followed by a pause; frames
# that were dropped cost less.
_LEAST_PAUSE_SECONDS = 0.25
# An image is followed by a pause if it would be held this many times as long as images are, and
# longer by a second; fewer images than this tell nothing about how long they are.
_HELD_IMAGES = 3.0
_HELD_SECONDS = 1.0
_LEAST_IMAGES = 5


def find_ends(
    trials: TrialList, flips: NDArray[np.float64]
) -> tuple[NDArray[np.float64], list[str]]:
    """Return the end of each trial, float64 `(num_trials,)`, and notes for the user.

    A trial ends at the next flip. A video that is followed by a pause ends one frame after its last
    flip, and an image after the median time of images: what the screen showed in the pause is not
    known. The time of blanks varies, so they always end at the next flip. The experanto library
    gives every pause to the trial before it.

    Args:
        trials: The trials.
        flips: float64 `(num_flips,)`, seconds.
    """
    lengths = np.array([entry.num_frames for entry in trials.entries])
    last_flip = trials.first_flip + lengths - 1
    # No flip follows the last frame: it lasts as long as a usual one.
    ends = np.append(flips, flips[-1] + _frame_seconds(trials, flips))[last_flip + 1]
    held = ends - flips[last_flip]
    is_image = (lengths == 1) & [entry.kind in ("image", "video") for entry in trials.entries]
    pauses = []
    has_next = last_flip < flips.size - 1
    for number in np.flatnonzero((lengths > 1) & has_next & (held > _LEAST_PAUSE_SECONDS)).tolist():
        first = trials.first_flip[number]
        frame = float(np.median(np.diff(flips[first : first + lengths[number]])))
        if held[number] > frame + _LEAST_PAUSE_SECONDS:
            ends[number] = flips[last_flip[number]] + frame
            pauses.append(held[number] - frame)
    if is_image.sum() >= _LEAST_IMAGES:
        usual = float(np.median(held[is_image]))
        is_long = is_image & (held > max(_HELD_IMAGES * usual, usual + _HELD_SECONDS))
        ends[is_long] = flips[last_flip[is_long]] + usual
        pauses += (held[is_long] - usual).tolist()
    if not pauses:
        return ends, []
    note = (
        f"screen: {pluralize(len(pauses), 'trial is', 'trials are')} followed by a pause without a "
        f"flip (the longest of {max(pauses):.1f} s, {sum(pauses):.1f} s in all), which is not "
        "used; the experanto library counts it to the trial before"
    )
    return ends, [note]


def _frame_seconds(trials: TrialList, flips: NDArray[np.float64]) -> float:
    """Return the median time between frames of the first video."""
    for entry, first in zip(trials.entries, trials.first_flip.tolist(), strict=True):
        if entry.num_frames > 1:
            return float(np.median(np.diff(flips[first : first + entry.num_frames])))
    return _DEFAULT_FRAME_SECONDS
