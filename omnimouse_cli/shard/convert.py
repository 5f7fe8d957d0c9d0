"""One recording becomes one shard, read and written block by block."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES, RESPONSE_RATE_HZ
from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.recording import Recording, ResponseKind
from omnimouse_cli.shard.behavior import Device, prepare_device
from omnimouse_cli.shard.description import (
    ResponsesDescription,
    Rounding,
    ScreenDescription,
    ShardDescription,
    SourceDescription,
    to_json,
)
from omnimouse_cli.shard.format import header_room
from omnimouse_cli.shard.kind import concluded_kind
from omnimouse_cli.shard.numbers import TENSOR_DTYPES, StoredDtype
from omnimouse_cli.shard.read import TrialTable
from omnimouse_cli.shard.responses import ResponseFacts, ResponsePass
from omnimouse_cli.shard.screen import FRAME_HEIGHT, FRAME_WIDTH, FramePass, conditions_of
from omnimouse_cli.shard.trials import (
    ALL_TIERS,
    TrialColumns,
    allowed_times,
    statistics_times,
    trial_columns,
)
from omnimouse_cli.shard.valid import (
    Intervals,
    grid_times_within,
    intersect_all,
    screen_span,
    signal_span,
    total_seconds,
)
from omnimouse_cli.shard.write import ShardWriter, shard_written

# Beyond this a typical rounding error is worth a word: a hundredth of a standard deviation.
NOTED_ROUNDING = 0.01
# The file's own standard deviations are noted when half of the neurons differ by this factor.
NOTED_STD_FACTOR = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """How responses are stored.

    Args:
        dtype: Number type of the responses.
        response_kind: What the responses are; None concludes it from their values.
        allow_gaps: Whether lost responses outside INVALID trials are gaps; else they are an error.
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
        recording: What to read.
        path: The shard; it appears whole or not at all.
        storage: How responses are stored.
        fingerprint: Kept in the shard, to see later whether it is up to date.
        advance: Hears of progress, 1.0 in all.

    Raises:
        RecordingError: The recording cannot be used.
        OmniMouseError: The disk is full.
    """
    columns = trial_columns(recording, conditions_of(recording, {}))
    devices, notes = _prepared_devices(recording)
    _require_window(recording, _spans(recording, devices))
    draft = _draft(recording, columns, devices, notes, fingerprint)
    room = header_room(to_json(draft), num_tensors=32 + 2 * len(devices))
    with shard_written(path, header_bytes=room) as writer:
        responses = ResponsePass(recording, dtype=storage.dtype, allow_gaps=storage.allow_gaps)
        num_rows, num_trials = recording.responses.clock.num_samples, len(recording.trials)
        writer.let_write(
            "responses",
            TENSOR_DTYPES[storage.dtype],
            (recording.responses.num_channels,),
            partial(responses.write, advance=lambda rows: advance(0.9 * rows / num_rows)),
        )
        facts = responses.facts()
        _require_window(recording, {**_spans(recording, devices), "responses": facts.valid})
        digests = _write_screen(writer, recording, lambda n: advance(0.1 * n / num_trials))
        columns = trial_columns(recording, conditions_of(recording, digests))
        _write_valid(writer, recording, devices, facts)
        _write_trials(writer, columns.table)
        _write_neurons(writer, recording, facts)
        for device in devices:
            name, width = device.description.name, len(device.columns)
            writer.write_rows(f"behavior.{name}", "F32", (width,), device.stored_blocks())
        named = replace(draft, conditions=columns.conditions)
        final = _completed(named, recording, facts, storage)
        writer.finish(to_json(replace(final, checksums=writer.checksums)))


def _prepared_devices(recording: Recording) -> tuple[list[Device], list[str]]:
    _, times = statistics_times(recording)
    devices, notes = [], list(recording.notes)
    for signal in recording.behavior:
        device, left_out = prepare_device(signal, times)
        notes += left_out
        if device is not None:
            devices.append(device)
    return devices, notes


def _spans(recording: Recording, devices: list[Device]) -> dict[str, Intervals]:
    spans = {"responses": signal_span(recording.responses.clock)}
    if recording.screen is not None:
        spans["screen"] = screen_span(recording.screen.flip_seconds)
    return spans | {device.description.name: device.valid for device in devices}


def _require_window(recording: Recording, valid: dict[str, Intervals]) -> None:
    """Refuse a recording in which no window of two seconds fits."""
    allowed = allowed_times(recording)
    start_seconds = recording.responses.clock.start_seconds
    usable = intersect_all([allowed, *valid.values()])
    if grid_times_within(usable, start_seconds, RESPONSE_RATE_HZ) >= NUM_RESPONSE_SAMPLES:
        return
    parts = {"trials with a tier": allowed, **valid}
    lengths = ", ".join(f"{name} {total_seconds(part):.1f} s" for name, part in parts.items())
    raise RecordingError(
        f"{recording.path} is shorter than a window: no two seconds of its trials have every "
        f"signal (usable: {lengths})",
        hint="a window needs two seconds without a gap; half a second at both ends of each signal "
        "is not used",
    )


def _draft(
    recording: Recording,
    columns: TrialColumns,
    devices: list[Device],
    notes: list[str],
    fingerprint: str,
) -> ShardDescription:
    screen = recording.screen
    return ShardDescription(
        session=recording.session,
        animal=recording.animal,
        origin_seconds=recording.origin_seconds,
        response_kind="unknown",
        native_rate_hz=recording.native_rate_hz,
        statistics_tier=statistics_times(recording)[0],
        responses=ResponsesDescription(
            clock=recording.responses.clock,
            num_neurons=recording.responses.num_channels,
            rounding=Rounding(rms_relative=0.0, max_relative=0.0),
        ),
        screen=None
        if screen is None
        else ScreenDescription(
            frame_height=FRAME_HEIGHT,
            frame_width=FRAME_WIDTH,
            source_height=screen.frame_height,
            source_width=screen.frame_width,
        ),
        behavior=tuple(device.description for device in devices),
        tiers=columns.tiers,
        kinds=columns.kinds,
        conditions=columns.conditions,
        checksums={},
        source=SourceDescription(path=str(recording.path.resolve()), fingerprint=fingerprint),
        notes=tuple(notes),
    )


def _completed(
    draft: ShardDescription, recording: Recording, facts: ResponseFacts, storage: Storage
) -> ShardDescription:
    notes = list(draft.notes)
    if draft.statistics_tier == ALL_TIERS:
        notes.append("no trial of tier train: statistics are of all trials")
    rounding = facts.rounding
    if rounding.rms_relative > NOTED_ROUNDING:
        notes.append(
            f"{storage.dtype} changes responses by {rounding.rms_relative:.2g} standard deviations "
            f"of their neuron (at most {rounding.max_relative:.2g}); --dtype float32 does not"
        )
    factor = _std_factor(recording.responses.file_std, facts.std)
    if factor is not None and factor > NOTED_STD_FACTOR:
        notes.append(
            f"the file's own standard deviations differ from the computed ones by a factor of "
            f"{factor:.3g} (median over neurons); the computed ones are used"
        )
    return replace(
        draft,
        response_kind=concluded_kind(said=storage.response_kind, negative=facts.negative),
        responses=replace(draft.responses, rounding=facts.rounding),
        notes=tuple(notes),
    )


def _std_factor(own: NDArray[np.float64] | None, computed: NDArray[np.float64]) -> float | None:
    """By which factor the file's standard deviations are off, for the median neuron."""
    if own is None:
        return None
    both = (own > 0) & (computed > 0)
    if not both.any():
        return None
    return float(np.median(np.exp(np.abs(np.log(own[both] / computed[both])))))


