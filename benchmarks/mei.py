"""How near most exciting stimuli come to the optimum of the simulated neurons that they are for.

    python benchmarks/mei.py RUN [RUN ...] --recording FOLDER [--kinds image video] [--skip N]

The neurons are those that the first run predicts best on its validation tier. Their most exciting
stimuli are made by the first run alone and by all of them as an ensemble, and judged by the exact
expected response of the simulation, with behavior in the state in which the runs were asked. The
optimum of a neuron is the best of several ascents of the exact response itself under the same
constraints, without a prior: from its own Gabor at the best two of several speeds or phases, from
noise, from the best grating, and from the stimuli of the runs.

Ratios are of raw expected responses, which contain the response to grey, and of what lies above it.
A common factor, as behavior is, cancels.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from exact import ExactModel
from machine import benchmark_parser, print_rows, write_result
from numpy.typing import NDArray

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.probing.mei import CONTRAST, ExcitingStimuli, MeiOptions, most_exciting
from omnimouse_cli.probing.mei_ascent import SHOWN_FRAMES, AscentOptions, ascend, make_windows
from omnimouse_cli.probing.mei_constraints import draw_noise, hold_contrast
from omnimouse_cli.probing.mei_neurons import choose_neurons
from omnimouse_cli.probing.mei_references import choose_gratings
from omnimouse_cli.probing.session_model import SessionModel, find_shards
from omnimouse_cli.recording.simulated.expected import ExpectedResponse, load_expected_response
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.load import LoadedRun, load_run

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
# Drifts of a neuron's own Gabor, in Hz, and phases of a still one.
SPEEDS_HZ = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
PHASES = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875)
OPTIMUM_STEPS, NOISE_STARTS, GABOR_STARTS = 60, 2, 2


def true_behavior(exact: ExpectedResponse, dataset: Dataset, model: SessionModel) -> F64:
    """Return the state of a model in the simulation's z-scores: those of shards are others."""
    shard = dataset.session(model.session).shard
    scaling = {
        channel: (device.mean[column], device.std[column])
        for device in shard.description.behavior
        for column, channel in enumerate(device.channels)
    }
    truth, state = exact.truth, dict(zip(model.channels, model.state.values, strict=True))
    raw = [state[name] * scaling[name][1] + scaling[name][0] for name in truth.channels]
    return (np.array(raw) - truth.behavior_center) / truth.behavior_scale


