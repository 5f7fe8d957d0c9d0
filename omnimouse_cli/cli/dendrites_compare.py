"""`omnimouse dendrites compare`: activations at matched parameters on images."""

import dataclasses
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnimouse_cli.api.folders import folder
from omnimouse_cli.api.libraries import require_libraries
from omnimouse_cli.cli.console import print_document, print_line, print_next, print_table, reporter
from omnimouse_cli.cli.options import DeviceOption, JsonOption, QuietOption, SeedOption
from omnimouse_cli.cli.tables import ResultTable, name_columns, number_columns
from omnimouse_cli.errors import ConfigError
from omnimouse_cli.text import format_percent, suggest_name

if TYPE_CHECKING:
    from omnimouse_cli.dendrites.images.compare import ComparisonReport
    from omnimouse_cli.dendrites.images.settings import ComparisonSettings

FIGURE = "compare.png"


def command_compare(
    *,
    data: Annotated[
        str,
        typer.Option(
            "--data",
            help="digits, xor-images, linear-images, an .npz file, or MNIST's or CIFAR-10's binary "
            "files by path.",
        ),
    ] = "digits",
    networks: Annotated[
        str, typer.Option("--networks", help="Kinds of networks, with commas.")
    ] = "mlp,cnn",
    activations: Annotated[
        str | None, typer.Option("--activations", help="Activations, with commas; by default all.")
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=2, help="Trainings of each network and activation.")
    ] = 20,
    search: Annotated[
        int, typer.Option("--search", min=0, help="Random hyperparameters tried for each.")
    ] = 0,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Epochs of each session; by default 60.")
    ] = None,
    inner: Annotated[
        str | None, typer.Option("--inner", help="Hidden widths of the inner network: 64,64.")
    ] = None,
    dropout: Annotated[
        float, typer.Option("--dropout", help="Dropout probability without --search.")
    ] = 0.5,
    epsilon: Annotated[
        float | None,
        typer.Option("--epsilon", help="Largest change of a pixel (0 to 1) by attacks."),
    ] = None,
    no_robustness: Annotated[
        bool, typer.Option("--no-robustness", help="Measure no corruptions and attacks.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few seeds and epochs, for a trial run.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of results; by default in runs/.")
    ] = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compare learned two-argument activations with controls at matched parameters.

    Three sessions as in the paper for learned activations, one for fixed ones; then corruptions,
    attacks and soft XORs. Each claim of the paper is confirmed, refuted or undetermined.
    """
    require_libraries("dendrites compare", "scipy", "matplotlib", "sklearn")
    from omnimouse_cli.dendrites.images.architecture import ACTIVATIONS, NETWORKS
    from omnimouse_cli.dendrites.images.compare import compare
    from omnimouse_cli.dendrites.images.figure import draw_comparison
    from omnimouse_cli.dendrites.images.read import load_images
    from omnimouse_cli.dendrites.images.settings import ComparisonSettings, shorten
    from omnimouse_cli.files import write_atomically
    from omnimouse_cli.training.parallel.world import select_device

    try:
        settings = ComparisonSettings(
            data=data,
            networks=_parse_names("--networks", networks, NETWORKS),
            activations=_parse_names("--activations", activations, tuple(ACTIVATIONS)),
            seeds=seeds,
            seed=seed,
            inner=None if inner is None else _parse_widths(inner),
            dropout=dropout,
            search=search,
            robustness=not no_robustness,
            epsilon=epsilon,
        )
    except ValueError as error:
        raise ConfigError(str(error), hint="omnimouse dendrites compare --help") from error
    if quick:
        settings = shorten(settings)
    if epochs is not None:
        settings = dataclasses.replace(settings, epochs=epochs)
    with reporter(quiet=quiet) as talk:
        images = load_images(data)
        path = out or _choose_folder(settings, images.name)
        report = compare(settings, images, path, device=select_device(device), reporter=talk)
        with write_atomically(path / FIGURE) as stream:
            draw_comparison(report.scores, stream, title=f"{path.resolve().name}: {data}")
        talk.say(f"wrote {path / 'compare.json'} and {path / FIGURE}")
    if json_output:
        print_document("dendrites-compare", report.to_dict())
    else:
        _print(report)
    print_next("dendrites", path, quiet=quiet, json_output=json_output)


def _parse_names(option: str, text: str | None, known: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the names in a list with commas; all known names for None."""
    if text is None:
        return known
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names or ("",):
        if name not in known:
            raise ConfigError(f"{option} has no {name!r}", hint=suggest_name(name, known))
    return names


def _parse_widths(text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdigit() and int(word) > 0 for word in words):
        raise ConfigError(
            f"--inner must be whole numbers with commas between them: {text!r}",
            hint="for example --inner 64,64",
        )
    return tuple(int(word) for word in words)


def _choose_folder(settings: "ComparisonSettings", name: str) -> Path:
    """Return the folder that holds this comparison already, or else a new one."""
    from omnimouse_cli.dendrites.images.results import is_available

    first = folder("runs") / f"compare-{name}"
    others = (first.with_name(f"{first.name}-{number}") for number in itertools.count(2))
    return next(path for path in itertools.chain([first], others) if is_available(path, settings))


