"""What `omnimouse train` prints: the summary of a run, or the cost of a training (--dry-run)."""

from pathlib import Path
from typing import Any

from omnimouse_cli.api.train_job import TrainOptions, resolve_job
from omnimouse_cli.api.train_ranks import Ranks
from omnimouse_cli.cli.console import print_document, print_table, reporter
from omnimouse_cli.cli.tables import pair_table
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.folder import read_summary
from omnimouse_cli.text import format_bytes, format_count, format_percent, pluralize


def print_summary(run: Path, *, json_output: bool) -> None:
    """Print the `summary.json` of a finished run and its folder."""
    summary = read_summary(run)
    if json_output:
        print_document("summary", {**summary, "folder": run})
        return
    print_table(pair_table(str(run), _summary_lines(summary)))


def print_cost(options: TrainOptions, ranks: Ranks, *, json_output: bool, quiet: bool) -> None:
    """Print parameters, FLOPs and memory of a training; nothing is written, no GPU is needed."""
    with reporter(quiet=quiet) as progress:
        cost = _compute_cost(options, ranks, progress)
    if json_output:
        print_document("plan", cost)
        return
    title = f"{cost['model']}, {pluralize(len(cost['ranks']), 'rank')}"
    print_table(pair_table(title, _cost_lines(cost)))


def _compute_cost(options: TrainOptions, ranks: Ranks, progress: Reporter) -> dict[str, Any]:
    from omnimouse_cli.batch.dataset import SessionInfo, open_dataset, require_tiers
    from omnimouse_cli.batch.masking import training_strategies
    from omnimouse_cli.batch.strategies import training_table
    from omnimouse_cli.cost.training import estimate_training
    from omnimouse_cli.training.parallel.session_embeddings import owned_sessions
    from omnimouse_cli.training.parallel.world import select_device
    from omnimouse_cli.training.resolve import resolve_shortcuts_first

    job = resolve_job(options, progress)
    data, masking = job.config.data, job.config.masking
    sessions: tuple[SessionInfo, ...] = ()
    if not options.paths and not job.shards.exists():
        progress.say(f"{job.shards}/ does not exist: using the size of the published data set")
        strategies = training_table(masking.table)
    else:
        sessions = open_dataset(
            job.shards,
            sessions=data.sessions,
            max_sessions=data.max_sessions,
            behavior_channels=data.behavior_channels,
        ).sessions
        require_tiers(sessions, data.tiers)
        strategies = training_strategies(masking, sessions)
    return estimate_training(
        resolve_shortcuts_first(job.config, job.init_from, progress),
        sessions,
        strategies,
        owned=owned_sessions([session.num_neurons for session in sessions], ranks.num_ranks),
        device=select_device("auto").type if ranks.device == "auto" else ranks.device,
    )


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
        ("trained", f"{summary['steps']:,} steps, {summary['epochs']:.2f} epochs"),
        ("tokens seen", format_count(summary["tokens_seen"])),
        ("minutes", f"{summary['wall_seconds'] / 60:.1f} on {summary['device']}"),
    ]
    overall = [item for item in validation["records"] if item["session"] == "overall"]
    absent = "not finite" if overall else "no windows"
    values = [(f"validation, {kind} loss", loss)]
    values += [(f"  {item['strategy']}, {item['target']}", item["value"]) for item in overall]
    return lines + [(what, absent if value is None else f"{value:.4f}") for what, value in values]


def _shortcut_lines(cost: dict[str, Any]) -> list[tuple[str, str]]:
    share = cost["shortcuts_first_fraction"]
    if share == 0:
        return []
    flops = cost["shortcuts_first_flops_per_window"]
    return [(f"  in the first {format_percent(share)} of the run", f"{flops / 1e9:.2f} G")]


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
        *((f"tokens of {name}", f"{count:,}") for name, count in cost["sequence_lengths"].items()),
    ]
    lines += [
        (f"rank {part['rank']} owns", ", ".join(part["sessions"]) or "no session")
        for part in cost["ranks"]
    ]
    return lines
