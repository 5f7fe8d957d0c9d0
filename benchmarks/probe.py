"""How well `probe` recovers what is known of neurons: a simulated mouse, and measured gratings.

Of the simulated mouse the truth is known: centers, orientations, and the exact expected response to
any grating. In a recording with drifting gratings the tuning of the model is compared with the one
of the raw responses to the same gratings, trials of all tiers.
"""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import benchmark_parser, chosen_device, write_result
from measured_gratings import measured_trials, shown_grating, split_half
from numpy.typing import NDArray

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.probing.gratings import measure_gratings, respond, start_experiment
from omnimouse_cli.probing.probe import probe
from omnimouse_cli.probing.scores import NeuronScores, find_scores
from omnimouse_cli.probing.session_model import SessionModel
from omnimouse_cli.probing.session_probe import SessionProbe
from omnimouse_cli.probing.settings import ProbeOptions
from omnimouse_cli.probing.stimuli import full_screen_gratings
from omnimouse_cli.probing.tuning import DirectionTuning, angle_difference_deg, row_correlation
from omnimouse_cli.recording.simulated.expected import load_expected_response
from omnimouse_cli.recording.simulated.population import Population
from omnimouse_cli.recording.simulated.truth import Truth
from omnimouse_cli.run.load import LoadedRun, load_run, open_run_data
from omnimouse_cli.shard import Shard
from omnimouse_cli.shard.intervals import contains
from omnimouse_cli.shard.valid import trial_time

F64 = NDArray[np.float64]
# A neuron is direction-selective from this index of its exact response on.
SELECTIVE = 0.2
LEAST_SCORE, LEAST_SPLIT_HALF = 0.2, 0.5
# No choice is made on the test tier.
CEILING_TIER = "validation"


