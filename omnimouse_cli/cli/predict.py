"""`omnimouse predict`: responses to a movie, or predictions for recorded windows, in files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from omnimouse_cli.api.folders import newest_finished_run
from omnimouse_cli.cli.console import print_document, print_next, print_table, reporter
from omnimouse_cli.cli.options import (
    AllowOtherDataOption,
    DeviceOption,
    JsonOption,
    QuietOption,
    SeedOption,
    ShardsOption,
)
from omnimouse_cli.cli.tables import ResultTable, name_columns, number_columns, text_columns
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.evaluation.records import TILING_STRIDE_SAMPLES
from omnimouse_cli.text import split_words

FORMATS = ("npz", "safetensors", "nwb")
# Folder of predictions in a run.
PREDICTIONS = "predict"


def command_predict(
    run: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Run folders, several as an ensemble; by default the newest finished run."
        ),
    ] = None,
    *,
    video: Annotated[
        Path | None,
        typer.Option(
            help="A movie: .npy, .npz, a folder of images, or a video file (images and videos need "
            "the extra `video`)."
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(help="Frames per second; by default those of a video file, else 30."),
    ] = None,
    behavior: Annotated[
        Path | None,
        typer.Option(
            help="CSV file of behavior during the movie: time_seconds and every channel, in the "
            "units of the recording. By default behavior does not change (--state)."
        ),
    ] = None,
    state: Annotated[
        str | None,
        typer.Option(
            help="Behavior during the movie: median, mean or missing; by default median, and mean "
            "without shards."
        ),
    ] = None,
    before: Annotated[
        str | None,
        typer.Option(
            help="Screen before the movie: grey (mean of the model's video, the default), first "
            "(frame), or a grey level from 0 to 255."
        ),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Distance of windows in samples of 1/30 s: by default 3 for a movie, so that "
            "each sample is the mean of ten windows, and that of eval for --tier.",
        ),
    ] = None,
    tier: Annotated[
        str | None,
        typer.Option(help="Predict the recorded windows of this tier instead of a movie."),
    ] = None,
    regime: Annotated[
        str | None,
        typer.Option(
            help="For --tier: predict, decode, forecast, population or all, a masking strategy, or "
            "a TOML file of strategies, or several with commas; by default predict."
        ),
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(
            min=1, help="Random draws of context neurons, the first of eval's 8; by default one."
        ),
    ] = None,
    session: Annotated[
        str | None, typer.Option(help="Session key; by default all sessions of the run.")
    ] = None,
    animal: Annotated[str | None, typer.Option(help="All sessions of an animal.")] = None,
    scaled: Annotated[
        bool,
        typer.Option(
            "--scaled", help="Keep responses in standard deviations and behavior in z-scores."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="FILE.npz, .safetensors or .nwb, with FILE.json beside it; several sessions get "
            "FILE.SESSION.npz each. By default in RUN/predict."
        ),
    ] = None,
    file_format: Annotated[
        str | None,
        typer.Option(
            "--format", help="npz, safetensors or nwb (extra `nwb-write`), where --out is omitted."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
    shards: ShardsOption = None,
    allow_other_data: AllowOtherDataOption = False,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Recorded windows per forward pass.")
    ] = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write predicted responses to any movie, or predictions with the measurements of a tier."""
    from omnimouse_cli.evaluation.records import EvalOptions
    from omnimouse_cli.probing.movie_open import open_movie
    from omnimouse_cli.probing.predict import STRIDE_SAMPLES
    from omnimouse_cli.probing.predict_job import (
        MovieOptions,
        PredictionJob,
        write_movie_predictions,
        write_recorded_predictions,
    )
    from omnimouse_cli.training.parallel.world import select_device

    of_movie = {"behavior": behavior, "fps": fps, "state": state, "before": before}
    of_recording = {"tier": tier, "regime": regime, "draws": draws, "batch": batch}
    _require_one_input(video, of_movie, of_recording)
    with reporter(quiet=quiet) as progress:
        folders = list(dict.fromkeys(run or [newest_finished_run()]))
        if not run:
            progress.say(f"taking {folders[0]} (the newest finished run)")
        name = video.stem if video is not None else f"{tier or 'test'}-{_stem(regime or 'predict')}"
        path = _output_path(out, file_format, folders, name)
        job = PredictionJob(
            runs=folders,
            path=path,
            session=session,
            animal=animal,
            shards=shards,
            allow_other_data=allow_other_data,
            device=select_device(device),
            scaled=scaled,
            force=force,
        )
        if video is not None:
            documents = write_movie_predictions(
                open_movie(video, fps=fps),
                job,
                MovieOptions(
                    behavior=behavior,
                    state=state,
                    before=_parse_before(before or "grey"),
                    stride_samples=stride or STRIDE_SAMPLES,
                ),
                progress,
            )
        else:
            options = EvalOptions(
                regime=regime or "predict",
                tier=tier or "test",
                stride_samples=stride or TILING_STRIDE_SAMPLES,
                draws=draws or 1,
                seed=seed,
                baselines=(),
                batch_windows=batch,
                device=job.device.type,
            )
            documents = write_recorded_predictions(job, options, progress)
    if json_output:
        several = {"predictions": documents}
        print_document("predict", documents[0] if len(documents) == 1 else several)
    else:
        _print(path, documents)
    print_next("probe", *folders, quiet=quiet, json_output=json_output)


