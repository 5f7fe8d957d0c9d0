"""Predictions written to files: of a movie, or of recorded windows, one file for each session."""

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.config.data import FRAME_RATE_HZ, RESPONSE_RATE_HZ
from omnimouse_cli.errors import NOTHING_WRITTEN, OmniMouseError, explain_interruption
from omnimouse_cli.evaluation.records import EvalOptions
from omnimouse_cli.evaluation.strategies import require_regime
from omnimouse_cli.files import write_document
from omnimouse_cli.model.precision import resolve_precision
from omnimouse_cli.probing.behavior_state import StateName, describe_state
from omnimouse_cli.probing.movie import Movie, describe_movie, require_frames_first, with_checksum
from omnimouse_cli.probing.predict import (
    STRIDE_SAMPLES,
    Before,
    describe_context,
    iterate_movie,
    require_options,
)
from omnimouse_cli.probing.predict_behavior import BehaviorTrace, read_behavior
from omnimouse_cli.probing.predict_nwb import LAYOUT, module_name
from omnimouse_cli.probing.predict_output import (
    document_path,
    grow_arrays,
    neuron_arrays,
    output_paths,
    require_writer,
    write_arrays,
)
from omnimouse_cli.probing.predict_recorded import predict_recording, predictable_sessions
from omnimouse_cli.probing.session_model import (
    SCALED_UNIT,
    SessionModel,
    choose_sessions,
    find_shards,
)
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.load import LoadedRun, load_run, open_run_data
from omnimouse_cli.shard import Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionJob:
    """Runs, sessions and files of predictions.

    Args:
        runs: Folders of runs, several as an ensemble.
        path: File of the predictions; of several sessions each has `NAME.SESSION.npz`.
        device: Where the model computes.
        session: Session key; None takes all sessions that the runs have in common.
        animal: Animal key, to predict all sessions of one animal.
        shards: Folder of shards; None takes that of the first run.
        allow_other_data: Whether the shards may hold other data than those of the training.
        scaled: Whether responses stay in standard deviations and behavior in z-scores.
        force: Whether existing files are overwritten.
    """

    runs: Sequence[Path]
    path: Path
    device: torch.device
    session: str | None = None
    animal: str | None = None
    shards: Path | None = None
    allow_other_data: bool = False
    scaled: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MovieOptions:
    """How responses to a movie are predicted.

    Args:
        behavior: CSV file of behavior during the movie; None takes `state`.
        state: Constant behavior: `median`, `mean` or `missing`; None takes `median` of sessions
            with a shard and `mean` of others.
        before: The screen before the movie: `grey`, `first` or a grey level.
        stride_samples: Distance of windows in samples of 1/30 s.
    """

    behavior: Path | None = None
    state: str | None = None
    before: Before = "grey"
    stride_samples: int = STRIDE_SAMPLES


def write_movie_predictions(
    movie: Movie, job: PredictionJob, options: MovieOptions, reporter: Reporter
) -> list[dict[str, Any]]:
    """Predict the responses of sessions to a movie and write them, a file for each session.

    Memory does not depend on the length of the movie; while a file is written, its folder holds the
    responses of the session twice.

    Args:
        movie: The movie.
        job: Runs, sessions and files.
        options: Behavior, the screen before the movie, and the stride of windows.
        reporter: Receives progress, and a line for each thing that was assumed or converted.

    Returns:
        The JSON document of each session.

    Raises:
        OmniMouseError: Runs, sessions, options, behavior or files cannot be used, which is checked
            before the first prediction; a frame cannot be read; or the disk is full.
    """
    require_writer(job.path)
    require_options(options.before, options.stride_samples)
    runs = [load_run(folder) for folder in job.runs]
    keys = _choose(runs, job)
    dataset = find_shards(runs[0], job.shards, reporter, allow_other_data=job.allow_other_data)
    models = _session_models(runs, keys, dataset, job=job, options=options, reporter=reporter)
    require_frames_first(movie, models[0].frame_shape)
    paths = output_paths(job.path, [model.session for model in models], force=job.force)
    for line in describe_movie(movie, models[0].frame_shape):
        reporter.say(line)
    reporter.say(describe_context(options.before, options.stride_samples))
    # All files are read before the first prediction, which may take long.
    traces = [_read_behavior(model, movie, options.behavior) for model in models]
    documents: list[dict[str, Any]] = []
    for model, behavior in zip(models, traces, strict=True):
        reporter.say(f"{model.session}: {describe_behavior(model, behavior)}")
        with explain_interruption(lambda: _describe_kept(documents)):
            documents.append(
                _write_movie(
                    paths[model.session],
                    model,
                    movie,
                    behavior,
                    options=options,
                    job=job,
                    reporter=reporter,
                )
            )
    return documents


