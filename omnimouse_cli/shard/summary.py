"""One session in numbers: its tiers, its modalities, the distribution of its responses."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.recording import Clock
from omnimouse_cli.shard.intervals import intersect, total_seconds
from omnimouse_cli.shard.read import Shard
from omnimouse_cli.shard.valid import recorded_time, tier_minutes, trial_time, valid_time

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TierSummary:
    """The trials of one tier.

    Args:
        tier: Name of the tier.
        trials: Number of trials.
        minutes: Time of the trials while responses were recorded.
        usable_minutes: The part of it that is valid.
        stimuli: Number of different conditions.
        repeated_stimuli: Number of conditions that were shown more than once.
        kinds: Number of trials of each kind.
        seen_in_train: Whether a stimulus of the tier is shown in train trials too; None where that
            is not known, and for the train tier.
    """

    tier: str
    trials: int
    minutes: float
    usable_minutes: float
    stimuli: int
    repeated_stimuli: int
    kinds: dict[str, int]
    seen_in_train: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModalitySummary:
    """One signal.

    Args:
        modality: Name of the signal.
        start_seconds: Time of the first row or flip, from the recording's origin.
        rate_hz: Rows per second; for the screen, 1 / median interval of flips.
        samples: Number of rows or flips.
        size: Number of neurons or channels, or `height x width`.
        channels: Names of behavior channels, with their units where these are known.
        missing: Number of rows of responses in which a value is missing.
        valid_fraction: Share of the recorded time in which the signal is valid.
    """

    modality: str
    start_seconds: float | None
    rate_hz: float | None
    samples: int
    size: str
    channels: tuple[str, ...]
    valid_fraction: float
    missing: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseSummary:
    """Distribution of responses over neurons, on the statistics tier.

    Args:
        quantiles: Probabilities of the quantiles over neurons.
        mean: Quantiles of the neurons' means.
        std: Quantiles of the neurons' standard deviations.
        constant_neurons: Number of neurons that never change.
        file_std_ratio: Median ratio of the file's own standard deviations, if it has them, to the
            computed ones.
    """

    quantiles: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    constant_neurons: int
    file_std_ratio: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSummary:
    """One session in numbers."""

    tiers: tuple[TierSummary, ...]
    modalities: tuple[ModalitySummary, ...]
    responses: ResponseSummary
    distinct_frames: int


def summarize(shard: Shard) -> SessionSummary:
    """Summarize a session; the responses themselves are not read."""
    has_screen = shard.description.screen is not None
    return SessionSummary(
        tiers=tuple(_tier(shard, tier) for tier in shard.description.tiers),
        modalities=tuple(_modality(shard, name) for name in shard.description.modalities),
        responses=_responses(shard),
        distinct_frames=len(shard.frames) if has_screen else 0,
    )


def _tier(shard: Shard, tier: str) -> TierSummary:
    description, trials = shard.description, shard.trials
    chosen = trials.tier == description.tiers.index(tier)
    conditions = trials.condition[chosen]
    _, repeats = np.unique(conditions[conditions >= 0], return_counts=True)
    kinds = np.bincount(trials.kind[chosen], minlength=len(description.kinds))
    valid = intersect(trial_time(shard, tier=tier), valid_time(shard))
    return TierSummary(
        tier=tier,
        trials=int(chosen.sum()),
        minutes=tier_minutes(shard)[tier],
        usable_minutes=total_seconds(valid) / 60,
        stimuli=len(repeats),
        repeated_stimuli=int((repeats > 1).sum()),
        kinds={name: int(n) for name, n in zip(description.kinds, kinds, strict=True) if n},
        seen_in_train=description.stimulus_seen_in_train.get(tier),
    )


def _modality(shard: Shard, name: str) -> ModalitySummary:
    recorded = recorded_time(shard)
    valid = total_seconds(intersect(shard.valid(name), recorded)) / total_seconds(recorded)
    if name == "screen":
        return _screen(shard, valid)
    if name == "responses":
        responses = shard.description.responses
        found = _sequence(name, responses.clock, str(responses.num_neurons), (), valid)
        return replace(found, missing=responses.missing_rows)
    device = shard.device(name)
    channels = device.channels
    if device.units:
        named = zip(device.channels, device.units, strict=True)
        channels = tuple(f"{channel} ({unit})" if unit else channel for channel, unit in named)
    return _sequence(name, device.clock, str(len(channels)), channels, valid)


def _sequence(
    name: str, clock: Clock, size: str, channels: tuple[str, ...], valid: float
) -> ModalitySummary:
    return ModalitySummary(
        modality=name,
        start_seconds=clock.start_seconds,
        rate_hz=clock.rate_hz,
        samples=clock.num_samples,
        size=size,
        channels=channels,
        valid_fraction=valid,
    )


def _screen(shard: Shard, valid: float) -> ModalitySummary:
    flips = shard.flip_seconds
    steps = np.diff(flips)
    return ModalitySummary(
        modality="screen",
        start_seconds=float(flips[0]) if len(flips) else None,
        rate_hz=float(1 / np.median(steps)) if len(steps) else None,
        samples=len(flips),
        size="{} x {}".format(*shard.frames.shape[1:]),
        channels=(),
        valid_fraction=valid,
    )


def _responses(shard: Shard) -> ResponseSummary:
    mean, std, own = shard.neuron_mean, shard.neuron_std, shard.file_std
    return ResponseSummary(
        quantiles=QUANTILES,
        mean=_quantiles(mean),
        std=_quantiles(std),
        constant_neurons=int((std == 0).sum()),
        file_std_ratio=None
        if own is None or not (std > 0).any()
        else float(np.median(own[std > 0] / std[std > 0])),
    )


def _quantiles(values: NDArray[np.float32]) -> tuple[float, ...]:
    return tuple(np.quantile(values.astype(np.float64), QUANTILES).tolist())
