"""Read a shard with only safetensors and NumPy: using the data does not need omnimouse.

    python examples/read_a_shard.py shards/SESSION.safetensors

Without a path a small mouse is simulated and converted first, which does need omnimouse.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors import safe_open

WINDOW_SECONDS = 2.0
# Sample-and-hold: clocks are rounded, so a sample counts from this long before its time.
HOLD_TOLERANCE_SECONDS = 1e-4


def hold(clock: dict[str, float], seconds: np.ndarray) -> np.ndarray:
    """Return the index of the latest row at or before each time (sample-and-hold).

    Args:
        clock: `start_seconds` and `rate_hz` of a regular clock.
        seconds: Times in seconds from the origin of the recording.
    """
    rows = (seconds + HOLD_TOLERANCE_SECONDS - clock["start_seconds"]) * clock["rate_hz"]
    return np.floor(rows).astype(np.int64)


def read_window(path: Path) -> None:
    """Print the content of a shard and two seconds of every signal in its first test trial."""
    with safe_open(path, framework="numpy") as shard:
        description = json.loads(shard.metadata()["description"])
        tensors = set(shard.keys())
        clock = description["responses"]["clock"]
        print(f"{description['session']} of {description['animal']}: ", end="")
        print(f"{description['responses']['num_neurons']} neurons, ", end="")
        print(f"{clock['num_samples'] / clock['rate_hz'] / 60:.1f} minutes")

        tier = description["tiers"].index("test")
        starts = shard.get_tensor("trials.start_seconds")
        first = starts[shard.get_tensor("trials.tier") == tier].min()
        seconds = first + np.arange(round(WINDOW_SECONDS * 30)) / 30

        # A slice reads only its own bytes: responses are stored time by time.
        rows = hold(clock, seconds)
        stored = shard.get_slice("responses")[int(rows[0]) : int(rows[-1]) + 1]
        responses = stored[rows - rows[0]].astype(np.float32)
        scaled = responses / np.maximum(shard.get_tensor("neurons.std"), 1e-6)
        print(f"responses at {first:.2f} s: {responses.shape}, {scaled.mean():.3f} std on average")

        if "screen.frames" in tensors:
            flips = shard.get_tensor("screen.flip_seconds")
            shown = np.searchsorted(flips, seconds + HOLD_TOLERANCE_SECONDS, side="right") - 1
            images = shard.get_tensor("screen.frame_index")[np.maximum(shown, 0)]
            frames = shard.get_slice("screen.frames")
            video = np.stack([frames[int(image)] for image in images])
            print(f"video: {video.shape} of {video.dtype}, mean grey {video.mean():.0f}")

        for device in description["behavior"]:
            track = shard.get_slice(f"behavior.{device['name']}")
            last = device["clock"]["num_samples"] - 1
            places = np.clip(hold(device["clock"], seconds), 0, last)
            values = track[int(places[0]) : int(places[-1]) + 1][places - places[0]]
            for channel, column in zip(device["channels"], values.T, strict=True):
                print(f"{channel}: {np.nanmin(column):.2f} to {np.nanmax(column):.2f}")


def simulated_shard(folder: Path) -> Path:
    """Make a small shard with the `omnimouse` command line."""
    for command in (
        "simulate recordings --sessions 1 --neurons 40 --minutes 4 --quiet",
        "preprocess --quiet",
    ):
        arguments = [sys.executable, "-m", "omnimouse_cli", *command.split()]
        subprocess.run(arguments, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return next((folder / "shards").glob("*.safetensors"))


def main() -> None:
    """Read the given shard, or a simulated one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shard", type=Path, nargs="?")
    path = parser.parse_args().shard
    if path is not None:
        read_window(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        read_window(simulated_shard(Path(folder)))


if __name__ == "__main__":
    main()
