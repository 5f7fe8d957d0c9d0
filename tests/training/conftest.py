"""Fixtures of training tests: tiny data sets with a structure that can be learned, tiny models."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.config.model import LatentConfig, ModelConfig
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.config.sizes import SIZES
from omnimouse_cli.config.training import MaskingConfig, TrainConfig
from omnimouse_cli.recording.recording import Clock, Neurons, Recording, Screen, Signal, Trial
from omnimouse_cli.reporter import Silent
from omnimouse_cli.shard.convert import Storage
from omnimouse_cli.shard.preprocess import PreprocessOptions, preprocess

TRIAL_SECONDS = 6.0
FRAME = (36, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session of oscillating neurons, whose future follows from their past."""

    key: str = "1-1-1"
    num_neurons: int = 6
    seconds: float = 60.0
    behavior: bool = False
    lost_every: int | None = None
    lost_until_seconds: float = 0.0
    more_channels: tuple[str, ...] = ()
    screen: bool = False
    negative: bool = False
    kind: Literal["rate", "dff", "unknown"] | None = None
    has_validation: bool = True

    def recording(self, folder: Path) -> Recording:
        generator = np.random.default_rng(len(self.key) + self.num_neurons)
        num_samples = round(self.seconds * 30)
        time = np.arange(num_samples)[:, None] / 30
        frequency = generator.uniform(0.3, 0.6, self.num_neurons)
        phase = generator.uniform(0, 6, self.num_neurons)
        responses = 1 + np.sin(2 * np.pi * frequency * time + phase)
        responses += 0.1 * generator.random(responses.shape) - (1.5 if self.negative else 0.0)
        path = folder / self.key
        path.mkdir(parents=True, exist_ok=True)
        (path / "meta.json").write_text("{}")
        speed = np.cos(2 * np.pi * 0.4 * np.arange(round(self.seconds * 20))[:, None] / 20)
        return Recording(
            path=path,
            session=self.key,
            animal=self.key.partition("-")[0],
            origin_seconds=0.0,
            responses=_signal("responses", responses, 30.0, ()),
            neurons=Neurons(num_neurons=self.num_neurons),
            trials=tuple(self._trials()),
            screen=self._screen() if self.screen else None,
            behavior=tuple(self._devices(speed)),
        )

    def _devices(self, speed: np.ndarray) -> Iterator[Signal]:
        if self.behavior:
            running = speed.copy()
            if self.lost_every is not None:
                running[:: self.lost_every] = np.nan
            running[: round(20 * self.lost_until_seconds)] = np.nan
            # Three seconds before the responses: the signal has begun when samples are lost.
            running = np.concatenate((speed[:60], running))
            signal = _signal("treadmill", running, 20.0, ("running",))
            yield replace(signal, clock=replace(signal.clock, start_seconds=-3.0))
        if self.more_channels:
            rows = np.repeat(-speed, len(self.more_channels), axis=1)
            yield _signal("camera", rows, 20.0, self.more_channels)

    def _trials(self) -> list[Trial]:
        count = int(self.seconds // TRIAL_SECONDS)
        return [
            Trial(
                start_seconds=number * TRIAL_SECONDS,
                end_seconds=(number + 1) * TRIAL_SECONDS,
                kind="video",
                tier="validation" if self.has_validation and number >= 0.7 * count else "train",
                condition=None,
                first_flip=number * 30 * int(TRIAL_SECONDS),
                num_flips=30 * int(TRIAL_SECONDS),
            )
            for number in range(count)
        ]

    def _screen(self) -> Screen:
        num_flips = round(self.seconds * 30)

        def read_frames(trial: int, first: int, last: int) -> np.ndarray:
            generator = np.random.default_rng(trial)
            frames = generator.integers(0, 256, (30 * int(TRIAL_SECONDS), *FRAME), dtype=np.uint8)
            return frames[first:last]

        return Screen(
            flip_seconds=np.arange(num_flips) / 30,
            frame_height=FRAME[0],
            frame_width=FRAME[1],
            read_frames=read_frames,
        )


def _signal(name: str, values: np.ndarray, rate_hz: float, channels: tuple[str, ...]) -> Signal:
    rows = values.astype(np.float32)
    return Signal(
        name=name,
        clock=Clock(start_seconds=0.0, rate_hz=rate_hz, num_samples=len(rows)),
        channels=channels,
        num_channels=rows.shape[1],
        read_rows=lambda first, last: rows[first:last],
    )


MakeShards = Callable[[Sequence[Session]], Path]


@pytest.fixture(scope="session")
def make_shards(tmp_path_factory: pytest.TempPathFactory) -> MakeShards:
    """Write a data set of sessions, once for each list of them."""
    made: dict[tuple[Session, ...], Path] = {}

    def make(sessions: Sequence[Session]) -> Path:
        key = tuple(sessions)
        if key not in made:
            folder = tmp_path_factory.mktemp("data")
            for session in key:
                preprocess(
                    [session.recording(folder / "recordings")],
                    folder / "shards",
                    PreprocessOptions(storage=Storage(response_kind=session.kind)),
                    Silent(),
                )
            made[key] = folder / "shards"
        return made[key]

    return make


def tiny_model() -> ModelConfig:
    return replace(
        SIZES["nano"],
        d_model=16,
        num_heads=2,
        layers=1,
        pattern="G",
        d_embedding=8,
        dropout=0.1,
        latents=LatentConfig(per_group=2, num_global=2),
        video=replace(SIZES["nano"].video, d_embed=8),
        # They are computed before each training: tests of them set a rank.
        decoder=replace(
            SIZES["nano"].decoder,
            linear_rank=None,
            motion_wavelengths=(13.0,),
            motion_time_constants=(0.045,),
        ),
    )


@pytest.fixture
def tiny() -> RunConfig:
    """A run of seconds: a model of a few thousand parameters, dropout on, one thread."""
    return RunConfig(
        seed=3,
        data=DataConfig(batch_size=2, max_neurons=5),
        model=tiny_model(),
        masking=MaskingConfig(table="families"),
        train=TrainConfig(
            steps=6,
            learning_rate=2e-3,
            log_every=1,
            checkpoint_every=2,
            # Both parts of a training are in every test of it.
            shortcuts_first_fraction=0.25,
        ),
    )


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Sums of floats depend on the number of threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def session() -> type[Session]:
    """What a data set is made of."""
    return Session
