"""Fixtures of batch tests: shards written byte by byte, windows read from them by NumPy."""

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnimouse_cli._native import Checksum
from omnimouse_cli.batch.dataset import Dataset, open_dataset

STORED = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4"), "BF16": np.dtype("<u2")}
DTYPES = {"f8": "F64", "i8": "I64", "f4": "F32", "i4": "I32", "f2": "F16", "u2": "BF16", "u1": "U8"}
TIERS = ("train", "validation", "test")
KINDS = ("video", "blank", "invalid")


@dataclass(frozen=True, kw_only=True)
class Device:
    """A behavior device: rate, start, channels, and the times at which it is missing."""

    rate_hz: float
    channels: tuple[str, ...]
    start_seconds: float = 0.02
    missing: tuple[tuple[float, float], ...] = ()


EYE = Device(rate_hz=19.97, channels=("pupil_x", "pupil_y", "pupil_size", "pupil_size_derivative"))
TREADMILL = Device(rate_hz=100.0, channels=("running",), start_seconds=-0.1)


@dataclass(frozen=True, kw_only=True)
class TinySession:
    """A session to write. Trials are (start, end, tier or None, kind)."""

    key: str = "1-1-1"
    neurons: int = 7
    rate_hz: float = 30.0
    start_seconds: float = 0.0
    seconds: float = 40.0
    dtype: str = "F16"
    response_kind: str = "rate"
    screen: bool = True
    frame_shape: tuple[int, int] = (4, 6)
    devices: Mapping[str, Device] = field(
        default_factory=lambda: {"eye_tracker": EYE, "treadmill": TREADMILL}
    )
    trials: Sequence[tuple[float, float, str | None, str]] = ((0.0, 40.0, "train", "video"),)
    valid: tuple[tuple[float, float], ...] = ((0.5, 39.5),)
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class TinyShard:
    """The content of a shard, as plain arrays."""

    session: TinySession
    path: Path
    responses: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    frames: np.ndarray
    flip_seconds: np.ndarray
    frame_index: np.ndarray
    behavior: Mapping[str, np.ndarray]

    def window(
        self,
        grid_index: int,
        neurons: np.ndarray,
        channels: Sequence[str],
        *,
        centred: bool = False,
    ) -> dict[str, np.ndarray]:
        """Return the window as plain NumPy reads it: by a search through the times of the rows."""
        session = self.session
        start = session.start_seconds + grid_index / 30
        times = start + np.arange(60) / 30
        rows = _latest(_times(session.start_seconds, session.rate_hz, len(self.responses)), times)
        shift = self.mean if centred else np.zeros_like(self.mean)
        window = {"responses": ((self.responses[rows] - shift) / self.std)[:, neurons]}
        if session.screen:
            frames = self.frames[self.frame_index[_latest(self.flip_seconds, times, 1e-4)]]
            window["video"] = (frames.astype(np.float32) - np.float32(113)) / np.float32(59)
        if session.devices:
            window["behavior"] = np.zeros((len(channels), 40), np.float32)
        for name, device in session.devices.items():
            values = self.behavior[name]
            moments = _times(device.start_seconds, device.rate_hz, len(values))
            samples = start + np.arange(40) / 20
            is_valid = np.zeros(40, bool)
            for low, high in _valid(session, device):
                is_valid |= (samples + 1e-6 >= low) & (samples + 1e-6 < high)
            held = np.full((40, len(device.channels)), np.nan, np.float32)
            held[is_valid] = values[_latest(moments, samples[is_valid])]
            for column, channel in enumerate(device.channels):
                scaled = (held[:, column].astype(np.float64) - _MEAN) / _STD
                window["behavior"][channels.index(channel)] = scaled.astype(np.float32)
        return window


_MEAN, _STD = 0.25, 1.7


def _times(start: float, rate: float, count: int) -> np.ndarray:
    return start + np.arange(count) / rate


