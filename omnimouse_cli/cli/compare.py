"""`omnimouse compare`: paired differences of scores between runs, and their configurations."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnimouse_cli.cli.console import print_document, print_line, print_next, print_table, reporter
from omnimouse_cli.cli.options import JsonOption, QuietOption
from omnimouse_cli.cli.tables import ResultTable, name_columns, number_columns, text_columns
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.text import pluralize, suggest_name

if TYPE_CHECKING:
    from omnimouse_cli.report.comparison import Comparison, Difference

DEFAULT_METRIC = "single_trial_correlation"
OVERALL, NEURONS = "overall", "neurons"


def command_compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN RUN...", help="Runs; each is compared with the first."),
    ],
    *,
    metric: Annotated[
        str, typer.Option("--metric", help="Metric of the table; --json has all of them.")
    ] = DEFAULT_METRIC,
    by_session: Annotated[
        bool, typer.Option("--by-session", help="Also list the differences of each session.")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Image file to write: the learning curves of the runs."),
    ] = None,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compare runs: differences of scores on equal windows, configuration, learning curves.

    The scores are those of kept evaluations: evaluate both runs first, by the same command.
    Intervals are over the windows that the runs share, and over sessions and animals from three on.
    """
    from omnimouse_cli.cli.curves import draw
    from omnimouse_cli.report.comparison import compare_runs

    with reporter(quiet=quiet) as progress:
        comparison = compare_runs(runs)
        for sentence in _describe_unpaired(comparison):
            progress.warn(sentence)
        if not comparison.differences and not comparison.unpaired:
            progress.warn(
                "no run has kept scores; evaluate them first: "
                f"{shlex.join(('omnimouse', 'eval', *map(str, runs)))}"
            )
        if plot is not None:
            draw(runs, plot, "step", named=runs, progress=progress)
            progress.say(f"wrote {plot}")
    if json_output:
        print_document("compare", _document(comparison))
        return
    _require_metric(comparison, metric)
    for number, run in enumerate(runs):
        print_line(f"{_label(number)}: {run.resolve().name}")
    for number in range(1, len(runs)):
        shown = [
            one
            for one in comparison.differences
            if (one.run, one.metric) == (number, metric) and (by_session or one.session == OVERALL)
        ]
        if shown:
            print_table(_difference_table(shown, number, metric, by_session=by_session))
        else:
            print_line(f"{_label(0)} and {_label(number)} have no scores on equal windows")
    if comparison.configuration:
        print_table(_configuration_table(comparison))
    else:
        print_line("configuration: no key differs")
    if any(one.low is not None for one in comparison.differences):
        print_line(
            "intervals hold for these trained runs: other seeds of a configuration differ too"
        )
    print_next("report" if comparison.differences else "eval", *runs, quiet=quiet)


def _describe_unpaired(comparison: "Comparison") -> Iterator[str]:
    """Yield one sentence for all strategies that the same command makes comparable."""
    strategies: dict[tuple[int, int, str, tuple[str, ...], str, str], list[str]] = {}
    for one in comparison.unpaired:
        key = (one.run, one.minus, one.tier, one.sessions, one.reason, one.command)
        strategies.setdefault(key, []).append(one.strategy)
    for (run, minus, tier, sessions, reason, command), names in strategies.items():
        name, other = (comparison.runs[number].resolve().name for number in (run, minus))
        verb, that = ("is", "that") if len(names) == 1 else ("are", "those")
        yield (
            f"{', '.join(names)} ({tier}) of {name} {verb} not compared with {that} of {other} in "
            f"{', '.join(sessions)}: {reason}; evaluate it: {command}"
        )


def _document(comparison: "Comparison") -> dict[str, Any]:
    return {
        "runs": [{"run": run.resolve().name, "path": run} for run in comparison.runs],
        "differences": [one.to_dict() for one in comparison.differences],
        "configuration": [
            {"key": key, "values": values} for key, values in comparison.configuration.items()
        ],
        "unpaired": [one.to_dict() for one in comparison.unpaired],
    }


def _require_metric(comparison: "Comparison", metric: str) -> None:
    metrics = {one.metric for one in comparison.differences}
    if metrics and metric not in metrics:
        raise OmniMouseError(
            f"the runs have no {metric} on equal windows", hint=suggest_name(metric, metrics)
        )


def _difference_table(
    shown: Sequence["Difference"], number: int, metric: str, *, by_session: bool
) -> ResultTable:
    tiers = dict.fromkeys(one.tier for one in shown)
    first, second = _label(0), _label(number)
    columns = name_columns("session") if by_session else number_columns("sessions")
    table = ResultTable(
        f"{metric}, tier {', '.join(tiers)}",
        *name_columns("strategy"),
        *columns,
        *number_columns(first, second, f"{second} - {first} [95 % interval]"),
        omit=("sessions",) if not by_session else (),
    )
    for one in shown:
        of_target = "" if one.target == NEURONS else f" ({one.target})"
        of_tier = f", {one.tier}" if len(tiers) > 1 else ""
        table.add_row(
            f"{one.strategy}{of_target}{of_tier}",
            one.session if by_session else str(one.sessions),
            f"{one.values[1]:.4f}",
            f"{one.values[0]:.4f}",
            _interval(one),
        )
    return table


def _interval(one: "Difference") -> str:
    if one.low is None or one.high is None:
        return f"{one.value:+.4f} [no interval]"
    return f"{one.value:+.4f} [{one.low:+.4f}, {one.high:+.4f}]"


def _configuration_table(comparison: "Comparison") -> ResultTable:
    keys = comparison.configuration
    differs = "differs" if len(keys) == 1 else "differ"
    columns = [_label(number) for number in range(len(comparison.runs))]
    table = ResultTable(
        f"configuration: {pluralize(len(keys), 'key')} {differs}",
        *name_columns("key"),
        *text_columns(*columns),
    )
    for key, values in keys.items():
        table.add_row(key, *("none" if value is None else _short(value) for value in values))
    return table


def _label(number: int) -> str:
    """Return A, B, C, ... by which tables name the runs."""
    return chr(ord("A") + number) if number < 26 else f"run {number + 1}"


def _short(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
