"""Shows stimuli to the neurons of a session and measures their receptive fields and tuning."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.probe.receptive_field import (
    ReceptiveMap,
    fit_gaussians,
    map_by_gradient,
    map_by_noise,
)
from omnimouse_cli.probe.scores import NeuronScores
from omnimouse_cli.probe.session_model import WINDOWS_AT_ONCE, SessionModel
from omnimouse_cli.probe.session_probe import MapName, ReceptiveFields, SessionProbe, keep_known
from omnimouse_cli.probe.settings import ProbeOptions
from omnimouse_cli.probe.stimuli import (
    Gratings,
    full_screen_gratings,
    make_blank,
    make_gratings,
    natural_windows,
    sparse_noise,
)
from omnimouse_cli.probe.tuning import (
    ContrastTuning,
    DirectionTuning,
    PeakTuning,
    SizeTuning,
    row_correlation,
    tune_contrast,
    tune_direction,
    tune_peak,
    tune_size,
)
from omnimouse_cli.recording.recording import Monitor
from omnimouse_cli.reporter import Reporter, Silent

# G parts (runs, or phases of one run), R runs, N neurons, D directions, F spatial and H temporal
# frequencies, P phases, C conditions

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GratingTuning:
    """Tuning measured with full-screen gratings of every direction and frequency.

    Args:
        orientation: Tuning for direction at the preferred frequencies.
        spatial: Tuning for spatial frequency.
        temporal: Tuning for temporal frequency.
        reliability: Reliability of each of the three, by property.
        modulation: float64 `(neurons,)`: standard deviation of the response over gratings, in
            standard deviations of the recorded response.
    """

    orientation: DirectionTuning
    spatial: PeakTuning
    temporal: PeakTuning
    reliability: Mapping[str, F64]
    modulation: F64


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
        scores: Prediction scores, which say which neurons are given numbers; None decides by the
            model's own modulation.
        options: Stimuli and thresholds; None takes the defaults.
        reporter: Shows progress.

    Raises:
        OmniMouseError: A neuron does not exist.
    """
    options, reporter = options or ProbeOptions(), reporter or Silent()
    columns = _columns(model, neurons)
    blank = make_blank(model.frame_shape, model.mean_grey)
    grey_RN = model.mean_responses(blank)[:, 0, columns].astype(np.float64)
    gratings = measure_gratings(model, columns, grey_RN, options, reporter)
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
    size, contrast, runs_reliability = _own_stimuli(
        model,
        columns,
        grey_RN,
        gratings,
        center_px=field.fit.center_px,
        reliable=reliable,
        options=options,
        reporter=reporter,
    )
    reliability = {
        "receptive_field": field.maps[field.reported].reliability,
        **gratings.reliability,
        **runs_reliability,
    }
    known = {
        name: reliable & ~(values < options.min_reliability) for name, values in reliability.items()
    }
    known["receptive_field"] &= field.fit.snr >= options.min_snr
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
        grey_response=grey_RN.mean(axis=0),
        notes=notes,
    )


def _columns(model: SessionModel, neurons: Sequence[int] | None) -> I64:
    if neurons is None:
        return np.arange(model.num_neurons)
    columns = np.array(list(dict.fromkeys(neurons)), np.int64)
    wrong = columns[(columns < 0) | (columns >= model.num_neurons)]
    if len(wrong) or not len(columns):
        raise OmniMouseError(
            f"session {model.session} has no neuron {wrong[0]}"
            if len(wrong)
            else "no neuron was named",
            hint=f"its neurons are 0 to {model.num_neurons - 1}",
        )
    return columns


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


