"""Responses of a model's neurons to gratings: full-screen, in discs and annuli, by contrast."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.probing.session_model import WINDOWS_AT_ONCE, SessionModel
from omnimouse_cli.probing.settings import ProbeOptions
from omnimouse_cli.probing.stimuli import (
    Gratings,
    full_screen_gratings,
    make_blank,
    make_gratings,
)
from omnimouse_cli.probing.tuning import (
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
from omnimouse_cli.reporter import Reporter, Silent

# G parts (runs, or phases of one run), R runs, N neurons, K some of them, D directions, F spatial
# and H temporal frequencies, C conditions, S stimuli

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Experiment:
    """Neurons to which stimuli are shown.

    Args:
        model: The neurons of the session.
        columns: int64 `(neurons,)`: those that are measured.
        grey: float64 `(runs, neurons)`: their responses to a grey screen.
        options: The stimuli.
        reporter: Shows progress.
    """

    model: SessionModel
    columns: I64
    grey: F64
    options: ProbeOptions
    reporter: Reporter

    def show(self, name: str, gratings: Gratings, neurons: I64 | None = None) -> F64:
        """Return the responses to gratings: float64 `(runs, stimuli, neurons)`.

        Args:
            name: What is shown, for the progress.
            gratings: The stimuli.
            neurons: int64 `(stimuli, neurons)`: columns that are predicted for each stimulus; None
                takes `columns` for every stimulus.
        """
        if neurons is None:
            neurons = np.tile(self.columns, (len(gratings), 1))
        task = f"{name}, session {self.model.session}"
        self.reporter.start(task, len(gratings))
        responses = respond(
            self.model, gratings, neurons, advance=lambda count: self.reporter.advance(task, count)
        )
        self.reporter.finish(task)
        return responses


def start_experiment(
    model: SessionModel, columns: I64, options: ProbeOptions, reporter: Reporter | None = None
) -> Experiment:
    """Show a grey screen to neurons.

    Args:
        model: The neurons of the session.
        columns: int64 `(neurons,)`: those that are measured.
        options: The stimuli.
        reporter: Shows progress.
    """
    blank = make_blank(model.frame_shape, model.mean_grey)
    return Experiment(
        model=model,
        columns=columns,
        grey=model.mean_responses(blank, columns[None])[:, 0].astype(np.float64),
        options=options,
        reporter=reporter or Silent(),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GratingTuning:
    """Tuning measured with full-screen gratings of every direction and frequency.

    Args:
        orientation: Tuning for direction at the preferred frequencies.
        spatial: Tuning for spatial frequency.
        temporal: Tuning for temporal frequency.
        in_disc: Bool `(neurons,)`: whether `orientation` was measured with gratings in a disc about
            the receptive field; False where they filled the screen.
        reliability: Reliability of each of the three, by property.
        modulation: float64 `(neurons,)`: standard deviation of the response over gratings, in
            standard deviations of the recorded response.
    """

    orientation: DirectionTuning
    spatial: PeakTuning
    temporal: PeakTuning
    in_disc: Bools
    reliability: Mapping[str, F64]
    modulation: F64


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


def measure_gratings(experiment: Experiment) -> GratingTuning:
    """Measure the tuning for direction, spatial and temporal frequency on all combinations.

    The preferred frequencies are those of the grating with the largest response, and the tuning
    for direction is that of gratings with these frequencies.

    Args:
        experiment: Neurons and stimuli.
    """
    model, columns, options = experiment.model, experiment.columns, experiment.options
    gratings = full_screen_gratings(
        directions_deg=options.directions_deg,
        spatial_frequencies=options.spatial_frequencies,
        temporal_frequencies=options.temporal_frequencies,
        phases_deg=options.phases_deg,
        contrast=options.contrast,
        frame_shape=model.frame_shape,
    )
    responses = experiment.show("gratings", gratings)
    shape = (
        options.directions,
        len(options.spatial_frequencies),
        len(options.temporal_frequencies),
        options.phases,
        len(columns),
    )
    evoked = (responses - experiment.grey[:, None]).reshape(-1, *shape)
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
        in_disc=np.zeros(num_neurons, np.bool_),
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


def measure_in_discs(
    experiment: Experiment, tuning: GratingTuning, center_px: F64, chosen: Bools
) -> GratingTuning:
    """Measure the tuning for direction with gratings in discs about receptive fields.

    Gratings that fill the screen drive what surrounds a receptive field, too. Frequencies are the
    best of those that filled the screen. Discs lie on a grid, and each neuron takes the nearest.

    Args:
        experiment: Neurons and stimuli.
        tuning: Tuning with gratings that filled the screen.
        center_px: float64 `(neurons, 2)`: centers of receptive fields.
        chosen: Bool `(neurons,)`: neurons that are measured; others keep the tuning that they
            have.

    Returns:
        The tuning with `orientation`, `in_disc` and the reliability of the orientation replaced.
        With one run it is the correlation of the curves in discs and on the screen.
    """
    options, rows_K = experiment.options, np.flatnonzero(chosen)
    if options.aperture_px is None or not len(rows_K):
        return tuning
    kinds_K3 = np.column_stack(
        [
            np.round(center_px[rows_K] / options.square_px) * options.square_px,
            tuning.spatial.axis[tuning.spatial.curve[rows_K].argmax(axis=1)],
            tuning.temporal.axis[tuning.temporal.curve[rows_K].argmax(axis=1)],
        ]
    )
    kinds, kind_K = np.unique(kinds_K3, axis=0, return_inverse=True)
    each = np.repeat(kinds, options.directions, axis=0)
    count = len(each)
    gratings = Gratings(
        direction_deg=np.tile(options.directions_deg, len(kinds)),
        cycles_per_pixel=each[:, 2],
        hz=each[:, 3],
        phase_deg=np.zeros(count),
        contrast=np.full(count, options.contrast),
        center_px=each[:, :2],
        outer_px=np.full(count, options.aperture_px),
        inner_px=np.zeros(count),
    )
    responses = experiment.show("gratings in discs", gratings)
    by_kind = responses.reshape(len(responses), len(kinds), options.directions, -1)
    # Of every neuron, the stimuli of its kind: (neurons, runs, directions).
    own_KRD = by_kind[:, kind_K.ravel(), :, rows_K]
    own_RKD = np.moveaxis(own_KRD, 1, 0) - experiment.grey[:, rows_K, None]
    curve_ND = tuning.orientation.curve.copy()
    between_K = pairwise_correlation(own_RKD)
    if len(own_RKD) == 1:
        between_K = row_correlation(own_RKD[0], curve_ND[rows_K])
    reliability_N = tuning.reliability["orientation"].copy()
    reliability_N[rows_K] = between_K
    curve_ND[rows_K] = own_RKD.mean(axis=0)
    return replace(
        tuning,
        orientation=tune_direction(curve_ND),
        in_disc=chosen,
        reliability={**tuning.reliability, "orientation": reliability_N},
    )


def measure_sizes(
    experiment: Experiment, tuning: GratingTuning, center_px: F64, located: Bools
) -> tuple[SizeTuning, F64]:
    """Show neurons their preferred grating in discs and annuli about their receptive fields.

    Args:
        experiment: Neurons and stimuli.
        tuning: Preferred direction and frequencies.
        center_px: float64 `(neurons, 2)`: centers of receptive fields.
        located: Bool `(neurons,)`: neurons whose receptive field is known; others get NaN.

    Returns:
        The tuning, and its reliability.
    """
    options = experiment.options
    diameters, inner = np.array(options.diameters), np.array(options.inner_diameters)
    conditions = [(outer, 0.0, options.contrast) for outer in diameters]
    conditions += [(diameters[-1], each, options.contrast) for each in inner]
    curves_RNC = _show_own(
        experiment,
        tuning,
        center_px,
        chosen=located,
        conditions_C3=np.array(conditions),
        name="discs and annuli",
    )
    mean_NC, discs = curves_RNC.mean(axis=0), slice(0, len(diameters))
    size = tune_size(diameters, mean_NC[:, discs], inner, mean_NC[:, len(diameters) :])
    return size, pairwise_correlation(curves_RNC[:, :, discs])


def measure_contrasts(
    experiment: Experiment, tuning: GratingTuning, chosen: Bools
) -> tuple[ContrastTuning, F64]:
    """Show neurons their preferred grating on the whole screen at every contrast.

    Args:
        experiment: Neurons and stimuli.
        tuning: Preferred direction and frequencies.
        chosen: Bool `(neurons,)`: neurons that are measured; others get NaN.

    Returns:
        The tuning, and its reliability.
    """
    contrasts = np.array(experiment.options.contrasts)
    conditions = np.array([(np.inf, 0.0, each) for each in contrasts])
    center_px = np.zeros((len(chosen), 2))
    curves_RNC = _show_own(
        experiment, tuning, center_px, chosen=chosen, conditions_C3=conditions, name="contrasts"
    )
    return tune_contrast(contrasts, curves_RNC.mean(axis=0)), pairwise_correlation(curves_RNC)


def _show_own(
    experiment: Experiment,
    tuning: GratingTuning,
    center_px: F64,
    *,
    chosen: Bools,
    conditions_C3: F64,
    name: str,
) -> F64:
    """Return responses above those to grey, each neuron's to its own gratings: `(R, N, C)`.

    Args:
        experiment: Neurons and stimuli.
        tuning: Preferred direction and frequencies.
        center_px: float64 `(neurons, 2)`: centers of apertures.
        chosen: Bool `(neurons,)`: neurons that are shown anything; others get NaN.
        conditions_C3: float64 `(conditions, 3)`: outer and inner diameter, and contrast.
        name: What is shown, for the progress.
    """
    direction_N, columns = tuning.orientation.direction_deg, experiment.columns
    shown_K = np.flatnonzero(chosen & np.isfinite(direction_N))
    rows = np.tile(shown_K, len(conditions_C3))
    outer_S, inner_S, contrast_S = np.repeat(conditions_C3, len(shown_K), axis=0).T
    curves_RNC = np.full((len(experiment.grey), len(columns), len(conditions_C3)), np.nan)
    if not len(shown_K):
        return curves_RNC
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
    responses = experiment.show(name, gratings, columns[rows, None])
    evoked_RCK = responses.reshape(-1, len(conditions_C3), len(shown_K))
    evoked_RCK = evoked_RCK - experiment.grey[:, None, shown_K]
    curves_RNC[:, shown_K] = np.moveaxis(evoked_RCK, 1, 2)
    return curves_RNC
