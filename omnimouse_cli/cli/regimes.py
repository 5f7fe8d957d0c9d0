"""`omnimouse regimes`: the strategies that training draws from and that evaluation asks."""

from typing import Annotated, Any

import typer

from omnimouse_cli.cli.console import print_document, print_table
from omnimouse_cli.cli.options import JsonOption


def command_regimes(
    use: Annotated[
        str | None,
        typer.Option("--use", help="Only these: train, validation, test, curve or families."),
    ] = None,
    population: Annotated[
        int, typer.Option("--population", min=1, help="Neurons, for the rows of `eval`.")
    ] = 4096,
    json: JsonOption = False,
) -> None:
    """List the masking strategies: what each one shows of a window, and what it asks for."""
    from omnimouse_cli.batch.strategies import REGIMES, regime_strategies

    listed = _listed()
    uses = sorted({entry["use"] for entry in listed} | {"families"})
    if use is not None and use not in uses:
        raise typer.BadParameter(f"{use} is none of {', '.join(uses)}", param_hint="--use")
    families = _entries("families")
    rows = [
        {"regime": regime, **_entry("eval", strategy)}
        for regime in REGIMES
        for strategy in regime_strategies(
            regime, population=population, stimulus=True, behavior=True
        )
    ]
    if use is not None:
        listed, rows = [entry for entry in listed if entry["use"] == use], []
        families = families if use == "families" else []
    if json:
        content = {"strategies": listed, "families": families, "rows": rows}
        print_document("regimes", content)
        return
    _print(listed + families + rows)


def _listed() -> list[dict[str, Any]]:
    return [entry for use in ("train", "validation", "test", "curve") for entry in _entries(use)]


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


def _print(entries: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table("use", "name", "family", "neurons seen", "samples seen", "of everyone")
    for column in ("samples asked", "neurons asked", "frames seen", "behavior"):
        table.add_column(column)
    for entry in entries:
        everyone = entry["full_population_prefix"]
        table.add_row(
            entry["use"],
            entry["name"],
            entry["family"],
            _count(entry["num_visible"]),
            _range(entry["prefix"]),
            str(everyone) if everyone else "-",
            _range(entry["targets"]),
            _count(entry["num_targets"]) if entry["targets"] else "-",
            _range(entry["video"]),
            entry["behavior"],
        )
    print_table(table)


def _count(value: int | None) -> str:
    return "all" if value is None else str(value) if value else "-"


def _range(value: tuple[int, int] | None) -> str:
    return "-" if value is None else f"{value[0]}-{value[1]}"
