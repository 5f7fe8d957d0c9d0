"""What `omnimouse train` prints: the summary of a run, or the cost of a training (--dry-run)."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnimouse_cli.api.train_job import TrainOptions, resolve_job
from omnimouse_cli.api.train_ranks import Ranks
from omnimouse_cli.cli.console import print_document, print_table, reporter
from omnimouse_cli.cli.tables import pair_table
from omnimouse_cli.evaluation.records import MODEL
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.folder import read_summary
from omnimouse_cli.text import (
    format_bytes,
    format_count,
    format_duration,
    format_percent,
    pluralize,
)

if TYPE_CHECKING:
    from omnimouse_cli.training.plan import Plan


def print_summary(run: Path, *, json_output: bool) -> None:
    """Print the `summary.json` of a finished run and its folder."""
    summary = read_summary(run)
    if json_output:
        print_document("summary", {**summary, "folder": run})
        return
    print_table(pair_table(str(run), _summary_lines(summary)))


def print_plan(options: TrainOptions, ranks: Ranks, *, json_output: bool, quiet: bool) -> None:
    """Print length, time, parameters, FLOPs and memory of a training, and write nothing.

    Raises:
        OmniMouseError: The training would be refused, or does not fit in memory.
    """
    with reporter(quiet=quiet) as progress:
        plan = _plan(options, ranks, progress)
    fields = plan.fields
    if json_output:
        print_document("plan", fields)
    else:
        title = f"{fields['model']}, {pluralize(len(fields['ranks']), 'rank')}"
        print_table(pair_table(title, [*_length_lines(fields), *_cost_lines(fields)]))
    if plan.problem is not None:
        raise plan.problem


def _plan(options: TrainOptions, ranks: Ranks, progress: Reporter) -> "Plan":
    from omnimouse_cli.api.allocation import keep_freed_memory
    from omnimouse_cli.training.plan import plan_published, plan_training

    job = resolve_job(options, progress)
    if not options.paths and not job.shards.exists():
        progress.say(f"{job.shards}/ does not exist: using the size of the published data set")
        return plan_published(job, num_ranks=ranks.num_ranks, device=ranks.device)
    # As in a training, so that steps take as long.
    keep_freed_memory()
    return plan_training(job, num_ranks=ranks.num_ranks, device=ranks.device, reporter=progress)


def _summary_lines(summary: dict[str, Any]) -> list[tuple[str, str]]:
    parameters, validation = summary["parameters"], summary["validation"]
    loss, kind = validation["neural_loss"], summary["response_loss"]
    lines = [
        ("model", summary["model"]),
        (
            "parameters",
            f"{format_count(parameters['core'])} core, "
            f"{format_count(parameters['tables'])} session embeddings",
        ),
        ("sessions", f"{summary['sessions']} of {pluralize(summary['animals'], 'animal')}"),
        ("trained", f"{pluralize(summary['steps'], 'step')}, {summary['epochs']:.2f} epochs"),
        ("tokens seen", format_count(summary["tokens_seen"])),
        ("minutes", f"{summary['wall_seconds'] / 60:.1f} on {summary['device']}"),
    ]
    overall = [item for item in validation["records"] if item["session"] == "overall"]
    absent = "not finite" if overall else "no windows"
    lines.append((f"validation, {kind} loss", absent if loss is None else f"{loss:.4f}"))
    for item in overall:
        if item["predictor"] == MODEL:
            text = absent if item["value"] is None else f"{item['value']:.4f}"
            lines.append((f"  {item['strategy']}, {item['target']}", text + _beside(item, overall)))
    return lines


def _beside(model: dict[str, Any], overall: list[dict[str, Any]]) -> str:
    """Return the losses of baselines for the strategy and target of a record of the model."""
    from omnimouse_cli.training.validation_records import LABELS

    parts = [
        f"{LABELS[item['predictor']]} {item['value']:.4f}"
        for item in overall
        if item["predictor"] in LABELS
        and all(item[key] == model[key] for key in ("strategy", "target"))
        and item["value"] is not None
    ]
    return f" ({', '.join(parts)})" if parts else ""


def _shortcut_lines(cost: dict[str, Any]) -> list[tuple[str, str]]:
    share = cost["shortcuts_first_fraction"]
    if share == 0:
        return []
    flops = cost["shortcuts_first_flops_per_window"]
    return [(f"  in the first {format_percent(share)} of the run", f"{flops / 1e9:.2f} G")]


def _length_lines(plan: dict[str, Any]) -> list[tuple[str, str]]:
    if "steps" not in plan:
        return []
    lines, done = [], plan["steps_done"]
    if plan["steps"] is not None:
        about = "" if plan["minutes"] is None else "about "
        lines.append(("length", f"{about}{pluralize(plan['steps'], 'step')}"))
        lines.append(("epochs", f"{plan['epochs']:.2f}"))
    if done:
        lines.append(("  of which are done", pluralize(done, "step")))
    seconds = plan["seconds"]
    why = f"not measured: {plan['not_measured']}"
    # Linear models are computed before the first step, and their time is not measured.
    beside = ", and the linear start before them" if plan.get("linear_start") else ""
    time = why if seconds is None else format_duration(seconds) + beside
    lines.append(("time of the steps", time))
    if plan["seconds_per_step"] is not None:
        a_step = plan["seconds_per_step"]["whole_model"]
        lines.append(("  a step, as measured here", f"{a_step:.3g} s"))
    return lines


def _cost_lines(cost: dict[str, Any]) -> list[tuple[str, str]]:
    parameters = cost["parameters"]
    lines = [
        ("parameters of the core", f"{parameters['core']:,}"),
        *((f"  {name}", f"{count:,}") for name, count in parameters["components"].items()),
        ("parameters of session embeddings", f"{parameters['tables']:,}"),
        ("FLOPs of a window", f"{cost['flops_per_window'] / 1e9:.2f} G"),
        *_shortcut_lines(cost),
        *(
            (f"memory of {name.replace('_', ' ')}", format_bytes(size))
            for name, size in cost["memory_bytes"].items()
        ),
        ("memory at the peak of a step", format_bytes(sum(cost["memory_bytes"].values()))),
        *_available_lines(cost),
        *((f"tokens of {name}", f"{count:,}") for name, count in cost["sequence_lengths"].items()),
    ]
    lines += [
        (f"rank {part['rank']} owns", ", ".join(part["sessions"]) or "no session")
        for part in cost["ranks"]
    ]
    return lines


def _available_lines(cost: dict[str, Any]) -> list[tuple[str, str]]:
    available = cost.get("available_memory_bytes")
    return [] if available is None else [("memory that is here", format_bytes(available))]
