"""Options of raw recordings on the command line."""

from enum import StrEnum
from typing import Annotated, Any

import typer

# Lowest and highest rate that --rate takes.
_RATES_HZ = (1e-3, 1e6)


class SplitChoice(StrEnum):
    """The values of --split."""

    auto = "auto"
    conditions = "conditions"
    movie_time = "movie-time"
    time = "time"


def _option(name: str, help_text: str, **settings: Any) -> Any:  # noqa: ANN401 - as Typer has it
    return typer.Option(name, help=help_text, rich_help_panel="Raw files", **settings)


def _require_rate(rate: float | None) -> float | None:
    low, high = _RATES_HZ
    if rate is not None and not low <= rate <= high:
        raise typer.BadParameter(
            f"{rate:g} Hz is no rate of responses; give their rows per second, from {low:g} to "
            f"{high:,.0f}"
        )
    return rate


def _require_key(key: str | None) -> str | None:
    # Imported here because the package recording loads NumPy, which --help does without.
    from omnimouse_cli.recording.session_key import is_usable_key

    if key is not None and not is_usable_key(key):
        raise typer.BadParameter(f"a session key must be usable as a file name: {key!r}")
    return key


def _parse_split(text: str) -> SplitChoice:
    if text not in tuple(SplitChoice):
        raise typer.BadParameter(f"no split {text!r}; give one of {', '.join(SplitChoice)}")
    return SplitChoice(text)


SeriesOption = Annotated[
    str | None,
    _option(
        "--series",
        "Responses inside the file, where several would fit: a path, or rate, dff, fluorescence.",
        metavar="PATH",
    ),
]
StimulusOption = Annotated[
    str | None, _option("--stimulus", "Stimulus inside the file.", metavar="PATH")
]
TrialsOption = Annotated[
    str | None,
    _option("--trials", "Table of trials inside the file, or a CSV file.", metavar="PATH"),
]
RunningOption = Annotated[
    str | None,
    _option("--running", "Running speed inside the file, or a CSV file.", metavar="PATH"),
]
PupilOption = Annotated[
    str | None, _option("--pupil", "Pupil inside the file, or a CSV file.", metavar="PATH")
]
RateOption = Annotated[
    float | None,
    _option(
        "--rate",
        "Rows of the responses per second, for files that do not say.",
        metavar="HZ",
        callback=_require_rate,
    ),
]
SplitOption = Annotated[
    SplitChoice,
    _option(
        "--split",
        "How tiers are made where the files have none: repeated conditions are test; all "
        "repeats of 10 s of a movie are in one tier; by time within blocks; auto takes what fits.",
        metavar=f"[{'|'.join(SplitChoice)}]",
        parser=_parse_split,
    ),
]
StaticOption = Annotated[
    bool, _option("--static", "Open recordings of single images without a time course.")
]
LicenceOption = Annotated[str | None, _option("--licence", "Licence of the data, as CC-BY-4.0.")]
KeyOption = Annotated[
    str | None,
    _option(
        "--key",
        "Session key of a single recording, in place of that of its files.",
        callback=_require_key,
    ),
]
CitationOption = Annotated[str | None, _option("--citation", "How to cite the data.")]