def _write_screen(
    writer: ShardWriter, recording: Recording, advance: Callable[[int], None]
) -> Mapping[int, bytes]:
    screen = recording.screen
    if screen is None:
        return {}
    frames = FramePass(recording, screen)
    shape = (FRAME_HEIGHT, FRAME_WIDTH)
    writer.let_write("screen.frames", "U8", shape, partial(frames.write, advance=advance))
    writer.write_array("screen.flip_seconds", "F64", screen.flip_seconds)
    writer.write_array("screen.frame_index", "I64", frames.frame_index())
    return frames.digests


def _write_valid(
    writer: ShardWriter, recording: Recording, devices: list[Device], facts: ResponseFacts
) -> None:
    valid = {**_spans(recording, devices), "responses": facts.valid}
    for name, intervals in valid.items():
        writer.write_array(f"valid.{name}", "F64", intervals)


def _write_trials(writer: ShardWriter, table: TrialTable) -> None:
    writer.write_array("trials.start_seconds", "F64", table.start_seconds)
    writer.write_array("trials.end_seconds", "F64", table.end_seconds)
    writer.write_array("trials.tier", "I32", table.tier)
    writer.write_array("trials.kind", "I32", table.kind)
    writer.write_array("trials.condition", "I32", table.condition)


def _write_neurons(writer: ShardWriter, recording: Recording, facts: ResponseFacts) -> None:
    neurons, signal = recording.neurons, recording.responses
    if neurons.unit_id is not None:
        writer.write_array("neurons.unit_id", "I64", neurons.unit_id)
    writer.write_array("neurons.mean", "F32", facts.mean)
    writer.write_array("neurons.std", "F32", facts.std)
    if signal.file_mean is not None:
        writer.write_array("neurons.file_mean", "F32", signal.file_mean)
    if signal.file_std is not None:
        writer.write_array("neurons.file_std", "F32", signal.file_std)
    if neurons.position_um is not None:
        writer.write_array("neurons.position_um", "F32", neurons.position_um)
