"""Raw responses of a recording to drifting gratings: trials, curves, and their reliability."""

import re
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.probing.tuning import DirectionTuning, row_correlation, tune_direction
from omnimouse_cli.shard import Shard

F64 = NDArray[np.float64]
# The part of a trial over which responses are averaged, and the one before that is subtracted, in
# seconds from its onset.
DURING_SECONDS, BEFORE_SECONDS = (0.5, 2.0), (-0.5, 0.0)
SPLITS = 50
GRATING = re.compile(r"drifting_gratings ori=([\d.]+) tf=([\d.]+)")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trials:
    """Mean raw responses of trials of gratings.

    Args:
        responses: float64 `(trials, neurons)`: above those to the screen before.
        direction_deg: float64 `(trials,)`: direction of motion.
        hz: float64 `(trials,)`.
        in_train: Bool `(trials,)`: whether the trial is of the train tier.
    """

    responses: F64
    direction_deg: F64
    hz: F64
    in_train: NDArray[np.bool_]

    def take(self, rows: NDArray[Any]) -> "Trials":
        """Return some of the trials."""
        return Trials(**{one.name: getattr(self, one.name)[rows] for one in fields(self)})

    def curves(self) -> F64:
        """Return the mean response to each grating: `(directions, frequencies, neurons)`."""
        return np.stack(
            [
                [
                    self.responses[(self.direction_deg == direction) & (self.hz == hz)].mean(axis=0)
                    for hz in np.unique(self.hz)
                ]
                for direction in np.unique(self.direction_deg)
            ]
        )

    def tuning(self) -> DirectionTuning:
        """Return the tuning for direction at the temporal frequency of the largest response."""
        curves = self.curves()
        best = curves.max(axis=0).argmax(axis=0)
        return tune_direction(curves[:, best, np.arange(curves.shape[2])].T)


def measured_trials(shard: Shard, turn: int) -> Trials:
    """Return the trials of gratings whose responses are complete.

    Args:
        shard: The session.
        turn: 1 or -1, from `shown_grating`.
    """
    trials, clock = shard.trials, shard.description.responses.clock
    responses = shard.read_responses(0, clock.num_samples).astype(np.float64)
    rows, facts = [], []
    for number, condition in enumerate(trials.condition):
        found = GRATING.match(shard.description.conditions[condition]) if condition >= 0 else None
        if found is None:
            continue
        onset = (trials.start_seconds[number] - clock.start_seconds) * clock.rate_hz
        before, during = (
            responses[slice(*(round(onset + each * clock.rate_hz) for each in seconds))]
            for seconds in (BEFORE_SECONDS, DURING_SECONDS)
        )
        if len(before) and len(during) and np.isfinite([*before, *during]).all():
            tier = shard.description.tiers[trials.tier[number]]
            rows.append(during.mean(axis=0) - before.mean(axis=0))
            facts.append((float(found[1]) * turn % 360, float(found[2]), tier == "train"))
    direction, hz, in_train = np.array(facts).T
    return Trials(
        responses=np.array(rows), direction_deg=direction, hz=hz, in_train=in_train.astype(bool)
    )


def split_half(trials: Trials, rng: np.random.Generator) -> F64:
    """Return the mean correlation of curves from random halves of trials: `(neurons,)`."""
    _, kind = np.unique(np.stack([trials.direction_deg, trials.hz]), axis=1, return_inverse=True)
    found = []
    for _ in range(SPLITS):
        half = np.zeros(len(kind), np.bool_)
        for one in np.unique(kind):
            rows = rng.permutation(np.flatnonzero(kind == one))
            half[rows[: len(rows) // 2]] = True
        curves = [
            trials.take(part).curves().reshape(-1, trials.responses.shape[1]).T
            for part in (half, ~half)
        ]
        found.append(row_correlation(*curves))
    return np.asarray(np.mean(found, axis=0))


def shown_grating(shard: Shard) -> tuple[float, float, int]:
    """Return what the first slow grating of a recording shows.

    Returns:
        Spatial frequency in cycles per pixel, amplitude in grey levels, and 1 or -1: whether the
        angles that conditions name are directions of motion counter-clockwise or clockwise.
    """
    names = shard.description.conditions
    slow = [number for number, name in enumerate(names) if re.search(r"ori=45 tf=[12]$", name)]
    trial = int(np.flatnonzero(np.isin(shard.trials.condition, slow))[0])
    span = shard.trials.start_seconds[trial] + [0.01, 1.0]
    first, last = np.searchsorted(shard.flip_seconds, span)
    frames = shard.frames[shard.frame_index[first:last]].astype(np.float64)
    padded = np.fft.fft2(frames - frames.mean(), s=(512, 512))
    power = np.abs(padded).mean(axis=0)
    down, right = np.unravel_index(power[:, 1:256].argmax(), (512, 255))
    right += 1
    waves_down, waves_right = np.fft.fftfreq(512)[down], np.fft.fftfreq(512)[right]
    turns = np.angle(padded[1:, down, right] / padded[:-1, down, right])
    # The phase of a wave that moves along its vector falls.
    sign = -np.sign(turns[np.abs(turns) > 1e-3].mean())
    angle = np.rad2deg(np.arctan2(-waves_down * sign, waves_right * sign))
    turn = 1 if 0 < angle % 360 < 90 else -1
    assert abs(angle - 45 * turn) < 5, "the angle is the direction of motion, or against it"
    return float(np.hypot(waves_down, waves_right)), float(np.ptp(frames) / 2), turn