def write_recorded_predictions(
    job: PredictionJob, options: EvalOptions, reporter: Reporter
) -> list[dict[str, Any]]:
    """Predict recorded windows and write predictions beside what was measured.

    Args:
        job: Runs, sessions and files.
        options: As `predict_recording` takes them.
        reporter: Receives progress.

    Returns:
        The JSON document of each session; its `predictions` lists what the arrays hold.

    Raises:
        OmniMouseError: As `predict_recording` raises it, or the disk is full.
    """
    require_writer(job.path)
    require_regime(options.regime)
    runs = [load_run(folder) for folder in job.runs]
    dataset = open_run_data(runs[0], job.shards, reporter, allow_other_data=job.allow_other_data)
    keys = predictable_sessions(runs, dataset, _choose(runs, job), options, reporter)
    paths = output_paths(job.path, keys, force=job.force)
    documents: list[dict[str, Any]] = []
    for key in keys:
        with explain_interruption(lambda: _describe_kept(documents)):
            documents.append(
                _write_recorded(
                    paths[key], runs, dataset, key, options=options, job=job, reporter=reporter
                )
            )
    return documents


def _choose(runs: Sequence[LoadedRun], job: PredictionJob) -> list[str]:
    """Return the keys of the chosen sessions that every run has."""
    chosen = [choose_sessions(run, session=job.session, animal=job.animal) for run in runs]
    keys = [key for key in chosen[0] if all(key in others for others in chosen)]
    if not keys:
        raise OmniMouseError(
            f"no session is in all of {', '.join(str(run.folder) for run in runs)}",
            hint="an ensemble has runs of the same sessions that differ in their seed",
        )
    return keys


def _session_models(
    runs: Sequence[LoadedRun],
    keys: Sequence[str],
    dataset: Dataset | None,
    *,
    job: PredictionJob,
    options: MovieOptions,
    reporter: Reporter,
) -> list[SessionModel]:
    """Return one model per session; sessions without a screen are left out if others have one."""
    stored = {} if dataset is None else {one.key: one for one in dataset.sessions}
    screenless = [key for key in keys if key in stored and stored[key].frame_shape is None]
    if 0 < len(screenless) < len(keys):
        reporter.warn(f"sessions without a screen are left out: {', '.join(screenless)}")
        keys = [key for key in keys if key not in screenless]
    if missing := [key for key in keys if key not in stored]:
        reporter.warn(
            f"no shard of {', '.join(missing)} was found: responses are in {SCALED_UNIT} (--shards)"
        )
    return [
        SessionModel(
            runs,
            key,
            dataset=dataset if key in stored else None,
            device=job.device,
            state=cast("StateName | None", options.state),
        )
        for key in keys
    ]


def _read_behavior(model: SessionModel, movie: Movie, path: Path | None) -> BehaviorTrace | None:
    if path is None:
        return None
    if model.shard is None:
        raise OmniMouseError(
            f"{path} needs the shard of session {model.session}, whose mean and standard deviation "
            "scale it",
            hint="name the folder of the shards: --shards FOLDER",
        )
    trace = read_behavior(path, model.channels, model.shard)
    trace.require_span(movie.num_frames / movie.fps)
    return trace