class ExactModel(SessionModel):
    """The simulator's own neurons, in the place of a model."""

    def __init__(self, model: SessionModel, recording: Path) -> None:
        self.runs, self.session, self.unit = model.runs[:1], model.session, model.unit
        self.state = model.state
        self.frame_shape, self.num_neurons = model.frame_shape, model.num_neurons
        self.exact = load_expected_response(recording)

    def mean_responses(
        self, grey_BTYX: NDArray[Any], neurons: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Return the exact expected responses, averaged as those of a model."""
        mean = self.exact(grey_BTYX)[..., 30:, :].mean(axis=-2)
        if neurons is not None:
            mean = np.take_along_axis(mean, neurons, axis=1)
        return mean[None].astype(np.float32)


def ceilings(truth: Truth, shard: Shard) -> F64:
    """Return the correlation of expected and simulated responses in the scored tier, by neuron."""
    clock = shard.description.responses.clock
    seconds = clock.start_seconds + np.arange(clock.num_samples) / clock.rate_hz
    rows = np.flatnonzero(contains(trial_time(shard, tier=CEILING_TIER), seconds))
    responses = shard.read_responses(0, clock.num_samples)[rows].astype(np.float64)
    return row_correlation(truth.expected_predict(rows).astype(np.float64).T, responses.T)


def probe_session(
    runs: list[LoadedRun],
    session: str,
    dataset: Dataset,
    options: ProbeOptions,
    device: torch.device,
) -> tuple[SessionModel, SessionProbe, float]:
    """Probe a session; return how long it took, too."""
    model = SessionModel(runs, session, dataset=dataset, device=device)
    scores = find_scores([run.folder for run in runs], session, model.num_neurons)
    began = time.perf_counter()
    found = probe(model, dataset=dataset, scores=scores, options=options)
    return model, found, time.perf_counter() - began


def study_simulated(
    runs: list[LoadedRun],
    dataset: Dataset,
    recordings: Path,
    options: ProbeOptions,
    device: torch.device,
) -> list[dict[str, Any]]:
    """Compare probes of all sessions with the truth."""
    results = []
    for session in (one.session for one in runs[0].sessions):
        model, found, seconds = probe_session(runs, session, dataset, options, device)
        exact = ExactModel(model, recordings / session)
        everyone = NeuronScores(values=np.ones(model.num_neurons), source="exact")
        truth = probe(exact, scores=everyone, options=replace(options, gradient_windows=0))
        ceiling = ceilings(exact.exact.truth, dataset.session(session).shard)
        chosen = found.score > ceiling / 2
        population = exact.exact.truth.population
        results.append(
            {
                "session": session,
                "seconds": seconds,
                "scores": found.score_source,
                "mean_score": float(np.nanmean(found.score)),
                "mean_ceiling": float(ceiling.mean()),
                "neurons": len(chosen),
                "above_half_of_ceiling": int(chosen.sum()),
                "receptive_field_by": found.receptive_field.reported,
                **compare_fields(found, population, chosen),
                **compare_tuning(found, truth, population, chosen),
                "exact_responses": compare_fields(truth, population, chosen),
            }
        )
        print(json.dumps(results[-1], indent=1), flush=True)
    return results


def compare_fields(
    found: SessionProbe, population: Population, chosen: NDArray[np.bool_]
) -> dict[str, Any]:
    """Return how receptive fields and orientations agree with those that were simulated."""
    center = np.stack([population.center_row, population.center_column], axis=1)
    fields = {}
    for method, fit in found.receptive_field.fits.items():
        here = chosen & np.isfinite(fit.center_px).all(axis=1)
        distance = np.linalg.norm(fit.center_px - center, axis=1)[here]
        fields[method] = {
            "neurons": int(here.sum()),
            "correlation_row": _correlation(fit.center_px[here, 0], center[here, 0]),
            "correlation_column": _correlation(fit.center_px[here, 1], center[here, 1]),
            "median_distance_px": float(np.median(distance)),
            "largest_distance_px": float(distance.max()),
            "median_size_px": float(np.median(fit.size_px[here])),
            "median_simulated_width_px": float(np.median(population.width[here])),
        }
    # Columns grow rightward and rows downward; bars are perpendicular to the wave vector.
    bars = (90 - np.rad2deg(population.orientation)) % 180
    here = chosen & np.isfinite(found.orientation.orientation_deg)
    error = angle_difference_deg(found.orientation.orientation_deg, bars, 180)[here]
    return {
        "receptive_fields": fields,
        "orientation_neurons": int(here.sum()),
        "orientation_median_error_deg": float(np.median(error)),
        "orientation_mean_error_deg": float(error.mean()),
    }


def compare_tuning(
    found: SessionProbe, truth: SessionProbe, population: Population, chosen: NDArray[np.bool_]
) -> dict[str, Any]:
    """Return how tuning agrees with that of the exact responses to the same stimuli."""
    model, exact = found.orientation, truth.orientation
    here = chosen & np.isfinite(model.orientation_deg)
    selective = here & (exact.dsi > SELECTIVE)
    side = angle_difference_deg(model.direction_deg, exact.direction_deg, 360)
    # With a positive direction selectivity, neurons prefer motion against the wave vector.
    opposite = (180 - np.rad2deg(population.orientation)) % 360
    by_rule = angle_difference_deg(exact.direction_deg, opposite, 360)
    pairs = {
        "spatial_frequency": (found.spatial_frequency.preferred, truth.spatial_frequency.preferred),
        "temporal_frequency": (
            found.temporal_frequency.preferred,
            truth.temporal_frequency.preferred,
        ),
        "preferred_diameter": (found.size.preferred_px, truth.size.preferred_px),
        "half_contrast": (found.contrast.half, truth.contrast.half),
        "spatial_frequency_and_wavelength": (
            found.spatial_frequency.preferred,
            1 / population.wavelength,
        ),
    }
    step = float(np.diff(np.log2(found.spatial_frequency.axis)).max()) + 1e-9
    result: dict[str, Any] = {
        "direction_selective": int(selective.sum()),
        "direction_right_share": float((side[selective] < 90).mean()),
        "direction_rule_right_share": float((by_rule[selective] < 90).mean()),
        "correlation_osi": _correlation(model.osi[here], exact.osi[here]),
        "correlation_dsi": _correlation(model.dsi[here], exact.dsi[here]),
        "median_suppression": float(np.nanmedian(found.size.suppression[chosen])),
        "median_exact_suppression": float(np.nanmedian(truth.size.suppression[chosen])),
    }
    for name, (first, second) in pairs.items():
        octaves = np.abs(np.log2(first / second))[chosen]
        known = octaves[np.isfinite(octaves)]
        result[f"{name}_median_octaves"] = float(np.median(known))
        if name.startswith("spatial"):
            result[f"{name}_neurons"] = len(known)
            result[f"{name}_within_a_step"] = float((known <= step).mean())
    return result


def _correlation(first: F64, second: F64) -> float:
    return float(np.corrcoef(first, second)[0, 1])


def study_recording(runs: list[LoadedRun], device: torch.device) -> dict[str, Any]:
    """Compare the tuning of a model with that of the raw responses to the same gratings."""
    session = runs[0].sessions[0].session
    dataset = open_run_data(runs[0], None)
    shard = dataset.session(session).shard
    spatial, amplitude, turn = shown_grating(shard)
    trials = measured_trials(shard, turn)
    model = SessionModel(runs, session, dataset=dataset, device=device)
    options = ProbeOptions(
        directions=len(np.unique(trials.direction_deg)),
        spatial_frequencies=(spatial,),
        temporal_frequencies=tuple(np.unique(trials.hz).tolist()),
        contrast=amplitude / model.mean_grey,
    )
    experiment = start_experiment(model, np.arange(model.num_neurons), options)
    found = measure_gratings(experiment).orientation
    rng = np.random.default_rng(0)
    reliable = split_half(trials, rng) > LEAST_SPLIT_HALF
    scores = find_scores([run.folder for run in runs], session, model.num_neurons)
    assert scores is not None, "the runs were evaluated"
    good = scores.values > LEAST_SCORE
    order = np.flatnonzero(reliable & good & np.isfinite(found.orientation_deg))
    measured = trials.tuning()
    permuted = [agreement(found, measured, order, rng.permutation(order)) for _ in range(200)]
    held_out = trials.take(~trials.in_train)
    return {
        "session": session,
        "trials": len(trials.hz),
        "scores": scores.source,
        "spatial_frequency_cycles_per_px": spatial,
        "amplitude_grey_levels": amplitude,
        "named_angles_are": "counter-clockwise" if turn == 1 else "clockwise",
        "neurons": model.num_neurons,
        f"split_half_above_{LEAST_SPLIT_HALF}": int(reliable.sum()),
        f"score_above_{LEAST_SCORE}": int(good.sum()),
        "measured_on_all_tiers": agreement(found, measured, order, order),
        "measured_on_other_tiers_than_train": {
            "trials": len(held_out.hz),
            **agreement(found, held_out.tuning(), order, order),
        },
        "labels_permuted": {
            name: float(np.mean([one[name] for one in permuted])) for name in permuted[0]
        },
        "seconds_of_1000_gratings": time_gratings(model),
    }


def time_gratings(model: SessionModel, count: int = 1000) -> float:
    """Return the seconds that a model takes for gratings, on the threads of this process."""
    options = ProbeOptions()
    gratings = full_screen_gratings(
        directions_deg=options.directions_deg,
        spatial_frequencies=options.spatial_frequencies,
        temporal_frequencies=options.temporal_frequencies,
        phases_deg=options.phases_deg,
        contrast=options.contrast,
        frame_shape=model.frame_shape,
    )
    rows = np.arange(count) % len(gratings)
    respond(model, gratings.take(rows[:16]))
    began = time.perf_counter()
    respond(model, gratings.take(rows))
    return time.perf_counter() - began


def agreement(
    model: DirectionTuning,
    measured: DirectionTuning,
    first: NDArray[np.int64],
    second: NDArray[np.int64],
) -> dict[str, float]:
    """Return how tuning of the model agrees with measured tuning, of two lists of neurons."""
    error = angle_difference_deg(
        model.orientation_deg[first], measured.orientation_deg[second], 180
    )
    sharp = measured.osi[second] > 0.3
    side = angle_difference_deg(model.direction_deg[first], measured.direction_deg[second], 360)
    selective = measured.dsi[second] > SELECTIVE
    return {
        "compared": len(error),
        "orientation_median_difference_deg": float(np.median(error)),
        "orientation_median_difference_where_osi_above_0.3_deg": float(np.median(error[sharp])),
        "direction_same_side_share": float((side[selective] < 90).mean()),
        "correlation_osi": _correlation(model.osi[first], measured.osi[second]),
        "correlation_osi_ratio": _correlation(model.osi_ratio[first], measured.osi_ratio[second]),
        "correlation_dsi": _correlation(model.dsi[first], measured.dsi[second]),
    }


def main() -> None:
    """Run the studies and write their result."""
    parser = benchmark_parser(__doc__ or "")
    parser.add_argument("--simulated", type=Path, nargs="*", default=[], help="runs, an ensemble")
    parser.add_argument("--recordings", type=Path, help="simulated recordings with their truth")
    parser.add_argument("--shards", type=Path, help="those of simulated runs, if they were moved")
    parser.add_argument("--recorded", type=Path, nargs="*", default=[], help="runs, an ensemble")
    options = parser.parse_args()
    device = chosen_device(options.device)
    quick = {"noise_windows": 64, "gradient_windows": 1} if options.quick else {}
    content: dict[str, Any] = {}
    if options.simulated:
        runs = [load_run(run) for run in options.simulated]
        content["simulated"] = study_simulated(
            runs,
            open_run_data(runs[0], options.shards),
            options.recordings,
            ProbeOptions(**quick),
            device,
        )
    if options.recorded:
        content["recorded"] = study_recording([load_run(run) for run in options.recorded], device)
    print(json.dumps(content.get("recorded"), indent=1))
    write_result(options.out, "probe", device, content)


if __name__ == "__main__":
    main()
