"""Where dendritic units help the brain model, and what they learn there: against matched others.

    python benchmarks/brain_units.py [--folder FOLDER] [--quick] [--steps N] [--seeds N]
        [--arm NAME]... [--report]

Trains the same small transformer with dendritic, SwiGLU and ReLU feed-forwards and with a learned
function of one argument, at the same number of parameters and of steps, on three recordings: a
simulated mouse all of whose neurons multiply two behavioral signals, the same mouse with neurons
that add them, and the Allen recording (in $OMNIMOUSE_SHARED; left out where it is absent). On
simulated mice dendritic functions also start from noise: the default start, a distilled SwiGLU, is
a product nearly, and whether training makes functions products can only be asked of others.
`dendritic, fewer steps` stands for equal time: .87 of the steps, since a step with ReLU units, the
fastest, takes .87 of the time of one with dendritic units (CPU times are recorded).

The transformer is `nano-plain`, without shortcuts and linear models, which do nearly all the work
of `nano` and have no units to compare. Its patches of video are coarse, for speed: 9 x 8 pixels on
the Allen recording, a whole frame on simulated mice, whose neurons the stimulus does not drive.
Only prediction from stimulus and behavior is trained. Scores are single-trial correlations on the
test tier, computed once; nothing is chosen by them. Intervals are Student's 95 % over seeds,
differences paired by seed.

Finished runs in FOLDER are kept, so that a stopped comparison goes on when it is started again;
`--report` only tabulates what there is. Seeds come one after the other, so that what is finished is
a comparison. It is no part of `make bench`.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from machine import benchmark_parser, chosen_device, print_rows, write_result

import omnimouse_cli as om
from omnimouse_cli.dendrites.learned_surfaces import analyze_run
from omnimouse_cli.dendrites.soft_xor import AnalyzedFunction, count_soft_xors
from omnimouse_cli.metrics.intervals import mean_interval
from omnimouse_cli.run.folder import is_finished

PRODUCT, SUM, ALLEN = "product", "sum", "allen"
ALLEN_RECORDING = Path("data/recordings/allen-v1-drifting-gratings")
DENDRITIC, SWIGLU, RELU, LEARNED = "dendritic", "swiglu", "relu", "learned"
FROM_NOISE, FEWER_STEPS = "dendritic from noise", "dendritic, fewer steps"
# One patch is a whole frame: the stimulus drives none of the simulated neurons.
SIMULATED_VIDEO = {
    "model.video.stages": [1],
    "model.video.stride": [4, 36, 64],
    "model.video.kernel": [6, 36, 64],
    "model.video.padding": [1, 0, 0],
    "model.video.mask_unit": [1, 1],
}
ALLEN_VIDEO = {"model.video.stride": [4, 9, 8], "model.video.kernel": [6, 9, 9]}
# Validation scores every regime, and its numbers are not used.
TRAINING = {
    "masking.table": "predict",
    "train.validation_windows": 2,
    "data.max_neurons": 48,
}
SINGLE_TRIAL = "single_trial_correlation"
FAMILIES = ("noise", "contrast", "adversarial")
CPU = "cpu_seconds.json"
PERTURBED_ARMS = (DENDRITIC, SWIGLU, RELU, LEARNED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is compared.

    Args:
        neurons: Neurons of the simulated mice.
        minutes: Length of their recordings.
        steps: Steps of a training.
        seeds: Trainings per recording and arm.
        perturbed: Recording whose runs are scored under perturbed video too.
    """

    neurons: int = 64
    minutes: float = 12.0
    steps: int = 200
    seeds: int = 5
    perturbed: str = ALLEN