def _write_movie(
    path: Path,
    model: SessionModel,
    movie: Movie,
    behavior: BehaviorTrace | None,
    *,
    options: MovieOptions,
    job: PredictionJob,
    reporter: Reporter,
) -> dict[str, Any]:
    movie, checksum = with_checksum(movie)
    with grow_arrays(path) as grown:
        num_samples = 0
        for block in iterate_movie(
            model,
            movie,
            behavior=behavior,
            before=options.before,
            stride_samples=options.stride_samples,
            scaled=job.scaled,
            reporter=reporter,
        ):
            grown.append("responses", block.mean(axis=0))
            if len(block) > 1:
                grown.append("std", block.std(axis=0, ddof=1))
            num_samples += block.shape[1]
        document = {
            **_describe_runs(path, model.runs, model.session, model.shard, job),
            "units": SCALED_UNIT if job.scaled else model.unit.name,
            "neurons": model.num_neurons,
            "samples": num_samples,
            "sample_rate_hz": RESPONSE_RATE_HZ,
            "movie": {
                "source": movie.source,
                "frames": movie.num_frames,
                "sha256": checksum(),
                "fps": movie.fps,
                "fps_is_given": movie.fps_is_given,
                "fps_used": FRAME_RATE_HZ,
                "size": movie.frame_shape,
                "size_used": model.frame_shape,
                "steps": describe_movie(movie, model.frame_shape),
            },
            "context": {
                "rule": describe_context(options.before, options.stride_samples),
                "before": options.before,
                "stride_samples": options.stride_samples,
            },
            "behavior": {
                "rule": describe_behavior(model, behavior),
                "channels": model.channels,
                "z_scores": model.state.values if behavior is None else None,
            },
        }
        arrays = {
            **grown.arrays(),
            "time_seconds": np.arange(num_samples) / RESPONSE_RATE_HZ,
            **neuron_arrays(model.num_neurons, model.shard),
        }
        write_arrays(path, arrays, document)
    write_document(document_path(path), "predict", document)
    return document


def describe_behavior(model: SessionModel, behavior: BehaviorTrace | None) -> str:
    """Return a sentence about the behavior during a movie."""
    if behavior is None:
        return describe_state(model.state)
    return f"behavior is that of {behavior.source}, by sample-and-hold at 20 Hz"


def _write_recorded(
    path: Path,
    runs: Sequence[LoadedRun],
    dataset: Dataset,
    session: str,
    *,
    options: EvalOptions,
    job: PredictionJob,
    reporter: Reporter,
) -> dict[str, Any]:
    shard = dataset.session(session).shard
    with grow_arrays(path) as grown:
        predictions = []
        for prediction in predict_recording(
            runs, dataset, session, options=options, scaled=job.scaled, reporter=reporter
        ):
            for array, values in prediction.arrays().items():
                grown.append(f"{prediction.name}/{array}", values)
            predictions.append(
                {
                    "name": prediction.name,
                    "module": module_name(prediction.name) if path.suffix == ".nwb" else None,
                    "strategy": prediction.strategy,
                    "regime": prediction.regime,
                    "draw": prediction.draw,
                    "target": prediction.target,
                    "units": prediction.units if prediction.channels else prediction.units[0],
                    "channels": prediction.channels or None,
                    "outputs": prediction.predicted.shape[1],
                    "samples": len(prediction.predicted),
                    "scored_samples": int(prediction.scored.sum()),
                }
            )
        num_neurons = shard.description.responses.num_neurons
        document = {
            **_describe_runs(path, runs, session, shard, job),
            "neurons": num_neurons,
            "origin_seconds": shard.description.origin_seconds,
            "layout": LAYOUT if path.suffix == ".nwb" else None,
            # The shards of this session are a field of their own.
            "options": {key: one for key, one in asdict(options).items() if key != "shards"},
            "predictions": predictions,
        }
        write_arrays(path, {**grown.arrays(), **neuron_arrays(num_neurons, shard)}, document)
    write_document(document_path(path), "predict", document)
    return document


def _describe_runs(
    path: Path, runs: Sequence[LoadedRun], session: str, shard: Shard | None, job: PredictionJob
) -> dict[str, Any]:
    first, source = runs[0], None
    if shard is not None:
        source = {"path": shard.path.parent, "fingerprint": shard.description.fingerprint}
    return {
        "run": first.folder.name,
        "runs": [
            {
                "run": run.folder.name,
                "model": run.config.model.size,
                "step": run.step,
                "seed": run.config.seed,
            }
            for run in runs
        ],
        "session": session,
        "animal": first.animal_of(session),
        "file": path.name,
        "shards": source,
        "device": job.device.type,
        "precision": resolve_precision(first.config.train.precision, job.device.type),
        "omnimouse": importlib.metadata.version("omnimouse"),
    }


def _describe_kept(documents: Sequence[Mapping[str, Any]]) -> str:
    """Return which of the files are complete after an interruption."""
    written = ", ".join(document["file"] for document in documents)
    return f"complete: {written}; run the same command again" if written else NOTHING_WRITTEN