def judge(exact: ExpectedResponse, stimuli: F32, grey: float, behavior: F64) -> F64:
    """Return exact responses, means over the second of a stimulus: `(stimuli, neurons)`."""
    return np.concatenate(
        [
            exact(make_windows(torch.from_numpy(some), grey).numpy(), behavior)[:, 30:].mean(axis=1)
            for some in np.array_split(stimuli, max(1, len(stimuli) // 16))
        ]
    )


def own_gabors(exact: ExpectedResponse, neuron: int, behavior: F64, *, moving: bool) -> F32:
    """Return a neuron's Gabor where the gaze moves it, drifting or still."""
    population = exact.truth.population
    shift = exact.gaze_shift(behavior)
    row = np.arange(36)[:, None] - population.center_row[neuron] - shift[0]
    column = np.arange(64) - population.center_column[neuron] - shift[1]
    angle = population.orientation[neuron]
    along = (row * np.sin(angle) + column * np.cos(angle)) / population.wavelength[neuron]
    envelope = np.exp(-(row**2 + column**2) / (2 * population.width[neuron] ** 2))
    if moving:
        seconds = np.arange(SHOWN_FRAMES) / 30
        cycles = np.multiply.outer([*SPEEDS_HZ, *(-hz for hz in SPEEDS_HZ)], seconds)
    else:
        cycles = np.array(PHASES)[:, None]
    waves = np.cos(2 * np.pi * (along - cycles[..., None, None]))
    return (127.5 + envelope * waves).astype(np.float32)


def find_optima(
    exact: ExpectedResponse, behavior: F64, made: ExcitingStimuli, others: Sequence[F32], seed: int
) -> tuple[F32, F64]:
    """Ascend the exact response of each neuron under the constraints of made stimuli.

    Args:
        exact: Expected responses of the session.
        behavior: The state, in the simulation's z-scores.
        made: Stimuli of runs: neurons, kind, mean and contrast.
        others: More starts, `(neurons, frames, height, width)` each.
        seed: Seed of noise.

    Returns:
        The best stimuli `(neurons, frames, height, width)` and their exact responses `(neurons,)`.
    """
    truth, neurons, moving = ExactModel(exact, behavior), made.neurons, made.options.kind == "video"
    ascent = AscentOptions(
        mean=made.mean, contrast=made.contrast, prior="none", steps=OPTIMUM_STEPS
    )
    shape = made.stimuli["most"].shape
    gratings = choose_gratings(shape[2:], moving=moving)
    answers = judge(exact, gratings, made.mean, behavior)[:, neurons]
    generator = torch.Generator().manual_seed(seed)
    gabors = []
    for neuron in neurons:
        own = own_gabors(exact, neuron, behavior, moving=moving)
        own = hold_contrast(torch.from_numpy(own), made.mean, made.contrast, steps=200).numpy()
        order = judge(exact, own, made.mean, behavior)[:, neuron].argsort()
        gabors.append(own[order[-GABOR_STARTS:]])
    starts = [
        *np.stack(gabors, axis=1),
        gratings[answers.argmax(axis=0)],
        *(draw_noise(shape, generator).numpy() for _ in range(NOISE_STARTS)),
        *others,
    ]
    result = ascend(
        truth,  # type: ignore[arg-type] # has what an ascent needs
        np.concatenate(starts),
        np.tile(neurons, len(starts)),
        np.ones(len(starts) * len(neurons), np.int64),
        ascent,
    )
    best = result.responses.reshape(len(starts), -1).argmax(axis=0)
    stimuli = result.stimuli.reshape(len(starts), *shape)[best, np.arange(len(neurons))]
    return stimuli, own_responses(judge(exact, stimuli, made.mean, behavior), neurons)


def own_responses(responses: F64, neurons: NDArray[np.int64]) -> F64:
    """Return the response of each neuron to its own stimulus, `(neurons,)`."""
    return responses[np.arange(len(neurons)), neurons]


def compare(
    exact: ExpectedResponse,
    dataset: Dataset,
    made: dict[str, ExcitingStimuli],
    model: SessionModel,
) -> dict[str, Any]:
    """Judge the stimuli of several makers, of the same neurons, kind, mean and contrast."""
    first = next(iter(made.values()))
    behavior, neurons = true_behavior(exact, dataset, model), first.neurons
    most = [each.stimuli["most"] for each in made.values()]
    _, optimum = find_optima(exact, behavior, first, most, seed=0)
    shown = {
        **{name: each.stimuli["most"] for name, each in made.items()},
        "natural": first.stimuli["natural"],
        "grating": first.stimuli["grating"],
    }
    grey = judge(exact, np.full_like(most[0][:1, :1], first.mean), first.mean, behavior)[0, neurons]
    rows = {}
    for name, stimuli in shown.items():
        found = own_responses(judge(exact, stimuli, first.mean, behavior), neurons)
        ratio, above = found / optimum, (found - grey) / (optimum - grey)
        rows[name] = {
            "ratio": ratio.tolist(),
            "ratio_above_grey": above.tolist(),
            "mean": float(ratio.mean()),
            "median": float(np.median(ratio)),
            "at_least_.9": int((ratio >= 0.9).sum()),
            "mean_above_grey": float(above.mean()),
            "median_above_grey": float(np.median(above)),
        }
    return {
        "kind": first.options.kind,
        "starts": first.options.starts,
        "steps": first.options.steps,
        "prior": first.options.prior,
        "mean_grey": first.mean,
        "contrast_grey": first.contrast,
        "neurons": neurons.tolist(),
        "optimum": optimum.tolist(),
        "grey": grey.tolist(),
        "rows": rows,
    }


def make_all(
    runs: Sequence[LoadedRun],
    dataset: Dataset,
    session: str,
    neurons: Sequence[int],
    options: MeiOptions,
) -> dict[str, ExcitingStimuli]:
    """Make stimuli by the first run and by all of them together; the simulation judges them."""
    makers = {runs[0].folder.name: [runs[0]]}
    if len(runs) > 1:
        makers["ensemble"] = list(runs)
    return {
        name: most_exciting(some, session, neurons, dataset=dataset, validate=(), options=options)
        for name, some in makers.items()
    }


def main() -> None:
    """Measure, print and write the result."""
    parser = benchmark_parser(__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--recording", type=Path, required=True, help="simulated session folder")
    parser.add_argument("--shards", type=Path, help="folder of shards; by default the run's own")
    parser.add_argument("--neurons", type=int, default=20)
    parser.add_argument("--skip", type=int, default=0, help="best neurons that are left out")
    parser.add_argument("--kinds", nargs="+", default=["image", "video"])
    parser.add_argument("--contrasts", nargs="+", type=float, default=[CONTRAST])
    parser.add_argument("--prior", default="smooth")
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    given = parser.parse_args()
    neurons, steps = (2, 3) if given.quick else (given.neurons, given.steps)
    exact = load_expected_response(given.recording)
    session = exact.truth.session
    runs = [load_run(folder) for folder in given.runs]
    dataset = find_shards(runs[0], given.shards, Silent())
    if dataset is None:
        raise SystemExit("error: the shards of the first run were not found")
    ranked = choose_neurons(runs[0], dataset, session, f"best:{given.skip + neurons}")
    conditions = []
    for kind in given.kinds:
        for contrast in given.contrasts:
            options = MeiOptions(
                kind=kind,
                contrast=contrast,
                prior=given.prior,
                starts=given.starts,
                steps=steps,
            )
            began = time.perf_counter()
            made = make_all(runs, dataset, session, ranked[given.skip :], options)
            seconds = (time.perf_counter() - began) / len(made)
            model = SessionModel(runs[:1], session, dataset=dataset)
            conditions.append(compare(exact, dataset, made, model) | {"seconds": seconds})
            print_condition(conditions[-1])
    content = {
        "runs": [str(run.folder) for run in runs],
        "recording": str(given.recording),
        "rule": f"ranks {given.skip + 1} to {given.skip + neurons} of the single-trial correlation "
        "of predict on the validation tier of the first run",
        "optimum_steps": OPTIMUM_STEPS,
        "conditions": conditions,
    }
    write_result(given.out, "mei", torch.device("cpu"), content)


def print_condition(condition: dict[str, Any]) -> None:
    """Print the ratios of one kind and contrast."""
    print(
        f"\n{condition['kind']}, RMS contrast {condition['contrast_grey']:.0f}, "
        f"{condition['seconds']:.0f} s per maker"
    )
    names = ("mean", "median", "at_least_.9", "mean_above_grey", "median_above_grey")
    rows = [
        (name, *(f"{row[each]:.3f}".rstrip("0").rstrip(".") for each in names))
        for name, row in condition["rows"].items()
    ]
    print_rows(("stimulus", *names), rows)


if __name__ == "__main__":
    main()
