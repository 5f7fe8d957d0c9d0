"""`omnimouse inspect` on shards: what they hold, one session in detail, and their checksums."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnimouse_cli.api.folders import default_shards
from omnimouse_cli.api.libraries import require_libraries
from omnimouse_cli.cli.console import print_document, print_line, print_table
from omnimouse_cli.cli.inspect_session import describe_facts, session_facts
from omnimouse_cli.cli.tables import ResultTable, name_columns, number_columns, text_columns
from omnimouse_cli.errors import ShardError
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.text import (
    format_bytes,
    format_count,
    format_minutes,
    format_percent,
    pluralize,
    suggest_name,
)

if TYPE_CHECKING:
    from omnimouse_cli.shard import Catalogue, CatalogueEntry, Shard
    from omnimouse_cli.shard.summary import SessionSummary


def inspect_shards(
    shards: Path | None,
    *,
    session: str | None,
    plot: Path | None,
    at: float | None,
    verify: bool,
    json_output: bool,
    progress: Reporter,
) -> None:
    """Show a folder of shards.

    Args:
        shards: The folder; None for the default one.
        session: Shows only the session with this key, in detail.
        plot: Image file to write.
        at: Start of the time that it shows, in seconds; None takes the first valid stretch.
        verify: Whether every byte is compared with its checksum.
        json_output: Whether one JSON document is printed instead of tables.
        progress: Receives messages.

    Raises:
        OmniMouseError: The folder holds no shards or none of that session, or some are damaged.
    """
    from omnimouse_cli.shard import open_catalogue, open_shard
    from omnimouse_cli.shard.catalogue import warn_of_mixed_kinds
    from omnimouse_cli.shard.summary import summarize

    if plot is not None:
        require_libraries("inspect --plot", "matplotlib")
    folder = shards if shards is not None else default_shards()
    if shards is None:
        progress.say(f"taking {folder}/ (default)")
    catalogue = open_catalogue(folder)
    for sentence in catalogue.notes:
        progress.warn(sentence)
    entries = _select_entries(catalogue, session)
    warn_of_mixed_kinds(entries, progress)
    verified = _verify(catalogue, entries, progress) if verify else None
    records = [_session_record(entry, open_shard(catalogue.path_of(entry))) for entry in entries]
    content: dict[str, Any] = {"sessions": records, "totals": _totals(records)}
    if verified is not None:
        content["verified"] = verified
    summary, facts = None, []
    if session is not None:
        shard = open_shard(catalogue.path_of(entries[0]))
        summary = summarize(shard)
        content["detail"] = _session_detail(shard, summary)
        facts = describe_facts(shard)
    if plot is not None:
        _draw(catalogue.path_of(entries[0]), plot, at, progress, num_sessions=len(entries))
    if json_output:
        print_document("inspect", content)
    elif summary is not None:
        _print_session(records[0], content["detail"], summary, facts)
    else:
        print_table(_sessions_table(records, content["totals"], folder))
    if verified is not None and not json_output:
        print_line(f"every byte of {pluralize(verified['shards'], 'shard')} matches its checksum")


def _select_entries(catalogue: "Catalogue", session: str | None) -> Sequence["CatalogueEntry"]:
    if session is None:
        return catalogue.entries
    known = {entry.session: entry for entry in catalogue.entries}
    if session not in known:
        raise ShardError(
            f"{catalogue.folder} has no session {session}",
            hint=suggest_name(session, known, cutoff=0.0),
        )
    return [known[session]]


def _verify(
    catalogue: "Catalogue", entries: Sequence["CatalogueEntry"], progress: Reporter
) -> dict[str, int]:
    from omnimouse_cli.shard.verify import verify_shards

    damaged = verify_shards([catalogue.path_of(entry) for entry in entries], progress)
    if len(damaged) == 1:
        raise damaged[0]
    if damaged:
        lines = "".join(f"\n  {error.message}" for error in damaged)
        raise ShardError(
            f"{len(damaged)} of {len(entries)} shards are damaged:{lines}", hint=damaged[0].hint
        )
    return {"shards": len(entries), "bytes": sum(entry.bytes for entry in entries)}


def _session_record(entry: "CatalogueEntry", shard: "Shard") -> dict[str, Any]:
    from omnimouse_cli.batch.windows import count_lost_windows, window_table

    tiers = {}
    for tier, minutes in entry.tiers.items():
        table = window_table(shard, tiers=(tier,), include_blanks=True)
        strict = window_table(shard, tiers=(tier,), include_blanks=True, require_behavior=True)
        tiers[tier] = {
            "minutes": minutes,
            "windows": table.num_windows,
            "windows_require_behavior": strict.num_windows,
        }
    return {
        "session": entry.session,
        "animal": entry.animal,
        "neurons": entry.neurons,
        "samples": entry.samples,
        "sample_rate_hz": entry.sample_rate_hz,
        "native_rate_hz": entry.native_rate_hz,
        "tokens": entry.tokens,
        "native_tokens": entry.native_tokens,
        "hours": entry.hours,
        "response_kind": entry.response_kind,
        "dtype": entry.dtype,
        "modalities": list(entry.modalities),
        "tiers": tiers,
        "windows_lost": count_lost_windows(shard, tiers=tuple(tiers), include_blanks=True),
        "valid_fraction": entry.valid_fraction,
        "dropped_minutes": entry.dropped,
        "bytes": entry.bytes,
        **session_facts(shard),
    }


def _totals(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    native = [r["native_tokens"] for r in records if r["native_tokens"] is not None]
    return {
        "sessions": len(records),
        "animals": len({record["animal"] for record in records}),
        "neurons": sum(record["neurons"] for record in records),
        "tokens": sum(record["tokens"] for record in records),
        "native_tokens": sum(native) if native else None,
        "native_tokens_sessions": len(native),
        "hours": sum(record["hours"] for record in records),
        "bytes": sum(record["bytes"] for record in records),
    }


def _session_detail(shard: "Shard", summary: "SessionSummary") -> dict[str, Any]:
    description = shard.description
    return {
        **asdict(summary),
        "rounding": asdict(description.responses.rounding),
        "statistics_tier": description.statistics_tier,
        "origin_seconds": description.origin_seconds,
        "source": asdict(description.source),
        "notes": list(description.notes),
    }


def _draw(
    path: Path, plot: Path, at: float | None, progress: Reporter, *, num_sessions: int
) -> None:
    from omnimouse_cli.shard import open_shard
    from omnimouse_cli.shard.figure import draw_session

    shard = open_shard(path)
    draw_session(shard, plot, at=at)
    which = f", the first of {num_sessions} (--session KEY)" if num_sessions > 1 else ""
    progress.say(f"wrote {plot}: session {shard.description.session}{which}")


def _sessions_table(
    records: Sequence[dict[str, Any]], totals: dict[str, Any], folder: Path
) -> ResultTable:
    title = (
        f"{folder}: {pluralize(totals['sessions'], 'session')} of "
        f"{pluralize(totals['animals'], 'animal')}, "
        f"{format_bytes(totals['bytes'])}"
    )
    table = ResultTable(
        title,
        *name_columns("session"),
        *text_columns("animal"),
        *number_columns("neurons", "hours", "tokens", "native", "Hz"),
        *text_columns("responses", "modalities", "tiers: minutes (windows)"),
        *number_columns("valid"),
        omit=("native", "Hz", "valid", "modalities", "responses", "tokens", "animal"),
    )
    for record in records:
        table.add_row(
            record["session"],
            record["animal"],
            f"{record['neurons']:,}",
            f"{record['hours']:.2f}",
            format_count(record["tokens"]),
            format_count(record["native_tokens"]),
            f"{record['sample_rate_hz']:g}",
            f"{record['response_kind']}, {record['dtype']}",
            ", ".join(name for name in record["modalities"] if name != "responses"),
            _tiers(record),
            format_percent(record["valid_fraction"]),
        )
    if len(records) > 1:
        table.set_footer(*_footer(totals))
    return table


def _footer(totals: dict[str, Any]) -> tuple[str, ...]:
    return (
        "total",
        str(totals["animals"]),
        f"{totals['neurons']:,}",
        f"{totals['hours']:.2f}",
        format_count(totals["tokens"]),
        format_count(totals["native_tokens"]),
    )


def _tiers(record: dict[str, Any]) -> str:
    parts = record["tiers"].items()
    return ", ".join(f"{t} {format_minutes(v['minutes'])} ({_windows(v)})" for t, v in parts)


def _windows(tier: dict[str, Any]) -> str:
    """Return the number of windows, and how many lost no behavior sample if that is fewer."""
    count, strict = tier["windows"], tier["windows_require_behavior"]
    return f"{count:,}" if strict == count else f"{count:,}, {strict:,} with all behavior"


def _print_session(
    record: dict[str, Any], detail: dict[str, Any], summary: "SessionSummary", facts: Sequence[str]
) -> None:
    print_table(_sessions_table([record], _totals([record]), Path(detail["source"]["path"])))
    print_table(_tier_table(record, summary))
    print_table(_modality_table(summary))
    print_table(_response_table(detail, summary))
    dropped = ", ".join(
        f"{k} {format_minutes(v)} min" for k, v in record["dropped_minutes"].items()
    )
    print_line(f"dropped: {dropped or 'nothing'}")
    for fact in facts:
        print_line(fact)
    for note in detail["notes"]:
        print_line(f"note: {note}")


def _tier_table(record: dict[str, Any], summary: "SessionSummary") -> ResultTable:
    table = ResultTable(
        "tiers",
        *name_columns("tier"),
        *number_columns("trials"),
        *text_columns("kinds"),
        *number_columns("minutes", "usable"),
        *text_columns("windows"),
        *number_columns("stimuli", "repeated"),
        *text_columns("in train"),
        omit=("kinds", "usable"),
    )
    for tier in summary.tiers:
        table.add_row(
            tier.tier,
            str(tier.trials),
            ", ".join(f"{kind} {count}" for kind, count in tier.kinds.items()),
            f"{tier.minutes:.2f}",
            f"{tier.usable_minutes:.2f}",
            _windows(record["tiers"][tier.tier]),
            str(tier.stimuli),
            str(tier.repeated_stimuli),
            {True: "yes", False: "no", None: "-"}[tier.seen_in_train],
        )
    return table


def _modality_table(summary: "SessionSummary") -> ResultTable:
    table = ResultTable(
        "modalities",
        *name_columns("modality"),
        *number_columns("start (s)", "rate (Hz)", "samples"),
        *text_columns("size", "channels"),
        *number_columns("valid"),
        omit=("start (s)", "size"),
    )
    for part in summary.modalities:
        table.add_row(
            part.modality,
            "-" if part.start_seconds is None else f"{round(part.start_seconds, 3) + 0.0:.3f}",
            "-" if part.rate_hz is None else f"{part.rate_hz:.6g}",
            f"{part.samples:,}",
            part.size,
            ", ".join(part.channels)
            or (
                f"{summary.distinct_frames:,} distinct frames" if part.modality == "screen" else ""
            ),
            format_percent(part.valid_fraction),
        )
    return table


def _response_table(detail: dict[str, Any], summary: "SessionSummary") -> ResultTable:
    responses, rounding = summary.responses, detail["rounding"]
    constant = pluralize(responses.constant_neurons, "constant neuron")
    title = (
        f"responses on tier {detail['statistics_tier']}, quantiles over neurons; {constant}; "
        f"rounding {rounding['rms_relative']:.2g} "
        f"(at most {rounding['max_relative']:.2g}) standard deviations"
    )
    quantiles = (f"{100 * q:g} %" for q in responses.quantiles)
    table = ResultTable(title, *name_columns(""), *number_columns(*quantiles))
    table.add_row("mean", *(f"{value:.4g}" for value in responses.mean))
    table.add_row("std", *(f"{value:.4g}" for value in responses.std))
    return table
