"""A data set of full size on almost no disk: sparse shards with known values at their end."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.config.data import RESPONSE_RATE_HZ
from omnimouse_cli.recording.recording import Clock
from omnimouse_cli.recording.resize import FRAME_HEIGHT, FRAME_WIDTH
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.shard.catalogue import refresh_catalogue
from omnimouse_cli.shard.description import (
    BehaviorDescription,
    ResponsesDescription,
    Rounding,
    ScreenDescription,
    ShardDescription,
    SourceDescription,
    to_json,
)
from omnimouse_cli.shard.format import reserved_header_bytes
from omnimouse_cli.shard.write import ShardWriter, open_shard_writer

# 323 of these hold 150 billion samples, as the published data set does.
NUM_SAMPLES = 58_000
LEAST_NEURONS = 7_600
NEURON_STEPS = 9
# The last one is longer, so that its offsets do not fit into 32 bits.
LAST_FACTOR = 8
NUM_FRAMES = 18_000
FRAME_SHAPE = (FRAME_HEIGHT, FRAME_WIDTH)
STD = 2.0
NUM_KNOWN_ROWS = 120
DEVICES = (
    ("eye_tracker", 20.0, ("pupil_x", "pupil_y", "pupil_size", "pupil_size_derivative")),
    ("treadmill", 100.0, ("running",)),
)


def write_sparse_corpus(folder: Path, num_sessions: int, reporter: Reporter) -> Path:
    """Write shards of full size that hold zeros, and at the end of each `known_responses`.

    Args:
        folder: Folder of the shards and their catalogue.
        num_sessions: Number of shards; the last is the largest.
        reporter: Shows the progress.

    Returns:
        Path of the largest shard.
    """
    folder.mkdir(parents=True, exist_ok=True)
    task = "writing shards of holes"
    reporter.start(task, num_sessions)
    paths = []
    for number in range(num_sessions):
        is_last = number == num_sessions - 1
        num_neurons = LEAST_NEURONS + 100 * (NEURON_STEPS - 1 if is_last else number % NEURON_STEPS)
        num_samples = NUM_SAMPLES * (LAST_FACTOR if is_last else 1)
        paths.append(
            _write_shard(folder, f"{number // 4 + 1}-{number % 4}-1", num_samples, num_neurons)
        )
        reporter.advance(task)
    reporter.finish(task)
    refresh_catalogue(folder, reporter)
    return paths[-1]


def known_responses(rows: NDArray[np.int64], neurons: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the responses of the last `NUM_KNOWN_ROWS` rows of a shard, exact in any number type.

    Args:
        rows: int64 `(rows,)`.
        neurons: int64 `(neurons,)`.

    Returns:
        float32 `(rows, neurons)`.
    """
    values: NDArray[np.float32] = ((31 * rows[:, None] + 7 * neurons) % 251).astype(np.float32)
    return values


def _write_shard(folder: Path, session: str, num_samples: int, num_neurons: int) -> Path:
    path = folder / f"{session}.safetensors"
    description = _description(session, num_samples, num_neurons)
    text = to_json(description)
    with open_shard_writer(
        path, header_bytes=reserved_header_bytes(text, num_tensors=32)
    ) as writer:
        rows = np.arange(num_samples - NUM_KNOWN_ROWS, num_samples)
        known = known_responses(rows, np.arange(num_neurons))
        writer.write_sparse("responses", "F16", (num_samples, num_neurons), known)
        _write_screen(writer, num_samples)
        for device in description.behavior:
            shape = (device.clock.num_samples, len(device.channels))
            writer.write_sparse(f"behavior.{device.name}", "F32", shape, np.zeros((1, shape[1])))
        _write_tables(writer, description, num_neurons)
        writer.finish(to_json(replace(description, checksums=writer.checksums)))
    return path


def _description(session: str, num_samples: int, num_neurons: int) -> ShardDescription:
    seconds = num_samples / RESPONSE_RATE_HZ
    return ShardDescription(
        session=session,
        animal=session.partition("-")[0],
        origin_seconds=0.0,
        response_kind="rate",
        native_rate_hz=None,
        statistics_tier="train",
        responses=ResponsesDescription(
            clock=_clock(RESPONSE_RATE_HZ, num_samples),
            num_neurons=num_neurons,
            rounding=Rounding(rms_relative=0.0, max_relative=0.0),
        ),
        screen=ScreenDescription(
            frame_height=FRAME_HEIGHT,
            frame_width=FRAME_WIDTH,
            source_height=FRAME_HEIGHT,
            source_width=FRAME_WIDTH,
        ),
        behavior=tuple(
            BehaviorDescription(
                name=name,
                clock=_clock(rate_hz, int(seconds * rate_hz)),
                channels=channels,
                mean=(0.0,) * len(channels),
                std=(1.0,) * len(channels),
            )
            for name, rate_hz, channels in DEVICES
        ),
        tiers=("train",),
        kinds=("video",),
        conditions=(),
        checksums={},
        source=SourceDescription(path="holes", fingerprint=f"{num_neurons} x {num_samples}"),
        notes=("a simulated corpus: zeros that take no disk, and known values at the end",),
    )


def _clock(rate_hz: float, num_samples: int) -> Clock:
    return Clock(start_seconds=0.0, rate_hz=rate_hz, num_samples=num_samples)


def _write_screen(writer: ShardWriter, num_samples: int) -> None:
    num_frames = min(NUM_FRAMES, num_samples)
    flips = np.arange(num_samples)
    writer.write_sparse(
        "screen.frames", "U8", (num_frames, *FRAME_SHAPE), np.zeros((1, *FRAME_SHAPE))
    )
    writer.write_array("screen.flip_seconds", "F64", flips / RESPONSE_RATE_HZ)
    writer.write_array("screen.frame_index", "I64", flips % num_frames)


def _write_tables(writer: ShardWriter, description: ShardDescription, num_neurons: int) -> None:
    end = description.responses.clock.end_seconds
    for name in description.modalities:
        writer.write_array(f"valid.{name}", "F64", np.array([[0.0, end]]))
    writer.write_array("neurons.mean", "F32", np.ones(num_neurons))
    writer.write_array("neurons.std", "F32", np.full(num_neurons, STD))
    writer.write_array("trials.start_seconds", "F64", np.zeros(1))
    writer.write_array("trials.end_seconds", "F64", np.array([end]))
    for name, value in (("tier", 0), ("kind", 0), ("condition", -1)):
        writer.write_array(f"trials.{name}", "I32", np.array([value]))
