"""Conversion of one recording to one shard, block by block."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES, RESPONSE_RATE_HZ
from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.dff import Baseline, to_dff
from omnimouse_cli.recording.recording import Recording, ResponseKind
from omnimouse_cli.recording.resize import FRAME_HEIGHT, FRAME_WIDTH
from omnimouse_cli.shard.behavior import Device, prepare_device
from omnimouse_cli.shard.describe import complete_description, describe_recording, text_names
from omnimouse_cli.shard.description import to_json
from omnimouse_cli.shard.format import reserved_header_bytes
from omnimouse_cli.shard.intervals import (
    Intervals,
    grid_ranges,
    intersect,
    intersect_all,
    total_seconds,
)
from omnimouse_cli.shard.kind import NegativeValues, is_never_near_zero
from omnimouse_cli.shard.population import exclude_empty, sample_responses
from omnimouse_cli.shard.read import TrialTable
from omnimouse_cli.shard.responses import (
    TENSOR_DTYPES,
    ResponseStatistics,
    ResponseWriter,
    StoredDtype,
)
from omnimouse_cli.shard.screen import FrameWriter, name_conditions
from omnimouse_cli.shard.trials import (
    allowed_time,
    known_time,
    statistics_time,
    trial_columns,
)
from omnimouse_cli.shard.valid import end_margin_seconds, extent, screen_span, signal_span
from omnimouse_cli.shard.write import ShardWriter, open_shard_writer

# Share of the work of the pass that computes the baseline of dF/F.
BASELINE_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """How responses are stored.

    Args:
        dtype: Number type of the responses.
        response_kind: What the responses are, and are stored as; None follows the raw files, or
            else the values, and stores raw fluorescence as dF/F.
        allow_gaps: Whether NaN responses outside gaps that the recording declares and trials of
            kind `invalid` are treated as gaps; else they are an error.
    """

    dtype: StoredDtype = "float16"
    response_kind: ResponseKind | None = None
    allow_gaps: bool = False


def convert(
    recording: Recording,
    path: Path,
    *,
    storage: Storage,
    fingerprint: str,
    advance: Callable[[float], None],
) -> None:
    """Write the shard of a recording to `path`; memory does not grow with the recording.

    Args:
        recording: The recording.
        path: The shard; it appears whole or not at all.
        storage: How responses are stored.
        fingerprint: Stored in the shard, to find out later whether it is up to date.
        advance: Called with shares of the work, which add up to 1.0.

    Raises:
        RecordingError: The recording cannot be used.
        OmniMouseError: The disk is full.
    """
    columns = trial_columns(recording, name_conditions(recording, {}))
    devices, notes = _prepare_devices(recording)
    _require_window(recording, _valid_intervals(recording, devices))
    recording, negatives, baseline, about_responses = _prepare_responses(
        recording, storage, lambda share: advance(BASELINE_SHARE * share)
    )
    rest = 1.0 if baseline is None else 1.0 - BASELINE_SHARE
    # The header comes first in the file; its size is known before its final numbers are.
    preliminary = describe_recording(
        recording,
        columns,
        devices,
        baseline=baseline,
        notes=notes + about_responses,
        fingerprint=fingerprint,
    )
    header_bytes = reserved_header_bytes(to_json(preliminary), num_tensors=32 + 2 * len(devices))
    with open_shard_writer(path, header_bytes=header_bytes) as writer:
        responses = ResponseWriter(
            recording, dtype=storage.dtype, negatives=negatives, allow_gaps=storage.allow_gaps
        )
        num_rows, num_trials = recording.responses.clock.num_samples, len(recording.trials)
        writer.write_external(
            "responses",
            TENSOR_DTYPES[storage.dtype],
            (recording.responses.num_channels,),
            partial(responses.write, advance=lambda rows: advance(rest * 0.9 * rows / num_rows)),
        )
        statistics = responses.statistics
        valid = {**_valid_intervals(recording, devices), "responses": statistics.valid}
        _require_window(recording, valid)
        digests = _write_screen(writer, recording, lambda n: advance(rest * 0.1 * n / num_trials))
        columns = trial_columns(recording, name_conditions(recording, digests))
        for name, intervals in valid.items():
            writer.write_array(f"valid.{name}", "F64", intervals)
        _write_trials(writer, columns.table)
        _write_neurons(writer, recording, statistics)
        for device in devices:
            name, width = device.description.name, len(device.columns)
            writer.write_rows(f"behavior.{name}", "F32", (width,), device.stored_blocks())
        description = complete_description(
            replace(preliminary, notes=(*preliminary.notes, *negatives.notes())),
            recording,
            columns,
            statistics,
            kind=negatives.kind,
            dtype=storage.dtype,
        )
        writer.finish(to_json(replace(description, checksums=writer.checksums)))


def _prepare_responses(
    recording: Recording, storage: Storage, advance: Callable[[float], None]
) -> tuple[Recording, NegativeValues, Baseline | None, list[str]]:
    """Exclude neurons without values, and turn raw fluorescence into dF/F.

    Args:
        recording: The recording.
        storage: How responses are stored.
        advance: Called with shares of the work, which add up to 1.0 if there is a baseline.

    Returns:
        The recording as it is stored, what handles its negative values, the baseline of dF/F that
        was computed here, and a sentence for each change.
    """
    sample = sample_responses(recording.responses)
    recording, sample, notes = exclude_empty(recording, sample)
    kind, baseline = storage.response_kind or recording.response_kind, None
    if kind == "fluorescence" and storage.response_kind is None:
        baseline, kind = Baseline(), "dff"
        num_rows = recording.responses.clock.num_samples
        dff = to_dff(recording, baseline, advance=lambda rows: advance(rows / num_rows))
        recording = replace(recording, responses=dff)
        notes.append(
            "raw fluorescence F is stored as dF/F = (F - F0) / F0, where F0 is a running "
            f"percentile {baseline.percentile:g} over {baseline.window_seconds:g} s; "
            "--response-kind fluorescence stores F"
        )
    elif kind is None and is_never_near_zero(sample):
        kind = "fluorescence"
        notes.append(
            "responses are taken as raw fluorescence and stored as they are, because they are "
            "never near 0; --response-kind rate or dff says otherwise"
        )
    return recording, NegativeValues(recording, kind, sample), baseline, notes


def _prepare_devices(recording: Recording) -> tuple[list[Device], list[str]]:
    _, time = statistics_time(recording)
    devices, notes = [], list(recording.notes)
    for signal in recording.behavior:
        device, dropped = prepare_device(
            signal, time, within_trials=recording.windows_within_trials
        )
        notes += dropped
        if device is not None:
            devices.append(device)
    return devices, notes


def _valid_intervals(recording: Recording, devices: list[Device]) -> dict[str, Intervals]:
    margin = end_margin_seconds(within_trials=recording.windows_within_trials)
    valid = {"responses": signal_span(recording.responses.clock, margin_seconds=margin)}
    if recording.screen is not None:
        valid["screen"] = known_time(recording)
        if not recording.windows_within_trials:
            span = screen_span(recording.screen.flip_seconds)
            valid["screen"] = intersect(span, valid["screen"])
    return valid | {device.description.name: device.valid for device in devices}


def _require_window(recording: Recording, valid: dict[str, Intervals]) -> None:
    """Raise RecordingError if no window of two seconds is valid.

    Behavior may be lost between its first and its last valid sample (`usable_time`).
    """
    allowed = allowed_time(recording)
    restricting = {"responses", "screen"}
    if not recording.windows_within_trials:
        restricting |= {signal.name for signal in recording.behavior}
    valid = {
        name: part if name in ("responses", "screen") else extent(part)
        for name, part in valid.items()
        if name in restricting
    }
    start_seconds = recording.responses.clock.start_seconds
    common = intersect_all([allowed, *valid.values()])
    ranges = grid_ranges(common, start_seconds, RESPONSE_RATE_HZ)
    if (ranges[:, 1] - ranges[:, 0] >= NUM_RESPONSE_SAMPLES).any():
        return
    parts = {"trials with a tier": allowed, **valid}
    lengths = ", ".join(f"{name} {total_seconds(part):.1f} s" for name, part in parts.items())
    raise RecordingError(
        f"{recording.path} has no valid window: in no two seconds of its trials are "
        f"responses, screen and behavior there (valid: {lengths})",
        hint="a window needs two seconds without a gap and, with a screen, without an unknown "
        "stimulus; half a second at both ends of each signal is not used",
    )


def _write_screen(
    writer: ShardWriter, recording: Recording, advance: Callable[[int], None]
) -> Mapping[int, bytes]:
    screen = recording.screen
    if screen is None:
        return {}
    frames = FrameWriter(recording, screen)
    shape = (FRAME_HEIGHT, FRAME_WIDTH)
    writer.write_external("screen.frames", "U8", shape, partial(frames.write, advance=advance))
    writer.write_array("screen.flip_seconds", "F64", screen.flip_seconds)
    writer.write_array("screen.frame_index", "I64", frames.frame_index())
    return frames.digests


def _write_trials(writer: ShardWriter, table: TrialTable) -> None:
    writer.write_array("trials.start_seconds", "F64", table.start_seconds)
    writer.write_array("trials.end_seconds", "F64", table.end_seconds)
    writer.write_array("trials.tier", "I32", table.tier)
    writer.write_array("trials.kind", "I32", table.kind)
    writer.write_array("trials.condition", "I32", table.condition)


def _write_neurons(
    writer: ShardWriter, recording: Recording, statistics: ResponseStatistics
) -> None:
    neurons, signal = recording.neurons, recording.responses
    if neurons.unit_id is not None:
        writer.write_array("neurons.unit_id", "I64", neurons.unit_id)
    writer.write_array("neurons.mean", "F32", statistics.mean)
    writer.write_array("neurons.std", "F32", statistics.std)
    if signal.file_mean is not None:
        writer.write_array("neurons.file_mean", "F32", signal.file_mean)
    if signal.file_std is not None:
        writer.write_array("neurons.file_std", "F32", signal.file_std)
    if neurons.position_um is not None:
        writer.write_array("neurons.position_um", "F32", neurons.position_um)
    if neurons.delay_seconds is not None:
        writer.write_array("neurons.delay_seconds", "F32", neurons.delay_seconds)
    for name, texts in (("area", neurons.area), ("layer", neurons.layer)):
        if texts is not None:
            names = np.array(text_names(texts))
            number = np.where(texts == "", -1, np.searchsorted(names, texts))
            writer.write_array(f"neurons.{name}", "I32", number.astype(np.int32))
