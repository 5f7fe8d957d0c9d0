"""Where dendritic feed-forwards help an encoding model, and whether they learn its neurons' rule.

    python benchmarks/encoding_units.py --folder FOLDER [--quick] [--steps N] [--seeds N]

`brain_units.py` asks this of the transformer, in hours. Here the transformer's own feed-forwards
(omnimouse_cli/model/feed_forward.py), two of them after a linear layer of the inputs, predict all
neurons of a recording at one moment, which takes a second: stimulus and behavior come as numbers,
so that what is compared is the units. Three recordings: a simulated mouse whose neurons multiply
two behavioral signals, the same mouse with neurons that add them (inputs: behavior now, 150 ms and
300 ms before), and the Allen recording (inputs: frames of the last 500 ms, averaged over 4 x 4
pixels; left out where $OMNIMOUSE_SHARED has none).

Arms are dendritic units from their usual start, a distilled SwiGLU, and from smoothed noise, a
learned function of one argument, and SwiGLU and ReLU units. Widths are matched in parameters. Each
run keeps the state of the best validation loss; its test correlation is the result, at equal
parameters and steps. At equal time, the best state is that within the CPU time of the fastest arm.
Student's 95 % intervals over seeds, differences paired by seed; their p values are corrected for
the number of controls (Holm). Learned functions are judged as by `omnimouse dendrites`.
"""

import json
import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from brain_units import ALLEN, ALLEN_RECORDING, PRODUCT, SUM
from machine import benchmark_parser, chosen_device, print_rows, write_result
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

import omnimouse_cli as om
from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.config.dendrite import DendriteConfig
from omnimouse_cli.dendrites.images.controls import correct_tests
from omnimouse_cli.dendrites.soft_xor import AnalyzedFunction, SoftXorCount, count_soft_xors
from omnimouse_cli.dendrites.surface import Function, LearnedFunction, analyze, fit_frame
from omnimouse_cli.evaluation.records import EvalOptions
from omnimouse_cli.evaluation.session_reader import SessionReader
from omnimouse_cli.evaluation.windows import find_windows
from omnimouse_cli.kernels.dendrite.reference import reference_dendrite
from omnimouse_cli.metrics.intervals import mean_interval
from omnimouse_cli.model.feed_forward import Dendrite, FeedForward

