"""What stands beside the responses in a folder or an `.npz`: session, stimulus, behavior."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.arrays.behavior import open_behavior
from omnimouse_cli.recording.arrays.source import Source
from omnimouse_cli.recording.arrays.stimulus import Stimulus, open_stimulus
from omnimouse_cli.recording.meta import Meta
from omnimouse_cli.recording.options import OpenOptions
from omnimouse_cli.recording.recording import (
    Clock,
    Monitor,
    Neurons,
    Provenance,
    Recording,
    ResponseKind,
    Signal,
)
from omnimouse_cli.recording.session_key import choose_session_key
from omnimouse_cli.recording.times import RegularTimes, regular_times, require_scan_rate
from omnimouse_cli.text import pluralize

# Times above this are seconds of the Unix epoch (after 1973), not of a session.
_EPOCH_SECONDS = 1e8
# Times must be stored to this resolution.
_RESOLUTION_SECONDS = 1e-3
# The stated rate may differ from that of the times by this share without a note.
_RATE_TOLERANCE = 0.005
# Times that span more than this many times the responses may be in another unit.
_MAX_SPAN_RATIO = 10
_FIELDS = frozenset(
    (
        *("session", "animal", "start", "rate_hz", "native_rate_hz", "responses", "response_kind"),
        *("id_namespace", "licence", "license", "citation", "doi", "institution", "monitor"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResponseTimes:
    """The clock of the responses.

    Args:
        regular: The clock, from second 0 of the recording.
        zero_seconds: Time in the files that is second 0 of the recording: 0, or whole seconds of
            the Unix epoch.
        notes: One sentence for each thing that was assumed, repaired or left out.
    """

    regular: RegularTimes
    zero_seconds: float
    notes: tuple[str, ...]


def read_times(
    times: NDArray[Any] | None,
    rate_hz: float | None,
    *,
    num_rows: int,
    where: str,
    rate_source: str,
) -> ResponseTimes:
    """Return the clock of the responses from their times, or from a rate and second 0.

    Args:
        times: Time of each row in seconds; None if they are not known.
        rate_hz: Rows per second; None if it is not known.
        num_rows: Number of rows.
        where: File of the times, for messages.
        rate_source: Where the rate stands, for messages.

    Raises:
        RecordingError: There is neither, the rate is not positive, or times are no regular clock.
    """
    if rate_hz is not None and not (np.isfinite(rate_hz) and rate_hz > 0):
        raise RecordingError(
            f"{rate_source}: the rate must be positive: {rate_hz:g} Hz",
            hint="give the rows of the responses per second",
        )
    if times is None:
        if rate_hz is None:
            raise RecordingError(
                f"{where} is absent and no rate is stated: the times of responses are not known",
                hint="give the rows of the responses per second with --rate",
            )
        require_scan_rate(rate_hz, rate_source)
        clock = Clock(start_seconds=0.0, rate_hz=rate_hz, num_samples=num_rows)
        regular = RegularTimes(
            clock=clock, source_row=np.arange(num_rows), gaps=np.empty((0, 2)), notes=()
        )
        note = (
            f"responses: no times are stored; row 0 is taken at 0 s and {rate_hz:g} rows per "
            f"second ({rate_source})"
        )
        return ResponseTimes(regular=regular, zero_seconds=0.0, notes=(note,))
    seconds = _as_seconds(times, where)
    zero_seconds, notes = 0.0, []
    if seconds.size and seconds[0] > _EPOCH_SECONDS:
        zero_seconds = float(np.floor(seconds[0]))
        notes.append(
            f"{where}: times are taken as seconds of the Unix epoch, so all files must have such"
        )
    regular = regular_times(seconds - zero_seconds, where)
    rate = regular.clock.rate_hz
    require_scan_rate(rate, where)
    if rate_hz is not None and abs(rate_hz / rate - 1) > _RATE_TOLERANCE:
        notes.append(
            f"responses: {rate_source} says {rate_hz:g} Hz, the times {rate:.4f} Hz; the times are "
            "used"
        )
    return ResponseTimes(regular=regular, zero_seconds=zero_seconds, notes=(*notes, *regular.notes))


def describe_overruled(
    given_hz: float | None, stated_hz: float | None, stated_source: str
) -> list[str]:
    """Return a note if `--rate` is used though a file states another rate.

    Args:
        given_hz: Rate that the user gives with `--rate`, in Hz; None without it.
        stated_hz: Rate that the file states, in Hz; None if it states none.
        stated_source: Where it stands, for the note.
    """
    if given_hz is None or stated_hz is None:
        return []
    if abs(given_hz - stated_hz) <= _RATE_TOLERANCE * given_hz:
        return []
    return [
        f"responses: {stated_source} says {stated_hz:g} Hz, --rate {given_hz:g} Hz; --rate is used"
    ]


def _as_seconds(times: NDArray[Any], where: str) -> NDArray[np.float64]:
    seconds = times.astype(np.float64).reshape(-1)
    if times.dtype.kind == "f" and times.size:
        resolution = float(np.spacing(np.abs(times[np.isfinite(times)]).max(initial=0)))
        if resolution > _RESOLUTION_SECONDS:
            raise RecordingError(
                f"{where}: times must be float64, but they are {times.dtype}, which resolves only "
                f"{resolution:g} s there",
                hint="write the times again in float64",
            )
    return seconds


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResponseRows:
    """The responses that a format read, from which `assemble` makes a recording.

    Args:
        times: Their clock.
        neurons: Their columns.
        read_rows: As of `Signal`.
        rows_per_block: As of `Signal`.
        kind: What they are; None infers it.
        series: Their path inside the recording.
        excluded: Number of excluded ROIs by reason.
    """

    times: ResponseTimes
    neurons: Neurons
    read_rows: Any
    rows_per_block: int | None
    kind: ResponseKind | None
    series: str
    excluded: Mapping[str, int]


def assemble(
    source: Source,
    fields: Meta,
    options: OpenOptions,
    responses: ResponseRows,
    *,
    default_session: str,
    notes: list[str],
) -> Recording:
    """Return the recording of responses and of all that stands beside them.

    Args:
        source: Folder or `.npz` of the recording.
        fields: Of session.json.
        options: What the user says about it.
        responses: The responses.
        default_session: Session key where session.json has none.
        notes: What was noted so far.

    Raises:
        RecordingError: A file is damaged or contradicts another one.
    """
    session, animal, key_notes = _read_keys(fields, default_session, options.key)
    zero = responses.times.zero_seconds
    origin_seconds, origin_notes = (zero, []) if zero else _read_start(fields)
    stimulus = open_stimulus(source, options, zero_seconds=zero, monitor=_read_monitor(fields))
    behavior, behavior_notes = open_behavior(source, options, zero_seconds=zero)
    regular = responses.times.regular
    signal = Signal(
        name="responses",
        clock=regular.clock,
        channels=(),
        num_channels=responses.neurons.num_neurons,
        read_rows=responses.read_rows,
        rows_per_block=responses.rows_per_block,
    )
    source.note_rest()
    time_notes = _check_common_time(source, stimulus, signal, behavior)
    all_notes = [
        *notes,
        *responses.times.notes,
        *key_notes,
        *origin_notes,
        *stimulus.notes,
        *behavior_notes,
        *time_notes,
        *source.describe_unread(),
    ]
    if stimulus.screen is None:
        all_notes.append("screen: there are no frames, so the stimulus is not known")
    return Recording(
        path=source.path,
        session=session,
        animal=animal,
        origin_seconds=origin_seconds,
        responses=signal,
        neurons=responses.neurons,
        trials=stimulus.trials,
        screen=stimulus.screen,
        behavior=behavior,
        native_rate_hz=fields.optional_number("native_rate_hz") or regular.clock.rate_hz,
        notes=tuple(_without_folder(note, source) for note in all_notes),
        response_kind=responses.kind,
        gaps=regular.gaps,
        provenance=Provenance(
            series=responses.series,
            excluded=responses.excluded,
            licence=fields.optional_text("licence") or fields.optional_text("license"),
            citation=fields.optional_text("citation"),
            doi=fields.optional_text("doi"),
            institution=fields.optional_text("institution"),
        ),
        contents=tuple(source.contents),
    )


def _without_folder(note: str, source: Source) -> str:
    """Return a note with paths inside the recording: notes are stored in shards."""
    return note.replace(f"{source.path}/", "").replace(f"{source.path}: ", "")


def _read_keys(
    fields: Meta, default_session: str, stated: str | None
) -> tuple[str, str, list[str]]:
    """Return the keys of session and animal, and notes for the user."""
    own = fields.optional_text("session") or default_session
    session = choose_session_key(own, stated, source=fields.source, hint="correct `session`")
    notes = []
    unknown = [name for name in fields.values if name not in _FIELDS]
    if unknown:
        notes.append(f"session: fields not used: {', '.join(unknown)}")
    animal = fields.optional_text("animal")
    if animal is None:
        animal = session.split("-", 1)[0]
        notes.append(f"session: no `animal` is stated; {animal} is taken, from the session key")
    return session, animal, notes


def _read_start(fields: Meta) -> tuple[float, list[str]]:
    """Return the Unix epoch of second 0 of the files, and notes for the user."""
    start = fields.values.get("start")
    if start is None:
        return 0.0, ["session: no `start` is stated; the absolute time of the recording is unknown"]
    if not isinstance(start, str):
        return fields.number("start"), []
    try:
        moment = datetime.fromisoformat(start)
    except ValueError as error:
        raise RecordingError(
            f"{fields.source}: `start` must be a date and time as 2024-03-05T10:00:00+00:00: "
            f"{start!r}",
            hint="correct `start`, or leave it out",
        ) from error
    if moment.tzinfo is not None:
        return moment.timestamp(), []
    note = f"session: `start` has no time zone ({start}); UTC is taken"
    return moment.replace(tzinfo=UTC).timestamp(), [note]


def _read_monitor(fields: Meta) -> Monitor | None:
    values = fields.values.get("monitor")
    if not isinstance(values, dict):
        return None
    monitor = Meta(source=f"{fields.source}, monitor", values=values)
    return Monitor(
        policy="the monitor",
        width_cm=monitor.optional_number("width_cm"),
        height_cm=monitor.optional_number("height_cm"),
        distance_cm=monitor.optional_number("distance_cm"),
        warp=monitor.optional_text("warp"),
    )


def _check_common_time(
    source: Source, stimulus: Stimulus, responses: Signal, behavior: tuple[Signal, ...]
) -> list[str]:
    """Return notes on times in another unit and on trials without responses.

    Raises:
        RecordingError: A signal shares no time with the responses, or a trial with no signal.
    """
    hint = "all files must count seconds from one origin; check the units of the times"
    start, end = responses.clock.start_seconds, responses.clock.end_seconds
    spans = {
        signal.name: (signal.clock.start_seconds, signal.clock.end_seconds) for signal in behavior
    }
    if stimulus.screen is not None and len(stimulus.screen.flip_seconds):
        flips = stimulus.screen.flip_seconds
        spans["screen"] = (float(flips[0]), float(flips[-1]))
    for name, (first, last) in spans.items():
        if last <= start or first >= end:
            raise RecordingError(
                f"{source.path}: responses (from {start:.3f} to {end:.3f} s) and {name} (from "
                f"{first:.3f} to {last:.3f} s) share no time",
                hint=hint,
            )
    notes = [
        f"{name}: its times span {last - first:.1f} s, those of the responses {end - start:.1f} s; "
        "check that both are in seconds (milliseconds belong under `time_ms`)"
        for name, (first, last) in spans.items()
        if last - first > _MAX_SPAN_RATIO * (end - start)
    ]
    first = min((start, *(span[0] for span in spans.values())))
    last = max((end, *(span[1] for span in spans.values())))
    outside = [
        trial
        for trial in stimulus.trials
        if trial.end_seconds <= first or trial.start_seconds >= last
    ]
    if outside:
        raise RecordingError(
            f"{source.path}: {pluralize(len(outside), 'trial lies', 'trials lie')} outside the "
            f"recording (from "
            f"{first:.3f} to {last:.3f} s), the first from "
            f"{outside[0].start_seconds:.3f} to {outside[0].end_seconds:.3f} s",
            hint=f"correct or remove them in the table of trials; {hint}",
        )
    # The blanks between trials are not of the table.
    num_without = sum(
        trial.kind != "blank" and (trial.start_seconds < start or trial.end_seconds > end)
        for trial in stimulus.trials
    )
    if num_without:
        notes.append(
            f"trials: {num_without} begin before the responses (at {start:.3f} s) or end after "
            f"them (at {end:.3f} s); time without responses is not used"
        )
    return notes
