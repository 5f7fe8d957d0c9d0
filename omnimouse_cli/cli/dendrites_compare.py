"""`omnimouse dendrites compare`: activations at matched parameters on images."""

import dataclasses
import importlib.util
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from omnimouse_cli.cli.console import print_document, print_line, print_table, reporter
from omnimouse_cli.cli.folders import folder
from omnimouse_cli.cli.options import DeviceOption, JsonOption, QuietOption, SeedOption
from omnimouse_cli.errors import ConfigError, OmniMouseError
from omnimouse_cli.text import suggest_name

if TYPE_CHECKING:
    from omnimouse_cli.dendrites.images.report import Outcome
    from omnimouse_cli.dendrites.images.settings import Settings

LIBRARIES = {"scipy": "scipy", "matplotlib": "matplotlib", "sklearn": "scikit-learn"}


def command_compare(
    *,
    data: Annotated[
        str,
        typer.Option(
            "--data", help="digits, an .npz file, or MNIST's or CIFAR-10's binary files by path."
        ),
    ] = "digits",
    networks: Annotated[
        str, typer.Option("--networks", help="Outer networks, with commas.")
    ] = "mlp,cnn",
    activations: Annotated[
        str | None, typer.Option("--activations", help="Competitors, with commas; by default all.")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=2, help="Trainings of each.")] = 10,
    search: Annotated[
        int, typer.Option("--search", min=0, help="Random settings that each competitor tries.")
    ] = 0,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Of each session; by default 60.")
    ] = None,
    inner: Annotated[
        str | None, typer.Option("--inner", help="Hidden widths of the inner network: 64,64.")
    ] = None,
    dropout: Annotated[
        float, typer.Option("--dropout", help="As long as nothing is searched.")
    ] = 0.5,
    epsilon: Annotated[
        float | None, typer.Option("--epsilon", help="Largest change of a pixel in attacks, of 1.")
    ] = None,
    no_robustness: Annotated[
        bool, typer.Option("--no-robustness", help="Leave out corruptions and attacks.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few seeds and epochs: shows that it runs.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of results; by default in runs/.")
    ] = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compare learned two-argument activations with controls at matched parameters.

    Three sessions as in the paper for learned activations, one for fixed ones; then corruptions,
    attacks and soft XORs. Each claim of the paper is confirmed, refuted or undetermined.
    """
    require_libraries("dendrites compare")
    from omnimouse_cli.dendrites.images.read import load_images
    from omnimouse_cli.dendrites.images.report import compare
    from omnimouse_cli.dendrites.images.settings import Settings
    from omnimouse_cli.train.parallel.world import select_device

    try:
        settings = Settings(
            data=data,
            networks=_networks(networks),
            activations=_activations(activations),
            seeds=seeds,
            seed=seed,
            inner=None if inner is None else _widths(inner),
            dropout=dropout,
            search=search,
            robustness=not no_robustness,
            epsilon=epsilon,
        )
    except ValueError as error:
        raise ConfigError(str(error), hint="omnimouse dendrites compare --help") from error
    settings = _shortened(settings, epochs, quick=quick)
    with reporter(quiet=quiet) as talk:
        images = load_images(data)
        place = out or _default_folder(settings, images.name)
        outcome = compare(settings, images, place, device=select_device(device), reporter=talk)
        talk.say(f"wrote {place / 'compare.json'}; surfaces: omnimouse dendrites {place}")
    if as_json:
        print_document("dendrites-compare", outcome.content())
    else:
        _print(outcome)


def require_libraries(command: str) -> None:
    """Say which library is missing, if one is.

    Raises:
        OmniMouseError: One is.
    """
    for name, package in LIBRARIES.items():
        if importlib.util.find_spec(name) is None:
            raise OmniMouseError(
                f"{command} needs {package}, which is not installed",
                hint="install the extra: pip install 'omnimouse[report]'",
            )


def _shortened(settings: "Settings", epochs: int | None, *, quick: bool) -> "Settings":
    from omnimouse_cli.dendrites.images.settings import quick as quickened

    if quick:
        settings = quickened(settings)
    return settings if epochs is None else dataclasses.replace(settings, epochs=epochs)


def _networks(text: str) -> Any:  # noqa: ANN401 - a tuple of the Literal's words
    from omnimouse_cli.dendrites.images.plan import NETWORKS

    return _known("--networks", text, NETWORKS)


def _activations(text: str | None) -> tuple[str, ...]:
    from omnimouse_cli.dendrites.images.activation import ACTIVATIONS

    return tuple(ACTIVATIONS) if text is None else _known("--activations", text, list(ACTIVATIONS))


def _known(option: str, text: str, known: Sequence[str]) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    for word in words or ("",):
        if word not in known:
            raise ConfigError(f"{option} has no {word!r}", hint=suggest_name(word, known))
    return words


def _widths(text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdigit() and int(word) > 0 for word in words):
        raise ConfigError(
            f"--inner must be whole numbers with commas between them: {text!r}",
            hint="for example --inner 64,64",
        )
    return tuple(int(word) for word in words)


def _default_folder(settings: "Settings", name: str) -> Path:
    """Give the folder that holds this comparison already, or else a new one."""
    from omnimouse_cli.dendrites.images.folder import is_free_for

    first = folder("runs") / f"compare-{name}"
    for number in itertools.count(1):
        place = first if number == 1 else first.with_name(f"{first.name}-{number}")
        if is_free_for(place, settings):
            return place
    raise AssertionError("counting does not end")


def _print(outcome: "Outcome") -> None:
    for network in outcome.scores:
        print_table(_table(outcome, network))
    for table in _robustness(outcome):
        print_table(table)
    for line in _found(outcome):
        print_line(line)
    for claim in outcome.claims:
        print_line(claim.sentence)


def _table(outcome: "Outcome", network: str) -> Table:
    settings = outcome.comparison.settings
    table = Table(
        title=f"{network} on {settings.data}: {settings.seeds} seeds, test accuracy in % "
        "[95 % interval]"
    )
    table.add_column("activation")
    for name in ("parameters", "accuracy", "dendritic - it", "epochs to", "mCE", "relative mCE"):
        table.add_column(name, justify="right")
    table.add_column("under attack", justify="right")
    for one in outcome.summaries:
        if one["network"] != network:
            continue
        table.columns[4].header = f"epochs to {100 * one['threshold']:.1f} %"
        never = f" ({one['never_reached']} never)" if one["never_reached"] else ""
        table.add_row(
            one["activation"],
            f"{one['parameters']:,}",
            _interval(one["accuracy"], 100, ".2f"),
            _interval(one["dendritic_minus_it"], 100, "+.2f"),
            _interval(one["epochs_to_threshold"], 1, ".1f") + never,
            _interval(one["mce"], 1, ".1f"),
            _interval(one["relative_mce"], 1, ".0f"),
            _interval(one["attacked_accuracy"], 100, ".1f"),
        )
    return table


def _interval(value: dict[str, float] | None, factor: float, form: str) -> str:
    if value is None:
        return "-"
    middle, low, high = (factor * value[name] for name in ("value", "low", "high"))
    return f"{middle:{form}} \\[{low:{form}}, {high:{form}}]"


def _robustness(outcome: "Outcome") -> list[Table]:
    """Show accuracy under attack as the protocol should be beside how it was published."""
    from omnimouse_cli.dendrites.images.report import protocols_of
    from omnimouse_cli.dendrites.images.robustness import FLAWS

    records = protocols_of(outcome.scores)
    if not records:
        return []
    table = Table(
        title="Accuracy before > after one gradient attack, in %: the valid protocol beside the "
        "published mistakes"
    )
    for name in ("network", "activation", *FLAWS):
        table.add_column(name)
    for network, by_name in outcome.scores.items():
        for name in by_name:
            cells = [
                f"{100 * one['clean']['value']:.1f} > {100 * one['attacked']['value']:.1f}"
                for one in records
                if (one["network"], one["activation"]) == (network, name)
            ]
            table.add_row(network, name, *cells)
    return [table]


def _found(outcome: "Outcome") -> list[str]:
    """Say what each search found."""
    lines = []
    for one in outcome.summaries:
        if one["search"]:
            best = min(one["search"], key=lambda trial: trial["loss"])
            setting = best["setting"]
            lines.append(
                f"search: {one['network']} {one['activation']}: learning rate "
                f"{setting['learning_rate']:.2g}, weight decay {setting['weight_decay']:.2g}, "
                f"dropout {setting['dropout']:g}, widths {':'.join(map(str, setting['profile']))}, "
                f"best of {len(one['search'])}, validation loss {best['loss']:.4f}"
            )
    return lines