QUICK = Settings(neurons=8, minutes=1.5, steps=2, seeds=2, perturbed=PRODUCT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way to build and train the feed-forwards: keys of the configuration, share of steps."""

    name: str
    set: Mapping[str, object]
    steps_share: float = 1.0
    simulated_only: bool = False


KIND = "model.feed_forward"
# In the order in which they are trained.
ARMS = (
    *(Arm(name=kind, set={KIND: kind}) for kind in PERTURBED_ARMS),
    Arm(
        name=FROM_NOISE,
        set={KIND: DENDRITIC, "model.dendrite.start": "noise"},
        simulated_only=True,
    ),
    Arm(name=FEWER_STEPS, set={KIND: DENDRITIC}, steps_share=0.87),
)


def prepare(folder: Path, settings: Settings, wanted: Sequence[str]) -> list[str]:
    """Simulate and preprocess; return the recordings that are wanted and there."""
    fractions = {PRODUCT: 1.0, SUM: 0.0}
    allen = Path(os.environ.get("OMNIMOUSE_SHARED", "shared")) / ALLEN_RECORDING
    prepared = [name for name in wanted if name in fractions or allen.exists()]
    for name in prepared:
        recordings, shards = folder / name / "recordings", folder / name / "shards"
        if shards.exists():
            continue
        if name in fractions:
            om.simulate(
                recordings,
                sessions=1,
                neurons=settings.neurons,
                minutes=settings.minutes,
                seed=1,
                multiplicative=fractions[name],
            )
        om.preprocess(recordings if name in fractions else allen, out=shards)
    return prepared


def run_folder(folder: Path, recording: str, arm: Arm, seed: int) -> Path:
    """Return the folder of one training."""
    name = arm.name.replace(",", "").replace(" ", "-")
    return folder / "runs" / f"{recording}-{name}-{seed}"


def train(folder: Path, recording: str, arm: Arm, *, seed: int, settings: Settings) -> Path:
    """Train one run, unless it is finished; return its folder."""
    run = run_folder(folder, recording, arm, seed)
    if is_finished(run):
        return run
    shutil.rmtree(run, ignore_errors=True)
    start = time.process_time()
    om.train(
        folder / recording / "shards",
        out=run,
        model="nano-plain",
        steps=max(1, round(arm.steps_share * settings.steps)),
        seed=seed,
        device="cpu",
        set={**(ALLEN_VIDEO if recording == ALLEN else SIMULATED_VIDEO), **TRAINING, **arm.set},
    )
    seconds = time.process_time() - start
    (run / CPU).write_text(json.dumps(seconds))
    print(f"{run.name}: {seconds:.1f} s of CPU time", file=sys.stderr, flush=True)
    return run


def score(run: Path, perturb: Sequence[str] = ()) -> dict[str, Any]:
    """Return CPU time and records of a run's evaluation on the test tier, made where missing."""
    path = run / f"{'perturbed' if perturb else 'scored'}.json"
    if not path.exists():
        start = time.process_time()
        options = {"regime": "predict", "tier": "test", "baselines": (), "device": "cpu"}
        result = om.evaluate(run, perturb=perturb, **options)
        seconds = time.process_time() - start
        found = result.evaluation.perturbed if perturb else result.evaluation.records
        records = [one.to_dict() for one in found]
        path.write_text(json.dumps({"cpu_seconds": seconds, "records": records}))
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def correlation(records: Sequence[Mapping[str, Any]]) -> float:
    """Return the single-trial correlation of `predict` over all sessions."""
    chosen = [
        one["value"]
        for one in records
        if (one["strategy"], one["target"], one["metric"], one["predictor"], one["session"])
        == ("predict", "neurons", SINGLE_TRIAL, "model", "overall")
    ]
    assert len(chosen) == 1, "one number"
    return float(chosen[0])


def measure(
    folder: Path, settings: Settings, recordings: Sequence[str], arms: Sequence[str]
) -> None:
    """Train and score what is missing of these arms, seed by seed, then perturb the video."""
    prepared = prepare(folder, settings, recordings)
    for seed in range(1, settings.seeds + 1):
        for recording, arm in trainings(prepared):
            if arm.name not in arms:
                continue
            score(train(folder, recording, arm, seed=seed, settings=settings))
    if settings.perturbed in prepared:
        for seed in range(1, settings.seeds + 1):
            for kind in (name for name in PERTURBED_ARMS if name in arms):
                score(run_folder(folder, settings.perturbed, find_arm(kind), seed), FAMILIES)


def trainings(recordings: Iterable[str]) -> Iterator[tuple[str, Arm]]:
    """Yield each recording with each of its arms."""
    for arm in ARMS:
        for recording in recordings:
            if not arm.simulated_only or recording != ALLEN:
                yield recording, arm


def find_arm(name: str) -> Arm:
    """Return the arm of a name."""
    return next(arm for arm in ARMS if arm.name == name)


def tabulate(folder: Path, settings: Settings) -> dict[str, Any]:
    """Return the tables of all runs that are finished and scored."""
    return {
        "scores": list(compare(read_scores(folder, settings))),
        "perturbed": list(compare_perturbed(folder, settings)),
        "learned": list(judge_functions(folder, settings)),
    }


# Of a recording and an arm: correlation and CPU seconds by seed.
Scores = dict[tuple[str, str], dict[int, tuple[float, float]]]


def read_scores(folder: Path, settings: Settings) -> Scores:
    """Read what is there of every recording, arm and seed."""
    scores: Scores = {}
    for recording, arm in trainings((PRODUCT, SUM, ALLEN)):
        for seed in range(1, settings.seeds + 1):
            run = run_folder(folder, recording, arm, seed)
            if is_finished(run) and (run / "scored.json").exists():
                seconds = json.loads((run / CPU).read_text())
                value = correlation(score(run)["records"])
                scores.setdefault((recording, arm.name), {})[seed] = value, seconds
    return scores


def estimate(values: Sequence[float]) -> dict[str, Any] | None:
    """Return the mean over seeds with its interval; None of fewer than two."""
    return mean_interval(values).to_dict() if len(values) > 1 else None


def compare(scores: Scores) -> Iterator[dict[str, Any]]:
    """Yield the mean of each recording and arm, and what dendritic units have more, by seed."""
    for (recording, name), values in scores.items():
        row = {"recording": recording, "arm": name, "seeds": sorted(values)}
        row["values"] = [values[seed][0] for seed in row["seeds"]]
        row["cpu_seconds"] = [values[seed][1] for seed in row["seeds"]]
        row["mean"] = estimate(row["values"])
        for label, other in (("dendritic_less_this", DENDRITIC), ("fewer_less_this", FEWER_STEPS)):
            dendritic = scores.get((recording, other), {})
            less = [dendritic[seed][0] - values[seed][0] for seed in values if seed in dendritic]
            row[label] = estimate(less)
        yield row


def compare_perturbed(folder: Path, settings: Settings) -> Iterator[dict[str, Any]]:
    """Yield what each perturbation takes from each arm, and how much less from dendritic units."""
    losses: dict[tuple[str, int, str], dict[int, float]] = {}
    ratios: dict[str, list[float]] = {}
    for kind in PERTURBED_ARMS:
        for seed in range(1, settings.seeds + 1):
            run = run_folder(folder, settings.perturbed, find_arm(kind), seed)
            if not (run / "perturbed.json").exists():
                continue
            perturbed = score(run, FAMILIES)
            ratios.setdefault(kind, []).append(perturbed["cpu_seconds"] / score(run)["cpu_seconds"])
            for one in perturbed["records"]:
                if (one["metric"], one["session"]) == ("difference", "overall"):
                    key = (one["perturbation"], one["severity"], kind)
                    losses.setdefault(key, {})[seed] = one["value"]
    for (family, severity, kind), by_seed in losses.items():
        dendritic = losses.get((family, severity, DENDRITIC), {})
        more = [dendritic[seed] - value for seed, value in by_seed.items() if seed in dendritic]
        yield {
            "perturbation": family,
            "severity": severity,
            "arm": kind,
            "seeds": sorted(by_seed),
            "perturbed_less_clean": estimate(list(by_seed.values())),
            "dendritic_less_this": estimate(more),
            "cpu_ratio_to_eval": ratios[kind],
        }


def judge_functions(folder: Path, settings: Settings) -> Iterator[dict[str, Any]]:
    """Yield the test of each recording and start: whether training has made functions products."""
    for recording in (PRODUCT, SUM, ALLEN):
        for name in (DENDRITIC, FROM_NOISE):
            analyzed: list[AnalyzedFunction] = []
            for seed in range(1, settings.seeds + 1):
                run = run_folder(folder, recording, find_arm(name), seed)
                if is_finished(run):
                    analyzed += analyze_run(run)
            if analyzed:
                count = count_soft_xors(analyzed)
                yield {
                    "recording": recording,
                    "arm": name,
                    "sentence": count.sentence,
                    "verdict": count.verdict,
                    "seeds": count.seeds,
                    "changes": {
                        key: {"start": one.start, "end": one.end, "change": one.change.to_dict()}
                        for key, one in count.changes.items()
                    },
                }


def print_tables(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Print the three tables."""
    heads = (
        "recording",
        "arm",
        "seeds",
        "correlation",
        "dendritic - this",
        "fewer - this",
        "CPU s",
    )
    names = ("mean", "dendritic_less_this", "fewer_less_this")
    print_rows(
        heads,
        [
            (
                row["recording"],
                row["arm"],
                str(len(row["seeds"])),
                *(_interval(row[name]) for name in names),
                f"{sum(row['cpu_seconds']) / len(row['seeds']):.0f}",
            )
            for row in tables["scores"]
        ],
    )
    heads = ("perturbation", "severity", "arm", "perturbed - clean", "dendritic - this")
    names = ("perturbed_less_clean", "dendritic_less_this")
    print_rows(
        heads,
        [
            (
                row["perturbation"],
                str(row["severity"]),
                row["arm"],
                *(_interval(row[name]) for name in names),
            )
            for row in tables["perturbed"]
        ],
    )
    for row in tables["learned"]:
        print(f"{row['recording']}, {row['arm']}: {row['verdict']}: {row['sentence']}")


def _interval(interval: Mapping[str, float] | None) -> str:
    if interval is None:
        return "none"
    return f"{interval['value']:+.4f} [{interval['low']:+.4f}, {interval['high']:+.4f}]"


def main() -> None:
    """Train, compare, print and keep."""
    parser = benchmark_parser(__doc__ or "")
    parser.add_argument("--folder", type=Path, help="where recordings and runs are kept")
    parser.add_argument("--steps", type=int, default=Settings().steps)
    parser.add_argument("--seeds", type=int, default=Settings().seeds)
    parser.add_argument("--recordings", default=",".join((PRODUCT, SUM, ALLEN)))
    names = [arm.name for arm in ARMS]
    parser.add_argument("--arm", action="append", choices=names, help="train no others; repeatable")
    parser.add_argument("--report", action="store_true", help="tabulate what is finished")
    options = parser.parse_args()
    settings = QUICK if options.quick else Settings(steps=options.steps, seeds=options.seeds)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if not options.report:
            simulated = (PRODUCT, SUM)
            recordings = simulated if options.quick else options.recordings.split(",")
            measure(folder, settings, recordings, options.arm or names)
        tables = tabulate(folder, settings)
    print_tables(tables)
    content = {"is_quick": options.quick, "settings": asdict(settings), **tables}
    write_result(options.out, "brain_units", chosen_device("cpu"), content)


if __name__ == "__main__":
    main()
