"""`omnimouse regimes`: the masking strategies of training and evaluation."""

from typing import Annotated, Any

import typer

from omnimouse_cli.cli.console import print_document, print_line, print_next, print_table
from omnimouse_cli.cli.options import JsonOption
from omnimouse_cli.cli.tables import ResultTable, name_columns, number_columns

# What is said of a strategy, and what is omitted first.
HEADINGS = ("input neurons", "input samples", "of all neurons", "target samples",
            "target neurons", "input frames", "behavior")  # fmt: skip
OMIT = ("of all neurons", "target neurons", "behavior", "input frames")


def command_regimes(
    use: Annotated[
        str | None,
        typer.Option("--use", help="Only these: train, validation, test, curve or families."),
    ] = None,
    population: Annotated[
        int,
        typer.Option(
            "--population", min=1, help="Number of neurons assumed for the strategies of `eval`."
        ),
    ] = 4096,
    every: Annotated[
        bool, typer.Option("--all", help="Also the masking strategies that --regime can name.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """List the masking strategies: the inputs and targets of each one in a window."""
    listed = [
        entry for use_ in ("train", "validation", "test", "curve") for entry in _entries(use_)
    ]
    uses = sorted({entry["use"] for entry in listed} | {"families"})
    if use is not None and use not in uses:
        raise typer.BadParameter(f"{use} is not one of {', '.join(uses)}", param_hint="--use")
    families = _entries("families")
    scored = _scored(population)
    if use is not None:
        listed, scored = [entry for entry in listed if entry["use"] == use], []
        families = families if use == "families" else []
    if json_output:
        content = {"strategies": listed, "families": families, "rows": scored}
        print_document("regimes", content)
        return
    named = listed + families
    if use is None:
        print_table(_regimes_table(scored))
    if use is not None or every:
        print_table(_table(named))
    else:
        print_line(
            f"--regime also takes the names of {len(named)} masking strategies: "
            "omnimouse regimes --all"
        )
    print_next("eval", "--regime", "forecast")


def _scored(population: int) -> list[dict[str, Any]]:
    """Return the strategies of each regime for a population of so many neurons."""
    from omnimouse_cli.batch.strategies import REGIMES, regime_strategies

    return [
        {"regime": regime, **_entry("eval", strategy)}
        for regime in REGIMES
        for strategy in regime_strategies(
            regime, population=population, stimulus=True, behavior=True
        )
    ]


def _entries(use: str) -> list[dict[str, Any]]:
    from omnimouse_cli.batch import strategies

    tables = {
        "train": strategies.TRAINING_STRATEGIES,
        "validation": strategies.VALIDATION_STRATEGIES,
        "test": strategies.TEST_STRATEGIES,
        "curve": strategies.population_curve(),
        "families": strategies.FAMILY_STRATEGIES,
    }
    return [_entry(use, strategy) for strategy in tables[use]]


def _entry(use: str, strategy: Any) -> dict[str, Any]:  # noqa: ANN401 - a Strategy, imported late
    from dataclasses import asdict

    content = asdict(strategy)
    return {
        "name": content.pop("name"),
        "family": content.pop("family"),
        "use": use,
        "inputs": list(strategy.inputs),
        **content,
    }


def _regimes_table(scored: list[dict[str, Any]]) -> ResultTable:
    """Return the table of regimes: what `--regime` takes, and the strategies of each."""
    table = ResultTable(
        "regimes of eval and predict, by --regime (several with commas; all is every regime); "
        "samples of 1/30 s of a window",
        *name_columns("regime", "strategy"),
        *number_columns(*HEADINGS),
        omit=OMIT,
    )
    for entry in scored:
        table.add_row(entry["regime"], entry["name"], *_cells(entry))
    return table


def _table(entries: list[dict[str, Any]]) -> ResultTable:
    table = ResultTable(
        "masking strategies; samples of 1/30 s of a window",
        *name_columns("name", "use", "family"),
        *number_columns(*HEADINGS),
        omit=("family", *OMIT),
    )
    for entry in entries:
        table.add_row(entry["name"], entry["use"], entry["family"], *_cells(entry))
    return table


def _cells(entry: dict[str, Any]) -> list[str]:
    all_neurons = entry["full_population_prefix"]
    return [
        _count(entry["num_visible"]),
        _range(entry["prefix"]),
        str(all_neurons) if all_neurons else "-",
        _range(entry["targets"]),
        _count(entry["num_targets"]) if entry["targets"] else "-",
        _range(entry["video"]),
        _behavior(entry),
    ]


def _behavior(entry: dict[str, Any]) -> str:
    """Return the role of behavior, with its samples of 1/30 s where some are hidden."""
    from omnimouse_cli.batch.strategy import WHOLE_WINDOW

    visible = entry["behavior_range"]
    role = str(entry["behavior"])
    return role if visible == WHOLE_WINDOW else f"{role} {_range(visible)}"


def _count(value: int | None) -> str:
    return "all" if value is None else str(value) if value else "-"


def _range(value: tuple[int, int] | None) -> str:
    return "-" if value is None else f"{value[0]}-{value[1]}"