def _require_one_input(
    video: Path | None, of_movie: Mapping[str, object], of_recording: Mapping[str, object]
) -> None:
    """Check that either a movie or recorded windows are named, without options of the other."""
    if video is None and not (of_recording["tier"] or of_recording["regime"]):
        raise OmniMouseError(
            "nothing to predict was named",
            hint="name a movie: --video FILE, or recorded windows: --tier test --regime forecast",
        )
    others = of_movie if video is None else of_recording
    for name, value in others.items():
        if value is not None:
            text = "a movie" if video is None else "recorded windows, and not to a movie"
            raise OmniMouseError(
                f"--{name} belongs to {text}",
                hint="name either a movie with --video, or recorded windows with --tier and "
                "--regime",
            )


def _stem(regime: str) -> str:
    """Return the name of regimes in a file name; of a TOML file its stem."""
    parts = [regime] if Path(regime).suffix == ".toml" else split_words(regime)
    return "+".join(Path(part).stem if part.endswith(".toml") else part for part in parts)


def _output_path(
    out: Path | None, file_format: str | None, folders: Sequence[Path], name: str
) -> Path:
    if file_format is not None and file_format not in FORMATS:
        raise OmniMouseError(
            f"--format must be one of {', '.join(FORMATS)}: {file_format}",
            hint="npz is read by numpy.load",
        )
    if out is None:
        ensemble = f"-ensemble-of-{len(folders)}" if len(folders) > 1 else ""
        return folders[0] / PREDICTIONS / f"{name}{ensemble}.{file_format or 'npz'}"
    if file_format is not None and out.suffix != f".{file_format}":
        raise OmniMouseError(
            f"--format {file_format} does not fit the name {out}",
            hint="the ending of --out is the format; leave --format out",
        )
    return out


def _parse_before(text: str) -> Any:  # noqa: ANN401 - a name or a number
    try:
        return float(text)
    except ValueError:
        return text


def _print(path: Path, documents: Sequence[Mapping[str, Any]]) -> None:
    table = ResultTable(
        "predictions",
        *name_columns("session", "predicted"),
        *number_columns("neurons", "samples"),
        *text_columns("unit", "file"),
        omit=("unit", "samples"),
    )
    for document in documents:
        file = str(path.parent / document["file"])
        if "movie" in document:
            rows = [("responses", document["samples"], document["units"])]
        else:
            rows = [
                (one["name"], one["samples"], one["units"] if one["target"] == "responses" else "")
                for one in document["predictions"]
            ]
        for predicted, samples, unit in rows:
            counts = (f"{document['neurons']:,}", f"{samples:,}")
            table.add_row(document["session"], predicted, *counts, unit, file)
    print_table(table)
