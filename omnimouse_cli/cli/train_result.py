"""What `omnimouse train` prints: the result of a run, or how large a training would be."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.table import Table

from omnimouse_cli.cli.console import print_document, print_table, reporter
from omnimouse_cli.cli.train_order import Wish, order_of
from omnimouse_cli.cli.train_ranks import Ranks
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.folder import read_summary
from omnimouse_cli.text import format_bytes, format_count, format_percent


def print_summary(run: Path, *, json_output: bool) -> None:
    """Print what a finished run was: its `summary.json`, and where it is."""
    summary = read_summary(run)
    if json_output:
        print_document("summary", {**summary, "folder": run})
        return
    _print_pairs(str(run), _summary_lines(summary))


def print_plan(wish: Wish, ranks: Ranks, *, json_output: bool, quiet: bool) -> None:
    """Print how large a training would be; nothing is written and no GPU is needed."""
    with reporter(quiet=quiet) as progress:
        plan = _plan(wish, ranks, progress)
    if json_output:
        print_document("plan", plan)
        return
    _print_pairs(f"{plan['model']}, {len(plan['ranks'])} ranks", _plan_lines(plan))


def _plan(wish: Wish, ranks: Ranks, progress: Reporter) -> dict[str, Any]:
    from omnimouse_cli.batch.dataset import SessionInfo, open_dataset
    from omnimouse_cli.batch.masking import training_strategies
    from omnimouse_cli.batch.strategies import training_table
    from omnimouse_cli.cost.training import plan_of
    from omnimouse_cli.train.parallel.session_tables import all_owned_sessions
    from omnimouse_cli.train.parallel.world import select_device

    order = order_of(wish, progress)
    data, masking = order.config.data, order.config.masking
    sessions: tuple[SessionInfo, ...] = ()
    if not wish.places and not order.shards.exists():
        progress.say(f"{order.shards}/ does not exist: planning for data as published")
        strategies = training_table(masking.table)
    else:
        sessions = open_dataset(
            order.shards,
            sessions=data.sessions,
            max_sessions=data.max_sessions,
            behavior_channels=data.behavior_channels,
        ).sessions
        strategies = training_strategies(masking, sessions)
    return plan_of(
        order.config,
        sessions,
        strategies,
        owned=all_owned_sessions(len(sessions), ranks.num_ranks),
        device=select_device("auto").type if ranks.device == "auto" else ranks.device,
    )


def _print_pairs(title: str, pairs: Iterable[tuple[str, str]]) -> None:
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("value")
    for what, value in pairs:
        table.add_row(what, value)
    print_table(table)


def _summary_lines(summary: dict[str, Any]) -> list[tuple[str, str]]:
    parameters, validation = summary["parameters"], summary["validation"]
    loss, kind = validation["neural_loss"], summary["response_loss"]
    lines = [
        ("model", summary["model"]),
        (
            "parameters",
            f"{format_count(parameters['core'])} core, {format_count(parameters['tables'])} tables",
        ),
        ("sessions", f"{summary['sessions']} of {summary['animals']} animals"),
        ("trained", f"{summary['steps']:,} steps, {summary['epochs']:.2f} epochs"),
        ("tokens seen", format_count(summary["tokens_seen"])),
        ("minutes", f"{summary['wall_seconds'] / 60:.1f} on {summary['device']}"),
        (f"validation, {kind} loss", "no windows" if loss is None else f"{loss:.4f}"),
    ]
    overall = (item for item in validation["records"] if item["session"] == "overall")
    lines += [
        (f"  {item['strategy']}, {item['target']}", f"{item['value']:.4f}") for item in overall
    ]
    return lines


def _short_ways_lines(plan: dict[str, Any]) -> list[tuple[str, str]]:
    share = plan["short_ways_fraction"]
    if share == 0:
        return []
    operations = plan["short_ways_flops_per_window"]
    return [(f"  in the first {format_percent(share)} of the run", f"{operations / 1e9:.2f} G")]


def _plan_lines(plan: dict[str, Any]) -> list[tuple[str, str]]:
    parameters = plan["parameters"]
    lines = [
        ("parameters of the core", f"{parameters['core']:,}"),
        *((f"  {name}", f"{count:,}") for name, count in parameters["components"].items()),
        ("parameters of tables", f"{parameters['tables']:,}"),
        ("operations of a window", f"{plan['flops_per_window'] / 1e9:.2f} G"),
        *_short_ways_lines(plan),
        *((f"memory of {name}", format_bytes(size)) for name, size in plan["memory_bytes"].items()),
        *((f"tokens of {name}", f"{count:,}") for name, count in plan["sequence_lengths"].items()),
    ]
    lines += [
        (f"rank {part['rank']} owns", ", ".join(part["sessions"]) or "no table")
        for part in plan["ranks"]
    ]
    return lines