F32, F64 = NDArray[np.float32], NDArray[np.float64]
WIDTH, HIDDEN, LAYERS = 32, 32, 2
BATCH, LEARNING_RATE, CHECK_EVERY = 512, 3e-3, 25
DENDRITIC, FROM_NOISE = "dendritic", "dendritic from noise"
CONTROLS = ("learned", "swiglu", "relu")
ARMS = (DENDRITIC, *CONTROLS, FROM_NOISE)
TIERS = ("train", "validation", "test")
KINDS = ("equal_steps", "equal_time")
# Scored samples of a window, and lags of inputs: in samples of behavior (20 Hz) and frames (30 Hz).
SCORED, BEHAVIOR_LAGS, FRAME_LAGS = (30, 60), (0, 3, 6), (2, 5, 8, 11, 14)
PIXELS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Inputs `(rows, inputs)` and responses `(rows, neurons)` of each tier."""

    inputs: dict[str, Tensor]
    responses: dict[str, Tensor]
    is_rate: bool


def read_data(shards: Path, recording: str) -> Data:
    """Read the scored samples of every tier of a recording."""
    dataset = open_dataset(shards)
    config = DataConfig(normalize="standardize" if recording == ALLEN else "scale")
    key = dataset.sessions[0].key
    reader = SessionReader(dataset, config, key)
    inputs, responses = {}, {}
    for tier in TIERS:
        windows = find_windows(dataset.sessions, EvalOptions(tier=tier), require_behavior=False)
        grid = windows[key].grid
        rows = reader.responses(grid, SCORED)
        responses[tier] = torch.from_numpy(rows.reshape(-1, rows.shape[-1]))
        read = _frames if recording == ALLEN else _behavior
        inputs[tier] = torch.from_numpy(read(reader, grid)).flatten(0, 1)
    mean, std = inputs["train"].mean(0), inputs["train"].std(0)
    scaled = {tier: (values - mean) / (std + 1e-3) for tier, values in inputs.items()}
    return Data(inputs=scaled, responses=responses, is_rate=recording != ALLEN)


def _behavior(reader: SessionReader, grid: NDArray[np.int64]) -> F32:
    behavior = np.nan_to_num(reader.behavior(grid)).astype(np.float32)
    samples = np.arange(*SCORED) * 2 // 3
    return np.concatenate([behavior[:, samples - lag] for lag in BEHAVIOR_LAGS], axis=-1)


def _frames(reader: SessionReader, grid: NDArray[np.int64]) -> F32:
    parts = []
    for first in range(0, len(grid), 64):
        video = torch.from_numpy(reader.video(grid[first : first + 64]))
        small = functional.avg_pool2d(video, PIXELS).flatten(2).numpy()
        samples = np.arange(*SCORED)
        parts.append(np.concatenate([small[:, samples - lag] for lag in FRAME_LAGS], axis=-1))
    return np.concatenate(parts)


class Encoder(nn.Module):
    """A linear layer, feed-forwards as in the transformer's blocks, and a linear read-out."""

    def __init__(self, arm: str, num_inputs: int, num_neurons: int, *, is_rate: bool) -> None:
        super().__init__()
        self.is_rate = is_rate
        self.embed = nn.Linear(num_inputs, WIDTH)
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(LAYERS))
        self.blocks = nn.ModuleList(_make_feed_forward(arm) for _ in range(LAYERS))
        self.readout = nn.Linear(WIDTH, num_neurons)

    def forward(self, inputs: Tensor) -> Tensor:
        """Predict responses `(rows, neurons)`."""
        x = self.embed(inputs)
        for norm, block in zip(self.norms, self.blocks, strict=True):
            x = x + block(norm(x))
        out: Tensor = self.readout(x)
        return functional.softplus(out) if self.is_rate else out

    def loss(self, inputs: Tensor, responses: Tensor) -> Tensor:
        """Return the Poisson loss of rates, or the squared error."""
        predicted = self(inputs)
        if self.is_rate:
            return functional.poisson_nll_loss(predicted, responses, log_input=False)
        return functional.mse_loss(predicted, responses)


def _make_feed_forward(arm: str) -> FeedForward:
    config = DendriteConfig(start="noise" if arm == FROM_NOISE else "swiglu")
    if arm == "learned":
        return FeedForward(WIDTH, HIDDEN, "learned", dendrite=Dendrite(config))
    if arm.startswith(DENDRITIC):
        return FeedForward(WIDTH, HIDDEN, "dendritic", dendrite=Dendrite(config))
    return FeedForward(WIDTH, HIDDEN, "relu" if arm == "relu" else "swiglu")


def correlate(predicted: Tensor, measured: Tensor) -> float:
    """Return the mean over neurons of the correlation over all samples."""
    x, y = (values.double() - values.double().mean(0) for values in (predicted, measured))
    size = (x.square().sum(0) * y.square().sum(0)).sqrt()
    return float(((x * y).sum(0) / size.clamp_min(1e-12)).mean())


