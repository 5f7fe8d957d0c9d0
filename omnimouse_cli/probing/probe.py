"""Measures receptive fields and tuning of the neurons of a session on parametric stimuli."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.probing.gratings import (
    measure_contrasts,
    measure_gratings,
    measure_in_discs,
    measure_sizes,
    start_experiment,
)
from omnimouse_cli.probing.receptive_field import (
    ReceptiveMap,
    fit_gaussians,
    map_by_gradient,
    map_by_noise,
)
from omnimouse_cli.probing.scores import NeuronScores
from omnimouse_cli.probing.session_model import SessionModel, require_neurons
from omnimouse_cli.probing.session_probe import MapName, ReceptiveFields, SessionProbe, keep_known
from omnimouse_cli.probing.settings import ProbeOptions
from omnimouse_cli.probing.stimuli import SparseNoise, natural_windows, sparse_noise
from omnimouse_cli.recording.recording import Monitor
from omnimouse_cli.reporter import Reporter, Silent
from omnimouse_cli.text import pluralize

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]


def probe(
    model: SessionModel,
    *,
    dataset: Dataset | None = None,
    neurons: Sequence[int] | None = None,
    scores: NeuronScores | None = None,
    options: ProbeOptions | None = None,
    reporter: Reporter | None = None,
) -> SessionProbe:
    """Measure receptive fields and tuning of neurons on parametric stimuli.

    Args:
        model: The neurons: one run or an ensemble, in a state of behavior.
        dataset: Shards with the session: their trials give natural windows for gradients, and the
            monitor. Without them gradients are taken at noise.
        neurons: Columns of the recording; None takes all.
        scores: Prediction scores, by which neurons are given numbers; None takes the modulation of
            the predicted responses instead.
        options: Stimuli and thresholds; None takes the defaults.
        reporter: Shows progress.

    Raises:
        OmniMouseError: A neuron does not exist.
    """
    options, reporter = options or ProbeOptions(), reporter or Silent()
    if neurons is None:
        neurons = range(model.num_neurons)
    columns = require_neurons(neurons, model.num_neurons, model.session)
    experiment = start_experiment(model, columns, options, reporter)
    gratings = measure_gratings(experiment)
    if scores is None:
        score, least = gratings.modulation, options.min_modulation
        source = (
            "no evaluation with scores of `predict` was found: standard deviation of the model's "
            "response over gratings, in standard deviations of the recorded response"
        )
    else:
        score, least, source = scores.values[columns], options.min_score, scores.source
    reliable = np.nan_to_num(score, nan=-np.inf) >= least
    field, notes = _receptive_fields(
        model, dataset, columns, reliable=reliable, options=options, reporter=reporter
    )
    fit, one_map = field.fit, field.maps[field.reported]
    located = reliable & (fit.snr >= options.min_snr)
    located &= ~(one_map.reliability < options.min_reliability)
    if not one_map.is_energy:
        located &= fit.explained >= options.min_explained
    # Discs are larger than the error of a center, so that a less certain receptive field suffices.
    centered = reliable & np.isfinite(fit.center_px).all(axis=1)
    gratings = measure_in_discs(experiment, gratings, fit.center_px, centered)
    size, size_reliability = measure_sizes(experiment, gratings, fit.center_px, located)
    contrast, contrast_reliability = measure_contrasts(experiment, gratings, reliable)
    reliability = {
        "receptive_field": one_map.reliability,
        **gratings.reliability,
        "size": size_reliability,
        "contrast": contrast_reliability,
    }
    known = {
        name: reliable & ~(values < options.min_reliability) for name, values in reliability.items()
    }
    known["receptive_field"] = located
    known["size"] &= located
    info = None if dataset is None else dataset.session(model.session)
    unit_id = None if info is None else info.shard.unit_id
    screen = None if info is None else info.shard.description.screen
    return SessionProbe(
        session=model.session,
        runs=tuple(str(run.folder) for run in model.runs),
        state=model.state,
        unit=model.unit.name,
        options=options,
        frame_shape=model.frame_shape,
        mean_grey=model.mean_grey,
        degrees_per_pixel=None
        if screen is None
        else degrees_per_pixel(screen.monitor, model.frame_shape),
        neuron=columns,
        unit_id=None if unit_id is None else unit_id[columns],
        score=score,
        score_source=source,
        least_score=least,
        reliable=reliable,
        known=known,
        reliability=reliability,
        reliability_source=_sources(model, field.reported),
        receptive_field=ReceptiveFields(
            reported=field.reported,
            fits={
                name: keep_known(fit, known["receptive_field"]) for name, fit in field.fits.items()
            },
            maps=field.maps,
        ),
        orientation=keep_known(gratings.orientation, known["orientation"]),
        spatial_frequency=keep_known(gratings.spatial, known["spatial_frequency"]),
        temporal_frequency=keep_known(gratings.temporal, known["temporal_frequency"]),
        size=keep_known(size, known["size"]),
        contrast=keep_known(contrast, known["contrast"]),
        in_disc=gratings.in_disc,
        grey_response=experiment.grey.mean(axis=0),
        notes=notes,
    )


def degrees_per_pixel(monitor: Monitor | None, frame_shape: tuple[int, int]) -> float | None:
    """Return the visual angle of a pixel at the center of the screen; None where it is not known.

    Example:
        >>> monitor = Monitor(policy="the monitor", width_cm=64.0, distance_cm=57.3)
        >>> round(degrees_per_pixel(monitor, (36, 64)), 2)
        1.0
    """
    if monitor is None or monitor.width_cm is None or monitor.distance_cm is None:
        return None
    return float(np.rad2deg(np.arctan(monitor.width_cm / frame_shape[1] / monitor.distance_cm)))


def _sources(model: SessionModel, reported: MapName) -> dict[str, str]:
    """Return, by property, the halves that its reliability correlates."""
    several = len(model.runs) > 1
    grid = "runs of the ensemble" if several else "phases of the gratings"
    disc = grid if several else "gratings in a disc and on the screen, or phases on the screen"
    own = "runs of the ensemble" if several else "unknown: one run, one phase"
    windows = "natural windows" if reported == "gradient" else "windows of noise"
    return {
        "receptive_field": f"halves of the {windows}",
        "orientation": disc,
        "spatial_frequency": grid,
        "temporal_frequency": grid,
        "size": own,
        "contrast": own,
    }


def _receptive_fields(
    model: SessionModel,
    dataset: Dataset | None,
    columns: I64,
    *,
    reliable: Bools,
    options: ProbeOptions,
    reporter: Reporter,
) -> tuple[ReceptiveFields, tuple[str, ...]]:
    noise = sparse_noise(
        options.noise_windows,
        model.frame_shape,
        mean=model.mean_grey,
        square_px=options.square_px,
        seed=options.seed,
    )
    maps: dict[MapName, ReceptiveMap] = {"noise": map_by_noise(model, noise, columns, reporter)}
    notes: tuple[str, ...] = ()
    if options.gradient_windows and reliable.any():
        video, source = _gradient_windows(model, dataset, noise, options)
        notes = (f"gradients are averaged over {pluralize(len(video), 'window')} of {source}",)
        found = map_by_gradient(model, video, columns[reliable], reporter)
        maps["gradient"] = _spread(found, reliable)
    reported: MapName = "gradient" if "gradient" in maps else "noise"
    fits = {name: fit_gaussians(one) for name, one in maps.items()}
    return ReceptiveFields(reported=reported, fits=fits, maps=maps), notes


def _gradient_windows(
    model: SessionModel, dataset: Dataset | None, noise: SparseNoise, options: ProbeOptions
) -> tuple[F32, str]:
    """Return scaled windows of natural video, or else of noise, and what they are."""
    config, count = model.runs[0].config.data, options.gradient_windows
    if dataset is not None:
        video = natural_windows(dataset, config, model.session, count=count, seed=options.seed)
        if len(video):
            return video, f"the tiers {', '.join(config.tiers)}"
    frames = torch.from_numpy(noise.frames(0, count))
    return model.scale_frames(frames).cpu().numpy(), "sparse noise"


def _spread(found: ReceptiveMap, chosen: Bools) -> ReceptiveMap:
    """Return maps of all neurons from those of the chosen ones; the others are 0."""
    values = np.zeros((len(chosen), *found.values.shape[1:]))
    values[chosen] = found.values
    reliability = np.full(len(chosen), np.nan)
    reliability[chosen] = found.reliability
    return replace(found, values=values, reliability=reliability)
