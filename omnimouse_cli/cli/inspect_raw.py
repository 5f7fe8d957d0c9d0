"""`omnimouse inspect` on raw files: what they hold, and what `preprocess` would take."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnimouse_cli.api.recordings import failure_records, find_and_open, raise_failures
from omnimouse_cli.cli.console import print_document, print_line, print_table
from omnimouse_cli.cli.tables import ResultTable, pair_table, text_columns
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.text import format_minutes, pluralize, suggest_name

if TYPE_CHECKING:
    from omnimouse_cli.recording.options import OpenOptions
    from omnimouse_cli.recording.recording import Recording, Signal


def is_raw(path: Path) -> bool:
    """Return whether a path holds raw files; a folder with a catalogue or a shard does not."""
    from omnimouse_cli.shard.catalogue import CATALOGUE_NAME, SHARD_SUFFIX

    if not path.is_dir():
        return path.exists() and path.suffix != SHARD_SUFFIX
    has_shards = (path / CATALOGUE_NAME).is_file() or any(path.glob(f"*{SHARD_SUFFIX}"))
    return not has_shards


def inspect_raw(
    path: Path,
    options: "OpenOptions",
    *,
    session: str | None,
    json_output: bool,
    progress: Reporter,
) -> None:
    """Show the recordings at and below a path; nothing is converted or written.

    Args:
        path: A recording, or a folder of recordings.
        options: What the user says about them.
        session: Shows only the recording with this session key.
        json_output: Whether one JSON document is printed instead of tables.
        progress: Receives messages.

    Raises:
        OmniMouseError: There is no recording, or some cannot be opened (the others are shown).
    """
    found = find_and_open([path], options, None, progress)
    opened = found.opened if session is None else _select(found.opened, session, path)
    records = [_record(recording) for recording in opened]
    if json_output:
        content = {
            "recordings": records,
            "failed": failure_records(found.failed),
            "skipped": [asdict(entry) for entry in found.skipped],
        }
        print_document("inspect", content)
    else:
        for record in records:
            _print_record(record)
    raise_failures(found.failed, len(found.opened) + len(found.failed))


def _select(opened: Sequence["Recording"], session: str, path: Path) -> tuple["Recording", ...]:
    selected = tuple(recording for recording in opened if recording.session == session)
    if not selected:
        known = [recording.session for recording in opened]
        raise OmniMouseError(
            f"{path} has no session {session}", hint=suggest_name(session, known, cutoff=0.0)
        )
    return selected


def _record(recording: "Recording") -> dict[str, Any]:
    """Return what is known of a recording before its rows are read."""
    clock, terms = recording.responses.clock, recording.provenance
    return {
        "path": recording.path,
        "format": recording.format,
        "session": recording.session,
        "animal": recording.animal,
        "neurons": recording.neurons.num_neurons,
        "samples": clock.num_samples,
        "sample_rate_hz": clock.rate_hz,
        "native_rate_hz": recording.native_rate_hz,
        "minutes": clock.num_samples / clock.rate_hz / 60,
        "missing_minutes": float((recording.gaps[:, 1] - recording.gaps[:, 0]).sum()) / 60,
        "response_kind": recording.response_kind,
        "series": terms.series or None,
        "excluded": dict(terms.excluded),
        "behavior": [_signal_record(signal) for signal in recording.behavior],
        "screen": _screen_record(recording),
        # Trials that were cut for the tiers count once, and so do their stimuli.
        "trials": dict(Counter(trial.kind for trial in recording.trials if not trial.cut_seconds)),
        "stimuli": len({t.stimulus or t.condition for t in recording.trials if t.condition}),
        "split": recording.split,
        "tiers": _tier_records(recording),
        "licence": terms.licence,
        "citation": terms.citation,
        "doi": terms.doi,
        "institution": terms.institution,
        "contents": [asdict(content) for content in recording.contents],
        "notes": list(recording.notes),
    }


def _signal_record(signal: "Signal") -> dict[str, Any]:
    return {
        "name": signal.name,
        "rate_hz": signal.clock.rate_hz,
        "channels": list(signal.channels),
        "units": list(signal.units),
        "source_units": list(signal.source_units),
    }


def _screen_record(recording: "Recording") -> dict[str, Any] | None:
    screen = recording.screen
    if screen is None:
        return None
    monitor = screen.monitor
    return {
        "frame_height": screen.frame_height,
        "frame_width": screen.frame_width,
        "flips": len(screen.flip_seconds),
        "width_cm": None if monitor is None else monitor.width_cm,
        "height_cm": None if monitor is None else monitor.height_cm,
        "distance_cm": None if monitor is None else monitor.distance_cm,
        "rendering": None if monitor is None else monitor.policy,
    }


def _tier_records(recording: "Recording") -> dict[str, dict[str, float]]:
    """Return trials and minutes of each tier while responses were recorded."""
    from omnimouse_cli.recording.split.trials import tier_minutes

    # A trial of several parts in one tier counts once.
    whole = {(one.tier, round(one.start_seconds - one.cut_seconds, 6)) for one in recording.trials}
    trials = Counter(tier for tier, _ in whole)
    minutes = tier_minutes(recording)
    return {tier: {"trials": trials[tier], "minutes": minutes[tier]} for tier in minutes}


def _print_record(record: dict[str, Any]) -> None:
    print_line(f"{record['path']}: {record['format']}")
    print_table(pair_table("", ((fact, value) for fact, value in _facts(record).items() if value)))
    if record["contents"]:
        table = ResultTable("contents", *text_columns("path", "what", "use"))
        for content in record["contents"]:
            table.add_row(content["path"], content["what"], content["use"])
        print_table(table)
    for note in record["notes"]:
        print_line(f"note: {note}")


def _facts(record: dict[str, Any]) -> dict[str, str]:
    native = record["native_rate_hz"]
    rate = f"{record['sample_rate_hz']:.6g} Hz" + (f" (native {native:.6g} Hz)" if native else "")
    minutes = format_minutes(record["minutes"]) + " minutes"
    if record["missing_minutes"]:
        minutes += f", of which {format_minutes(record['missing_minutes'])} are missing"
    kind = record["response_kind"] or "decided by the values"
    tiers = ", ".join(
        f"{name} {format_minutes(tier['minutes'])} min ({pluralize(tier['trials'], 'trial')})"
        for name, tier in record["tiers"].items()
    )
    policy = "the file" if record["split"] == "file" else record["split"]
    return {
        "session": record["session"],
        "animal": record["animal"],
        "responses": kind + (f", {record['series']}" if record["series"] else ""),
        "neurons": f"{record['neurons']:,}",
        "excluded": ", ".join(f"{reason} {n:,}" for reason, n in record["excluded"].items()),
        "rate": rate,
        "length": minutes,
        "screen": _screen_text(record["screen"]),
        "behavior": "; ".join(_signal_text(signal) for signal in record["behavior"]) or "none",
        "trials": ", ".join(f"{kind} {count:,}" for kind, count in record["trials"].items()),
        "stimuli": f"{record['stimuli']:,}" if record["stimuli"] else "",
        "tiers": tiers or "none",
        "tiers made by": policy if tiers else "",
        "licence": record["licence"] or "not stated",
        "citation": record["citation"] or "",
        "doi": record["doi"] or "",
        "institution": record["institution"] or "",
    }


def _screen_text(screen: dict[str, Any] | None) -> str:
    if screen is None:
        return "none"
    text = f"{screen['frame_height']} x {screen['frame_width']} pixels, {screen['flips']:,} flips"
    if screen["width_cm"] is not None:
        text += f", monitor of {screen['width_cm']:g} x {screen['height_cm']:g} cm"
    return text + (f", {screen['rendering']}" if screen["rendering"] else "")


def _signal_text(signal: dict[str, Any]) -> str:
    units = signal["units"] or [""] * len(signal["channels"])
    channels = (
        f"{name} ({unit})" if unit else name
        for name, unit in zip(signal["channels"], units, strict=True)
    )
    return f"{signal['name']} at {signal['rate_hz']:.4g} Hz: {', '.join(channels)}"
