"""How much a predicted response depends on where the windows of a movie begin, per stride.

A movie that starts k frames later has its windows k samples later. After two seconds they show the
same frames, so that predictions differ only by the position of a sample in its windows. The change
is the root mean square over samples and neurons, relative to the standard deviation of the
prediction of each neuron over time; the largest over k up to the stride (larger ones repeat).
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import benchmark_parser, chosen_device, print_rows, write_result
from numpy.typing import NDArray

from omnimouse_cli.config.data import FRAME_RATE_HZ, NUM_FRAMES
from omnimouse_cli.probing.session_model import SessionModel
from omnimouse_cli.recording.recording import latest_index
from omnimouse_cli.run.load import load_run, open_run_data
from omnimouse_cli.shard import Shard

F32 = NDArray[np.float32]
STRIDES = (*range(1, 14), 15, 30)
WINDOWS_AT_ONCE = 16


def recorded_movie(shard: Shard, tier: str, seconds: float) -> NDArray[np.uint8]:
    """Return what the screen showed from the first trial of a tier on, at 30 Hz."""
    trials, tiers = shard.trials, shard.description.tiers
    start = float(trials.start_seconds[trials.tier == tiers.index(tier)][0])
    times = start + np.arange(int(seconds * FRAME_RATE_HZ)) / FRAME_RATE_HZ
    return shard.frames[shard.frame_index[latest_index(shard.flip_seconds, times)]]


def predict_all(model: SessionModel, frames: NDArray[np.uint8]) -> F32:
    """Return the prediction of the window at every frame: `(windows, 30, neurons)`."""
    views = np.moveaxis(np.lib.stride_tricks.sliding_window_view(frames, NUM_FRAMES, axis=0), -1, 1)
    parts = []
    with torch.inference_mode():
        for first in range(0, len(views), WINDOWS_AT_ONCE):
            some = torch.from_numpy(np.ascontiguousarray(views[first : first + WINDOWS_AT_ONCE]))
            parts.append(model.predict_windows(model.scale_frames(some)).mean(dim=0).numpy())
    return np.concatenate(parts)


def mean_over_windows(windows: F32, stride: int, shift: int, samples: range) -> F32:
    """Return predictions of samples by the windows that begin at `shift` plus multiples."""
    result = []
    for sample in samples:
        first = sample - NUM_FRAMES + 1
        starts = [w for w in range(first, first + 30) if (w - shift) % stride == 0]
        result.append(np.mean([windows[w, sample - w - 30] for w in starts], axis=0))
    return np.stack(result)


def study(run: Path, shards: Path | None, seconds: float) -> dict[str, Any]:
    """Return the change of each stride for the first session of a run."""
    loaded = load_run(run)
    dataset = open_run_data(loaded, shards)
    key = dataset.sessions[0].key
    model = SessionModel([loaded], key, dataset=dataset)
    frames = recorded_movie(dataset.sessions[0].shard, "validation", seconds)
    windows = predict_all(model, frames)
    samples = range(NUM_FRAMES, len(windows) + 30)
    best = mean_over_windows(windows, 1, 0, samples)
    deviation = best.std(axis=0)
    deviation[deviation == 0] = 1.0
    rows = []
    for stride in STRIDES:
        shifted = [mean_over_windows(windows, stride, k, samples) for k in range(stride)]
        changes = [
            float(np.sqrt((((one - shifted[0]) / deviation) ** 2).mean())) for one in shifted
        ]
        worst = [
            float(np.sqrt((((one - shifted[0]) / deviation) ** 2).mean(axis=0)).max())
            for one in shifted
        ]
        off = float(np.sqrt((((shifted[0] - best) / deviation) ** 2).mean()))
        rows.append(
            {
                "stride_samples": stride,
                "largest_change": max(changes),
                "largest_change_of_a_neuron": max(worst),
                "difference_from_stride_1": off,
            }
        )
    return {"run": run.name, "session": key, "seconds": len(frames) / 30, "strides": rows}


def main() -> None:
    """Run the study and write its result."""
    parser = benchmark_parser(__doc__ or "")
    parser.add_argument("runs", type=Path, nargs="+", help="trained runs")
    parser.add_argument("--shards", type=Path, help="folder of shards, by default those of the run")
    options = parser.parse_args()
    seconds = 6.0 if options.quick else 16.0
    studies = [study(run, options.shards, seconds) for run in options.runs]
    heads = ("run", "stride", "change", "of a neuron", "from stride 1")
    print_rows(
        heads,
        [
            (one["run"], str(row["stride_samples"]), *(f"{v:.4f}" for v in list(row.values())[1:]))
            for one in studies
            for row in one["strides"]
        ],
    )
    write_result(
        options.out,
        "predict_stride",
        chosen_device("cpu"),
        {"is_quick": options.quick, "studies": studies},
    )


if __name__ == "__main__":
    main()
