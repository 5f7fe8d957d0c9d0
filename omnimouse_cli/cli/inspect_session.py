"""What a shard says about its recording, for `omnimouse inspect`: origin, terms, monitor, gaps."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omnimouse_cli.recording.recording import Monitor
    from omnimouse_cli.shard import Shard


def session_facts(shard: "Shard") -> dict[str, Any]:
    """Return what a shard says about its recording, as fields of a JSON document."""
    description = shard.description
    provenance, responses = description.provenance, description.responses
    monitor = None if description.screen is None else description.screen.monitor
    return {
        "format": description.format,
        "series": provenance.series or None,
        "excluded_neurons": [
            {"unit_id": None, "reason": reason, "neurons": count}
            for reason, count in provenance.excluded.items()
        ],
        "missing_rows": responses.missing_rows,
        "baseline": None if responses.baseline is None else asdict(responses.baseline),
        "id_namespace": responses.id_namespace,
        "split": description.split,
        "stimulus_seen_in_train": dict(description.stimulus_seen_in_train),
        "windows_within_trials": description.windows_within_trials,
        "licence": provenance.licence,
        "citation": provenance.citation,
        "doi": provenance.doi,
        "institution": provenance.institution,
        "screen": None
        if monitor is None
        else {
            "width_cm": monitor.width_cm,
            "height_cm": monitor.height_cm,
            "distance_cm": monitor.distance_cm,
            "warp": monitor.warp,
            "rendering": monitor.policy,
        },
        "units": {
            channel: {"unit": unit, "source_unit": source}
            for device in description.behavior
            for channel, unit, source in zip(
                device.channels,
                device.units or [None] * len(device.channels),
                device.source_units or [None] * len(device.channels),
                strict=True,
            )
        },
    }


def describe_facts(shard: "Shard") -> list[str]:
    """Return what a shard says about its recording, one line each; what is not known is omitted."""
    description = shard.description
    provenance, responses = description.provenance, description.responses
    series = f", responses from {provenance.series}" if provenance.series else ""
    lines = [f"format: {description.format}{series}"]
    if responses.baseline is not None:
        lines.append(
            f"dF/F computed: baseline is percentile {responses.baseline.percentile:g} over "
            f"{responses.baseline.window_seconds:g} s"
        )
    if provenance.excluded:
        parts = ", ".join(f"{count} {reason}" for reason, count in provenance.excluded.items())
        lines.append(f"excluded neurons: {parts}")
    if responses.missing_rows:
        seconds = responses.missing_rows / responses.clock.rate_hz
        lines.append(
            f"missing rows: {responses.missing_rows:,} of {responses.clock.num_samples:,} "
            f"({seconds:.1f} s), not counted in tokens and hours"
        )
    if responses.id_namespace is not None:
        lines.append(f"unit ids: {responses.id_namespace}")
    delay = shard.delay_seconds
    if delay is not None and len(delay):
        lines.append(f"scan delay: {1e3 * delay.min():.3g} to {1e3 * delay.max():.3g} ms")
    if description.screen is not None and description.screen.monitor is not None:
        lines.append(f"screen: {_describe_monitor(description.screen.monitor)}")
    within = "; windows stay within trials" if description.windows_within_trials else ""
    lines.append(f"tiers: {_describe_split(description.split)}{within}")
    terms = {
        "licence": provenance.licence,
        "citation": provenance.citation,
        "doi": provenance.doi,
        "institution": provenance.institution,
    }
    return lines + [f"{name}: {text}" for name, text in terms.items() if text is not None]


def _describe_split(split: str) -> str:
    return "of the recording" if split == "file" else f"made by the policy `{split}`"


def _describe_monitor(monitor: "Monitor") -> str:
    parts = [f"frames are {monitor.policy}"]
    if monitor.width_cm is not None and monitor.height_cm is not None:
        parts.append(f"{monitor.width_cm:g} x {monitor.height_cm:g} cm")
    if monitor.distance_cm is not None:
        parts.append(f"at {monitor.distance_cm:g} cm")
    if monitor.warp is not None:
        parts.append(f"{monitor.warp} warp")
    return ", ".join(parts)