def respond(
    model: SessionModel,
    gratings: Gratings,
    neurons: I64 | None = None,
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> F64:
    """Return the responses to gratings: float64 `(runs, stimuli, neurons)`.

    Args:
        model: The neurons.
        gratings: The stimuli.
        neurons: int64 `(stimuli, neurons)`: columns that are predicted for each stimulus; None
            takes all.
        advance: Called with the number of stimuli that were shown.
    """
    parts = []
    for first in range(0, len(gratings), WINDOWS_AT_ONCE):
        rows = slice(first, first + WINDOWS_AT_ONCE)
        frames = make_gratings(gratings.take(rows), model.frame_shape, model.mean_grey)
        parts.append(model.mean_responses(frames, None if neurons is None else neurons[rows]))
        advance(len(frames))
    return np.concatenate(parts, axis=1).astype(np.float64)


def measure_gratings(
    model: SessionModel, columns: I64, grey_RN: F64, options: ProbeOptions, reporter: Reporter
) -> GratingTuning:
    """Measure the tuning for direction, spatial and temporal frequency on all combinations.

    The preferred frequencies are those of the grating with the largest response, and the tuning
    for direction is that of gratings with these frequencies.

    Args:
        model: The neurons.
        columns: int64 `(neurons,)`.
        grey_RN: float64 `(runs, neurons)`: responses to grey.
        options: Directions, frequencies, phases and contrast.
        reporter: Shows progress.
    """
    gratings = full_screen_gratings(
        directions_deg=options.directions_deg,
        spatial_frequencies=options.spatial_frequencies,
        temporal_frequencies=options.temporal_frequencies,
        phases_deg=options.phases_deg,
        contrast=options.contrast,
        frame_shape=model.frame_shape,
    )
    task = f"gratings, session {model.session}"
    reporter.start(task, len(gratings))
    responses = respond(model, gratings, advance=lambda count: reporter.advance(task, count))
    reporter.finish(task)
    shape = (
        options.directions,
        len(options.spatial_frequencies),
        len(options.temporal_frequencies),
        options.phases,
        len(columns),
    )
    evoked = (responses[:, :, columns] - grey_RN[:, None]).reshape(-1, *shape)
    parts_GDFHN = evoked.mean(axis=4) if len(evoked) > 1 else np.moveaxis(evoked[0], 3, 0)
    mean_DFHN = parts_GDFHN.mean(axis=0)
    num_temporal, num_neurons = mean_DFHN.shape[2:]
    best_N = mean_DFHN.max(axis=0).reshape(-1, num_neurons).argmax(axis=0)
    spatial_N, temporal_N = np.divmod(best_N, num_temporal)
    row_N = np.arange(num_neurons)
    directions_GND = np.moveaxis(parts_GDFHN[:, :, spatial_N, temporal_N, row_N], 2, 1)
    curve_ND = directions_GND.mean(axis=0)
    best_direction_N = curve_ND.argmax(axis=1)
    spatial_GNF = np.moveaxis(parts_GDFHN[:, best_direction_N, :, temporal_N, row_N], 0, 1)
    temporal_GNH = np.moveaxis(parts_GDFHN[:, best_direction_N, spatial_N, :, row_N], 0, 1)
    scale_N = np.abs(model.unit.scale[columns])
    return GratingTuning(
        orientation=tune_direction(curve_ND),
        spatial=tune_peak(np.array(options.spatial_frequencies), spatial_GNF.mean(axis=0)),
        temporal=tune_peak(np.array(options.temporal_frequencies), temporal_GNH.mean(axis=0)),
        reliability={
            "orientation": pairwise_correlation(directions_GND),
            "spatial_frequency": pairwise_correlation(spatial_GNF),
            "temporal_frequency": pairwise_correlation(temporal_GNH),
        },
        modulation=mean_DFHN.reshape(-1, num_neurons).std(axis=0) / scale_N,
    )


def pairwise_correlation(curves_GNC: F64) -> F64:
    """Return the mean correlation of each neuron's curves between parts; NaN of one part.

    Args:
        curves_GNC: float64 `(parts, neurons, conditions)`.
    """
    pairs = list(itertools.combinations(range(len(curves_GNC)), 2))
    if not pairs or curves_GNC.shape[2] < 2:
        return np.full(curves_GNC.shape[1], np.nan)
    found = [row_correlation(curves_GNC[first], curves_GNC[second]) for first, second in pairs]
    return np.asarray(np.mean(found, axis=0))


def _sources(model: SessionModel, reported: MapName) -> dict[str, str]:
    """Return what the halves are of which reliabilities are correlations."""
    several = len(model.runs) > 1
    grid = "runs of the ensemble" if several else "phases of the gratings"
    own = "runs of the ensemble" if several else "unknown: one run, one phase"
    windows = "natural windows" if reported == "gradient" else "windows of noise"
    return {
        "receptive_field": f"halves of the {windows}",
        "orientation": grid,
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
    notes = []
    if options.gradient_windows and reliable.any():
        config, count = model.runs[0].config.data, options.gradient_windows
        video = np.empty((0, 0, 0, 0), np.float32)
        if dataset is not None:
            video = natural_windows(dataset, config, model.session, count=count, seed=options.seed)
            notes.append(
                f"gradients are averaged over {len(video)} windows of the tiers "
                f"{', '.join(config.tiers)}"
            )
        if not len(video):
            grey = noise.frames(0, count)
            video = model.scale_frames(torch.from_numpy(grey)).cpu().numpy()
            notes[-1:] = [f"gradients are averaged over {len(video)} windows of sparse noise"]
        found = map_by_gradient(model, video, columns[reliable], reporter)
        maps["gradient"] = _spread(found, reliable)
    reported: MapName = "gradient" if "gradient" in maps else "noise"
    fits = {name: fit_gaussians(one) for name, one in maps.items()}
    return ReceptiveFields(reported=reported, fits=fits, maps=maps), tuple(notes)


def _spread(found: ReceptiveMap, chosen: Bools) -> ReceptiveMap:
    """Return the map of chosen neurons as one of all; the others have maps of 0."""
    values = np.zeros((len(chosen), *found.values.shape[1:]))
    values[chosen] = found.values
    reliability = np.full(len(chosen), np.nan)
    reliability[chosen] = found.reliability
    return replace(found, values=values, reliability=reliability)


def _own_stimuli(
    model: SessionModel,
    columns: I64,
    grey_RN: F64,
    tuning: GratingTuning,
    *,
    center_px: F64,
    reliable: Bools,
    options: ProbeOptions,
    reporter: Reporter,
) -> tuple[SizeTuning, ContrastTuning, dict[str, F64]]:
    """Show each reliable neuron its preferred grating in discs and annuli, and at all contrasts.

    Discs and annuli lie about its receptive field; contrast is varied on the whole screen.

    Returns:
        Both tunings of all neurons, those that were not shown anything with NaN, and their
        reliability.
    """
    direction_N = tuning.orientation.direction_deg
    shown_K = np.flatnonzero(
        reliable & np.isfinite(center_px).all(axis=1) & np.isfinite(direction_N)
    )
    diameters, inner = np.array(options.diameters), np.array(options.inner_diameters)
    contrasts = np.array(options.contrasts)
    num_discs, num_sizes = len(diameters), len(diameters) + len(inner)
    # One row per condition: outer and inner diameter, contrast.
    conditions = np.concatenate(
        [
            [(outer, 0.0, options.contrast) for outer in diameters],
            [(diameters[-1], each, options.contrast) for each in inner],
            [(np.inf, 0.0, each) for each in contrasts],
        ]
    )
    num_conditions, num_shown = len(conditions), len(shown_K)
    rows = np.tile(shown_K, num_conditions)
    outer_S, inner_S, contrast_S = np.repeat(conditions, num_shown, axis=0).T
    gratings = Gratings(
        direction_deg=direction_N[rows],
        cycles_per_pixel=tuning.spatial.preferred[rows],
        hz=tuning.temporal.preferred[rows],
        phase_deg=np.zeros(len(rows)),
        contrast=contrast_S,
        center_px=center_px[rows],
        outer_px=outer_S,
        inner_px=inner_S,
    )
    curves_RNC = np.full((len(model.runs), len(columns), num_conditions), np.nan)
    if num_shown:
        task = f"sizes and contrasts, session {model.session}"
        reporter.start(task, len(rows))
        responses = respond(
            model,
            gratings,
            columns[rows, None],
            advance=lambda count: reporter.advance(task, count),
        )
        reporter.finish(task)
        evoked_RCK = responses.reshape(-1, num_conditions, num_shown) - grey_RN[:, None, shown_K]
        curves_RNC[:, shown_K] = np.moveaxis(evoked_RCK, 1, 2)
    mean_NC = curves_RNC.mean(axis=0)
    size = tune_size(diameters, mean_NC[:, :num_discs], inner, mean_NC[:, num_discs:num_sizes])
    contrast = tune_contrast(contrasts, mean_NC[:, num_sizes:])
    reliability = {
        "size": pairwise_correlation(curves_RNC[:, :, :num_discs]),
        "contrast": pairwise_correlation(curves_RNC[:, :, num_sizes:]),
    }
    return size, contrast, reliability