def train(data: Data, arm: str, seed: int, steps: int) -> tuple[dict[str, Any], Encoder, Encoder]:
    """Train one model.

    Returns:
        CPU seconds, validation loss and test correlation at each check; the model before training
        and that of the best validation loss.
    """
    torch.manual_seed(seed)
    sizes = (data.inputs["train"].shape[1], data.responses["train"].shape[1])
    model, start = (Encoder(arm, *sizes, is_rate=data.is_rate) for _ in range(2))
    start.load_state_dict(model.state_dict())
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=0.01)
    generator = torch.Generator().manual_seed(seed)
    record: dict[str, Any] = {"seconds": [], "validation": [], "test": []}
    seconds, best = 0.0, start.state_dict()
    for step in range(1, steps + 1):
        begin = time.process_time()
        rows = torch.randint(len(data.inputs["train"]), (BATCH,), generator=generator)
        optimizer.zero_grad()
        model.loss(data.inputs["train"][rows], data.responses["train"][rows]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        seconds += time.process_time() - begin
        if step % CHECK_EVERY == 0:
            with torch.no_grad():
                loss = float(model.loss(data.inputs["validation"], data.responses["validation"]))
                test = correlate(model(data.inputs["test"]), data.responses["test"])
            if loss < min(record["validation"], default=np.inf):
                best = {name: value.clone() for name, value in model.state_dict().items()}
            for name, value in (("seconds", seconds), ("validation", loss), ("test", test)):
                record[name].append(value)
    model.load_state_dict(best)
    record["parameters"] = sum(one.numel() for one in model.parameters())
    return record, start, model


def analyze_functions(
    data: Data, start: Encoder, end: Encoder, seed: int
) -> Iterator[AnalyzedFunction]:
    """Yield the learned function of each block, where its arguments lie on the test tier."""
    x = end.embed(data.inputs["test"][::8])
    for layer in range(LAYERS):
        before, after = start.blocks[layer], end.blocks[layer]
        normed = end.norms[layer](x)
        pairs = after.arguments(normed).transpose(1, 2).reshape(-1, 2)[::4]
        arguments = pairs.detach().double().numpy()
        x = x + after(normed)
        frame = fit_frame(arguments)
        functions = [_make_function(block.function) for block in (before, after)]
        learned = LearnedFunction(
            run="encoder",
            network="encoder",
            layer=str(layer),
            seed=seed,
            is_whole=True,
            function=functions[1],
            start=functions[0],
            arguments=arguments,
            frame=frame,
        )
        surfaces = [analyze(function, arguments, frame) for function in functions]
        yield AnalyzedFunction(function=learned, surface=surfaces[1], start=surfaces[0])


def _make_function(dendrite: Dendrite) -> Function:
    weights = dendrite.weights.detach().double()

    def compute(points: F64) -> F64:
        a, b = torch.from_numpy(points).chunk(2, dim=1)
        return np.asarray(reference_dendrite(a, b, weights, dendrite.function)[:, 0].numpy())

    return compute


def best_within(record: dict[str, Any], budget: float) -> float:
    """Return the test correlation of the best validation loss within some CPU seconds."""
    allowed = [number for number, seconds in enumerate(record["seconds"]) if seconds <= budget]
    chosen = min(allowed or [0], key=lambda number: record["validation"][number])
    return float(record["test"][chosen])


def tabulate(recording: str, records: dict[str, list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Yield a row for each arm, with what dendritic units have more at equal steps and time."""
    num_seeds = len(records[DENDRITIC])
    totals = {arm: [one["seconds"][-1] for one in each] for arm, each in records.items()}
    # The time of an arm is its median over seeds; the load of the machine is not its own.
    fastest = min(float(np.median(values)) for values in totals.values())
    values: dict[str, dict[str, list[float]]] = {}
    for arm, each in records.items():
        share = fastest / float(np.median(totals[arm]))
        values[arm] = {
            "equal_steps": [best_within(one, np.inf) for one in each],
            "equal_time": [best_within(one, share * one["seconds"][-1]) for one in each],
        }
    differences = {
        kind: {
            arm: mean_interval(
                [a - b for a, b in zip(values[DENDRITIC][kind], of_arm[kind], strict=True)]
            )
            for arm, of_arm in values.items()
        }
        for kind in KINDS
    }
    tests = {
        kind: correct_tests({arm: of_arms[arm] for arm in CONTROLS}, num_seeds)
        for kind, of_arms in differences.items()
    }
    for arm, of_arm in values.items():
        row: dict[str, Any] = {"recording": recording, "arm": arm, "seeds": num_seeds}
        row["parameters"] = records[arm][0]["parameters"]
        row["seconds"] = float(np.median(totals[arm]))
        for kind, scores in of_arm.items():
            row[kind] = {
                "values": scores,
                "mean": mean_interval(scores).to_dict(),
                "dendritic_less_this": differences[kind][arm].to_dict(),
                "p_holm": tests[kind][arm].p_holm if arm in CONTROLS else None,
            }
        yield row


def describe(recording: str, arm: str, count: SoftXorCount) -> dict[str, Any]:
    """Return the test of an arm's learned functions."""
    changes = {
        name: {"start": one.start, "end": one.end, "change": one.change.to_dict()}
        for name, one in count.changes.items()
    }
    words = {"sentence": count.sentence, "verdict": count.verdict, "changes": changes}
    return {"recording": recording, "arm": arm, "seeds": count.seeds, **words}


def prepare(folder: Path, wanted: Sequence[str], *, is_quick: bool) -> dict[str, Path]:
    """Simulate and preprocess; return the shards of each recording that is wanted and there."""
    allen = Path(os.environ.get("OMNIMOUSE_SHARED", "shared")) / ALLEN_RECORDING
    names = [name for name in wanted if name != ALLEN or (allen.exists() and not is_quick)]
    for name in names:
        shards, recordings = folder / name / "shards", folder / name / "recordings"
        if shards.exists():
            continue
        if name != ALLEN:
            size = {"neurons": 8, "minutes": 1.5} if is_quick else {"neurons": 64, "minutes": 12.0}
            fraction = float(name == PRODUCT)
            om.simulate(recordings, sessions=1, seed=1, multiplicative=fraction, **size)
        om.preprocess(allen if name == ALLEN else recordings, out=shards)
    return {name: folder / name / "shards" for name in names}


def measure(options: Namespace) -> dict[str, list[dict[str, Any]]]:
    """Train all arms on all recordings, one seed after the other."""
    torch.set_num_threads(1)
    rows, learned = [], []
    wanted = options.recordings.split(",")
    for recording, shards in prepare(options.folder, wanted, is_quick=options.quick).items():
        data = read_data(shards, recording)
        records: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
        functions: dict[str, list[AnalyzedFunction]] = {DENDRITIC: [], FROM_NOISE: []}
        for seed in range(1, options.seeds + 1):
            for arm in ARMS:
                record, start, end = train(data, arm, seed, options.steps)
                records[arm].append(record)
                if arm in functions:
                    with torch.no_grad():
                        functions[arm] += analyze_functions(data, start, end, seed)
            print(f"{recording}: seed {seed} is done", file=sys.stderr, flush=True)
        rows += tabulate(recording, records)
        learned += [
            describe(recording, arm, count_soft_xors(each)) for arm, each in functions.items()
        ]
        # What is finished can be read before the rest is.
        print(json.dumps({"rows": rows[-len(ARMS) :], "learned": learned[-2:]}), file=sys.stderr)
    return {"rows": rows, "learned": learned}


def print_tables(rows: Sequence[dict[str, Any]], learned: Sequence[dict[str, Any]]) -> None:
    """Print correlations and differences, then what was learned."""
    heads = ("recording", "arm", "parameters", "CPU s", "equal steps", "dendritic - this", "p")
    cells = []
    for row in rows:
        intervals = [row[kind][name] for kind in KINDS for name in ("mean", "dendritic_less_this")]
        texts = [f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]" for one in intervals]
        facts = (row["recording"], row["arm"], str(row["parameters"]), f"{row['seconds']:.2f}")
        p_values = [row[kind]["p_holm"] for kind in KINDS]
        ps = ["" if p is None else f"{p:.3f}" for p in p_values]
        cells.append((*facts, *texts[:2], ps[0], *texts[2:], ps[1]))
    print_rows((*heads, "equal time", "dendritic - this", "p"), cells)
    for one in learned:
        print(f"{one['recording']}, {one['arm']}: {one['verdict']}: {one['sentence']}")


def main() -> None:
    """Compare, print and keep."""
    parser = benchmark_parser(__doc__ or "")
    parser.add_argument("--folder", type=Path, required=True, help="where recordings are kept")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--recordings", default=",".join((PRODUCT, SUM, ALLEN)))
    options = parser.parse_args()
    if options.quick:
        options.steps, options.seeds = 2 * CHECK_EVERY, 2
    tables = measure(options)
    print_tables(**tables)
    content = {"is_quick": options.quick, "steps": options.steps, **tables}
    write_result(options.out, "encoding_units", chosen_device("cpu"), content)


if __name__ == "__main__":
    main()