def _latest(moments: np.ndarray, times: np.ndarray, tolerance: float = 1e-6) -> np.ndarray:
    return np.array([np.flatnonzero(moments <= t + tolerance).max() for t in times], np.int64)


def _stored(values: np.ndarray, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the stored array and its values as float32."""
    if dtype == "BF16":
        bits = (values.view(np.uint32) >> 16).astype(np.uint16)
        return bits, (bits.astype(np.uint32) << 16).view(np.float32)
    stored = values.astype(STORED[dtype])
    return stored, stored.astype(np.float32)


def _columns(session: TinySession) -> dict[str, np.ndarray]:
    trials = session.trials
    return {
        "trials.start_seconds": np.array([trial[0] for trial in trials], "<f8"),
        "trials.end_seconds": np.array([trial[1] for trial in trials], "<f8"),
        "trials.tier": np.array(
            [-1 if trial[2] is None else TIERS.index(trial[2]) for trial in trials], "<i4"
        ),
        "trials.kind": np.array([KINDS.index(trial[3]) for trial in trials], "<i4"),
        "trials.condition": np.full(len(trials), -1, "<i4"),
    }


def _behavior(session: TinySession, generator: np.random.Generator) -> dict[str, np.ndarray]:
    behavior = {}
    for name, device in session.devices.items():
        num_samples = int((session.seconds + 0.3) * device.rate_hz)
        values = generator.normal(size=(num_samples, len(device.channels))).astype("<f4")
        moments = _times(device.start_seconds, device.rate_hz, num_samples)
        for first, last in device.missing:
            values[(moments >= first) & (moments < last)] = np.nan
        behavior[name] = values
    return behavior


def _valid(session: TinySession, device: Device) -> np.ndarray:
    """Valid time of the session without the vicinity of the device's missing time."""
    edges = [session.valid[0][0]]
    for first, last in device.missing:
        edges += [first - 0.15, last + 0.15]
    edges.append(session.valid[-1][1])
    return np.array(edges, "<f8").reshape(-1, 2)


def _checksum(data: bytes) -> str:
    checksum = Checksum()
    checksum.update(data)
    return f"blake3-128:{checksum.hexdigest()}"


def _description(
    session: TinySession,
    num_samples: int,
    behavior: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
) -> str:
    height, width = session.frame_shape
    description = {
        "session": session.key,
        "animal": session.key.split("-")[0],
        "origin_seconds": 1.7e9,
        "response_kind": session.response_kind,
        "native_rate_hz": None,
        "statistics_tier": "train",
        "responses": {
            "clock": {
                "start_seconds": session.start_seconds,
                "rate_hz": session.rate_hz,
                "num_samples": num_samples,
            },
            "num_neurons": session.neurons,
            "rounding": {"rms_relative": 0.0, "max_relative": 0.0},
        },
        "screen": {
            "frame_height": height,
            "frame_width": width,
            "source_height": height,
            "source_width": width,
        }
        if session.screen
        else None,
        "behavior": [
            {
                "name": name,
                "clock": {
                    "start_seconds": device.start_seconds,
                    "rate_hz": device.rate_hz,
                    "num_samples": len(behavior[name]),
                },
                "channels": list(device.channels),
                "mean": [_MEAN] * len(device.channels),
                "std": [_STD] * len(device.channels),
            }
            for name, device in session.devices.items()
        ],
        "tiers": list(TIERS),
        "kinds": list(KINDS),
        "conditions": [],
        "checksums": {name: _checksum(array.tobytes()) for name, array in tensors.items()},
        "source": {"path": "by hand", "fingerprint": f"{session.key}-{session.seed}"},
        "notes": [],
    }
    return json.dumps(description)


def _file(tensors: Mapping[str, np.ndarray], description: str) -> bytes:
    zeros = "blake3-128:" + "0" * 32
    metadata = {
        "format": "omnimouse-shard",
        "version": "1",
        "checksum": zeros,
        "description": description,
    }
    table: dict[str, Any] = {"__metadata__": metadata}
    position = 0
    # Wide items first, so that every tensor is aligned.
    ordered = sorted(tensors.items(), key=lambda item: -item[1].dtype.itemsize)
    for name, array in ordered:
        table[name] = {
            "dtype": DTYPES[array.dtype.str[1:]],
            "shape": list(array.shape),
            "data_offsets": [position, position + array.nbytes],
        }
        position += array.nbytes
    # As the package writes headers: without spaces.
    text = json.dumps(table, separators=(",", ":")).encode()
    text = text.ljust(-(-(len(text) + 8) // 4096) * 4096 - 8)
    header = struct.pack("<Q", len(text)) + text
    header = header.replace(zeros.encode(), _checksum(header).encode(), 1)
    return header + b"".join(array.tobytes() for _, array in ordered)


def _write(folder: Path, session: TinySession) -> TinyShard:
    generator = np.random.default_rng((session.seed, len(session.key), session.neurons))
    num_samples = int(session.seconds * session.rate_hz)
    values = generator.gamma(1.0, size=(num_samples, session.neurons)).astype(np.float32)
    stored, responses = _stored(values, session.dtype)
    mean, std = responses.mean(0).astype("<f4"), responses.std(0).astype("<f4")
    behavior = _behavior(session, generator)
    height, width = session.frame_shape
    frames = generator.integers(0, 256, (20, height, width), np.uint8)
    flips = np.sort(generator.uniform(0.1, session.seconds, round(session.seconds * 25)))
    index = generator.integers(0, 20, len(flips))
    valid = np.array(session.valid, "<f8")
    tensors = {"responses": stored, "neurons.mean": mean, "neurons.std": std}
    tensors |= _columns(session) | {"valid.responses": valid}
    if session.screen:
        tensors |= {
            "screen.frames": frames,
            "screen.flip_seconds": flips.astype("<f8"),
            "screen.frame_index": index.astype("<i8"),
            "valid.screen": valid,
        }
    for name, device in session.devices.items():
        tensors[f"behavior.{name}"] = behavior[name]
        tensors[f"valid.{name}"] = _valid(session, device)
    path = folder / f"{session.key}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_file(tensors, _description(session, num_samples, behavior, tensors)))
    return TinyShard(
        session=session,
        path=path,
        responses=responses,
        mean=mean,
        std=std,
        frames=frames,
        flip_seconds=flips,
        frame_index=index,
        behavior=behavior,
    )


@pytest.fixture(scope="session")
def write_shard() -> Callable[..., TinyShard]:
    """`write_shard(folder, key=..., neurons=..., ...)` writes a session and returns its arrays."""
    return lambda folder, **facts: _write(folder, TinySession(**facts))


@pytest.fixture(scope="session")
def tiny_shards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TinyShard]:
    """Five different sessions in one folder: clocks, types, missing signals, missing behavior."""
    folder = tmp_path_factory.mktemp("shards")
    missing = replace(EYE, missing=((10.0, 11.0), (25.0, 25.2)))
    whisker = Device(rate_hz=50.0, channels=("whisker_0",))
    sessions = [
        TinySession(key="1-1-1"),
        TinySession(key="1-1-2", neurons=11, rate_hz=30.1, start_seconds=0.31, dtype="F32"),
        TinySession(
            key="2-1-1", rate_hz=8.0, dtype="BF16", screen=False, devices={"whisker": whisker}
        ),
        TinySession(key="3-1-1", neurons=5, devices={}, response_kind="dff", frame_shape=(3, 5)),
        TinySession(key="4-1-1", devices={"eye_tracker": missing}),
    ]
    return {session.key: _write(folder, session) for session in sessions}


@pytest.fixture(scope="session")
def tiny_dataset(tiny_shards: dict[str, TinyShard]) -> Dataset:
    """The five sessions, opened."""
    return open_dataset(tiny_shards["1-1-1"].path.parent)
