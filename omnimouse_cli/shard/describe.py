"""The description of a shard: from its recording, and from what was found while it was written."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.config.data import RESPONSE_RATE_HZ
from omnimouse_cli.recording.dff import Baseline
from omnimouse_cli.recording.recording import Recording, ResponseKind
from omnimouse_cli.recording.resize import FRAME_HEIGHT, FRAME_WIDTH
from omnimouse_cli.shard.behavior import Device
from omnimouse_cli.shard.description import (
    ResponsesDescription,
    Rounding,
    ScreenDescription,
    ShardDescription,
    SourceDescription,
)
from omnimouse_cli.shard.population import describe_copies, describe_stuck
from omnimouse_cli.shard.responses import ResponseStatistics, StoredDtype
from omnimouse_cli.shard.trials import (
    ALL_TIERS,
    TrialColumns,
    statistics_time,
    stimulus_seen_in_train,
)

# Typical rounding error, in standard deviations, above which a note is stored.
NOTED_ROUNDING = 0.01
# A note is added if the median ratio of the file's own standard deviations to the computed ones
# exceeds this, in either direction.
NOTED_STD_FACTOR = 1.5
# A note is added if a row of the responses is held for more samples of a window than this.
HELD_ROWS = 1.5


def describe_recording(
    recording: Recording,
    columns: TrialColumns,
    devices: Sequence[Device],
    *,
    baseline: Baseline | None,
    notes: Sequence[str],
    fingerprint: str,
) -> ShardDescription:
    """Return the description of a recording whose responses were not read yet.

    Args:
        recording: The recording, of the stored neurons.
        columns: Its trials.
        devices: Its behavior signals.
        baseline: Baseline with which its raw fluorescence is turned into dF/F, if it is.
        notes: Sentences about what was repaired or dropped.
        fingerprint: Fingerprint of the source files and the options.
    """
    screen = recording.screen
    return ShardDescription(
        session=recording.session,
        animal=recording.animal,
        origin_seconds=recording.origin_seconds,
        response_kind="unknown",
        native_rate_hz=recording.native_rate_hz,
        statistics_tier=statistics_time(recording)[0],
        responses=ResponsesDescription(
            clock=recording.responses.clock,
            num_neurons=recording.responses.num_channels,
            rounding=Rounding(rms_relative=0.0, max_relative=0.0),
            baseline=baseline,
            id_namespace=recording.neurons.id_namespace,
            areas=text_names(recording.neurons.area),
            layers=text_names(recording.neurons.layer),
        ),
        screen=None
        if screen is None
        else ScreenDescription(
            frame_height=FRAME_HEIGHT,
            frame_width=FRAME_WIDTH,
            source_height=screen.frame_height,
            source_width=screen.frame_width,
            monitor=screen.monitor,
        ),
        behavior=tuple(device.description for device in devices),
        tiers=columns.tiers,
        kinds=columns.kinds,
        conditions=columns.conditions,
        checksums={},
        source=SourceDescription(path=str(recording.path.resolve()), fingerprint=fingerprint),
        notes=tuple(notes),
        format=recording.format,
        provenance=recording.provenance,
        split=recording.split,
        stimulus_seen_in_train=stimulus_seen_in_train(recording, columns),
        windows_within_trials=recording.windows_within_trials,
    )


def complete_description(
    preliminary: ShardDescription,
    recording: Recording,
    columns: TrialColumns,
    statistics: ResponseStatistics,
    *,
    kind: ResponseKind,
    dtype: StoredDtype,
) -> ShardDescription:
    """Return the description with what the pass over the responses and the frames has found.

    Args:
        preliminary: The description before.
        recording: The recording, of the stored neurons.
        columns: Its trials, with the conditions that were found in the frames.
        statistics: Statistics of its responses.
        kind: What its responses are.
        dtype: Number type that they are stored in.
    """
    notes = list(preliminary.notes)
    if preliminary.statistics_tier == ALL_TIERS:
        notes.append("no trial of tier train: statistics are of all trials")
    rate_hz = recording.responses.clock.rate_hz
    if HELD_ROWS * rate_hz < RESPONSE_RATE_HZ:
        notes.append(
            f"responses have {rate_hz:.4g} rows per second: each is held for "
            f"{RESPONSE_RATE_HZ / rate_hz:.2g} samples of a window, so that the first samples of a "
            "forecast may be the last that was seen"
        )
    notes += describe_stuck(recording.neurons, statistics.std, preliminary.statistics_tier)
    notes += describe_copies(recording, statistics.first_alike)
    rounding = statistics.rounding
    if rounding.rms_relative > NOTED_ROUNDING:
        notes.append(
            f"{dtype} changes responses by {rounding.rms_relative:.2g} standard deviations "
            f"of their neuron (at most {rounding.max_relative:.2g}); --dtype float32 does not"
        )
    factor = _std_factor(recording.responses.file_std, statistics.std)
    if factor is not None and factor > NOTED_STD_FACTOR:
        notes.append(
            f"the file's own standard deviations differ from the computed ones by a factor of "
            f"{factor:.3g} (median over neurons); the computed ones are used"
        )
    return replace(
        preliminary,
        response_kind=kind,
        responses=replace(
            preliminary.responses, rounding=rounding, missing_rows=statistics.missing_rows
        ),
        conditions=columns.conditions,
        stimulus_seen_in_train=stimulus_seen_in_train(recording, columns),
        notes=tuple(notes),
    )


def text_names(texts: NDArray[np.str_] | None) -> tuple[str, ...]:
    """Return the different texts of neurons, in order; an empty text is none.

    Example:
        >>> text_names(np.array(["V1", "", "LM", "V1"]))
        ('LM', 'V1')
    """
    return () if texts is None else tuple(name for name in np.unique(texts).tolist() if name)


def _std_factor(own: NDArray[np.float64] | None, computed: NDArray[np.float64]) -> float | None:
    """Return the median factor between the file's standard deviations and the computed ones."""
    if own is None:
        return None
    both = (own > 0) & (computed > 0)
    if not both.any():
        return None
    return float(np.median(np.exp(np.abs(np.log(own[both] / computed[both])))))