def _print(report: "ComparisonReport") -> None:
    from omnimouse_cli.dendrites.images.claims import RULE

    for network in report.scores:
        print_table(_build_score_table(report, network))
        print_table(_build_speed_table(report, network))
    protocols = _build_protocol_table(report)
    if protocols is not None:
        print_table(protocols)
    for summary in report.summaries:
        if summary["search"]:
            print_line(_describe_search(summary))
    for claim in report.claims:
        print_line(claim.sentence)
    print_line(f"a claim is {RULE}")


def _build_score_table(report: "ComparisonReport", network: str) -> ResultTable:
    settings = report.settings
    table = ResultTable(
        f"{network} on {settings.data}: {settings.seeds} seeds, test accuracy in % [95 % interval]",
        *name_columns("activation"),
        *number_columns("parameters", "accuracy", "dendritic - it", "p (Holm)", "mCE"),
        *number_columns("relative mCE", "under attack"),
        omit=("parameters", "relative mCE", "under attack", "mCE"),
    )
    for one in _list_summaries(report, network):
        table.add_row(
            one["activation"],
            f"{one['parameters']:,}",
            _format_interval(one["accuracy"], 100, ".2f"),
            _format_interval(one["dendritic_minus_it"], 100, "+.2f"),
            _format_p(one["dendritic_minus_it"]),
            _format_interval(one["mce"], 1, ".1f"),
            _format_interval(one["relative_mce"], 1, ".0f"),
            _format_interval(one["attacked_accuracy"], 100, ".1f"),
        )
    return table


def _build_speed_table(report: "ComparisonReport", network: str) -> ResultTable:
    """Return epochs of the last session alone, as published, beside those of all sessions."""
    summaries = _list_summaries(report, network)
    threshold = format_percent(summaries[0]["threshold"])
    table = ResultTable(
        f"{network} on {report.settings.data}: epochs to a validation accuracy of {threshold}",
        *name_columns("activation"),
        *number_columns("last session", "it - dendritic", "p (Holm)", "all sessions"),
        *number_columns("it - dendritic of all", "p of all", "session II alone"),
        omit=("session II alone", "last session", "all sessions"),
    )
    for one in summaries:
        never = f" ({one['never_reached']} never)" if one["never_reached"] else ""
        table.add_row(
            one["activation"],
            _format_interval(one["epochs_to_threshold"], 1, ".1f") + never,
            _format_interval(one["fewer_epochs"], 1, "+.1f"),
            _format_p(one["fewer_epochs"]),
            _format_interval(one["epochs_of_all_sessions"], 1, ".1f"),
            _format_interval(one["fewer_epochs_of_all_sessions"], 1, "+.1f"),
            _format_p(one["fewer_epochs_of_all_sessions"]),
            _format_interval(one["joint_epochs"], 1, ".1f"),
        )
    return table


def _list_summaries(report: "ComparisonReport", network: str) -> list[dict[str, Any]]:
    return [one for one in report.summaries if one["network"] == network]


def _format_p(test: dict[str, float] | None) -> str:
    return "-" if test is None else f"{test['p_holm']:.3f}"


def _format_interval(value: dict[str, float] | None, factor: float, spec: str) -> str:
    if value is None:
        return "-"
    middle, low, high = (factor * value[name] for name in ("value", "low", "high"))
    return f"{middle:{spec}} [{low:{spec}}, {high:{spec}}]"


def _build_protocol_table(report: "ComparisonReport") -> ResultTable | None:
    """Return accuracy under the valid attack protocol beside that under the published mistakes."""
    from omnimouse_cli.dendrites.images.robustness import PROTOCOLS
    from omnimouse_cli.dendrites.images.summaries import summarize_protocols

    records = summarize_protocols(report.scores)
    if not records:
        return None
    table = ResultTable(
        "accuracy before > after one gradient attack, in %: the valid protocol beside the "
        "published mistakes",
        *name_columns("network", "activation"),
        *number_columns(*PROTOCOLS),
    )
    for network, by_name in report.scores.items():
        for activation in by_name:
            cells = [
                f"{100 * one['clean']['value']:.1f} > {100 * one['attacked']['value']:.1f}"
                for one in records
                if (one["network"], one["activation"]) == (network, activation)
            ]
            table.add_row(network, activation, *cells)
    return table


def _describe_search(summary: dict[str, Any]) -> str:
    """Return the best hyperparameters of one search in words."""
    trials = summary["search"]
    best = min(trials, key=lambda trial: trial["loss"])
    setting = best["setting"]
    return (
        f"search: {summary['network']} {summary['activation']}: learning rate "
        f"{setting['learning_rate']:.2g}, weight decay {setting['weight_decay']:.2g}, "
        f"dropout {setting['dropout']:g}, widths {':'.join(map(str, setting['profile']))}, "
        f"best of {len(trials)}, validation loss {best['loss']:.4f}"
    )
