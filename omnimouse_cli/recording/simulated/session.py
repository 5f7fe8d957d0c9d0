"""Simulates one session and writes it, a few seconds of it at a time."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.files import write_document
from omnimouse_cli.recording.simulated.activity import Activity, ActivitySource
from omnimouse_cli.recording.simulated.behavior import Behavior, draw_behavior
from omnimouse_cli.recording.simulated.dynamics import draw_states
from omnimouse_cli.recording.simulated.layout import ScreenWriter, write_sequence
from omnimouse_cli.recording.simulated.population import Population, draw_population
from omnimouse_cli.recording.simulated.schedule import PlannedTrial, draw_frames, plan_trials
from omnimouse_cli.recording.simulated.settings import (
    BEHAVIOR_CHANNELS,
    DECAY,
    EYE_RATE_HZ,
    FRAME_HEIGHT,
    FRAME_WIDTH,
    GREY,
    RESPONSE_RATE_HZ,
    TREADMILL_RATE_HZ,
    SimulationConfig,
    generator,
)
from omnimouse_cli.recording.simulated.stimulus import StimulusDrive
from omnimouse_cli.recording.simulated.timeline import Timeline
from omnimouse_cli.recording.simulated.truth import TRUTH_FOLDER, save_parameters
from omnimouse_cli.reporter import Reporter

F64 = NDArray[np.float64]
CHUNK_FRAMES = 300
BLINKS_PER_MINUTE = 1.0
EYE_NOISE = np.array([0.15, 0.15, 0.3, 0.6])
TREADMILL_NOISE = 0.02
NATIVE_RATE_HZ = 8


def _draw_chunks(
    trials: list[PlannedTrial], seed: int, screen: ScreenWriter
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Draw and write the trials; give ten seconds of frames at once, and their first flip."""
    pending = [np.full((1, FRAME_HEIGHT, FRAME_WIDTH), GREY, np.uint8)]
    first, duration = -1, 0
    for trial in trials:
        frames = draw_frames(trial, seed)
        screen.add(trial, frames)
        pending.append(frames)
        duration += trial.frames
        if duration >= CHUNK_FRAMES:
            chunk = np.concatenate(pending)
            yield first, chunk
            first, duration, pending = first + len(chunk), 0, []
    if pending:
        yield first, np.concatenate(pending)


class _ResponseFiles:
    """The long files of a session while they grow: responses, and what was expected of them."""

    def __init__(self, folder: Path, num_rows: int, num_neurons: int) -> None:
        self._responses = (folder / "responses" / "data.mem").open("wb")
        self._expected = [
            np.lib.format.open_memmap(
                folder / TRUTH_FOLDER / f"{name}.npy",
                mode="w+",
                dtype=np.float32,
                shape=(num_rows, num_neurons),
            )
            for name in ("expected_stimulus_behavior", "expected_state")
        ]
        self._row = 0
        self._count = 0
        self._sums = np.zeros((2, num_neurons))

    def add(self, activity: Activity, lost: NDArray[np.bool_]) -> None:
        """Append rows; responses of `lost` rows are written as NaN."""
        rows = slice(self._row, self._row + len(lost))
        responses = activity.responses.astype(np.float32)
        responses[lost] = np.nan
        self._responses.write(responses.tobytes())
        self._expected[0][rows] = activity.expected_stimulus_behavior
        self._expected[1][rows] = activity.expected_state
        kept = responses[~lost].astype(np.float64)
        self._sums += kept.sum(axis=0), (kept**2).sum(axis=0)
        self._count += len(kept)
        self._row = rows.stop

    def close(self) -> tuple[F64, F64]:
        """Give mean and standard deviation of every neuron."""
        self._responses.close()
        for expected in self._expected:
            expected.flush()
        mean, square = self._sums / self._count
        return mean, np.sqrt(np.maximum(square - mean**2, 0.0))


def _lost_rows(trials: list[PlannedTrial], timeline: Timeline) -> NDArray[np.bool_]:
    """Tell which rows the imaging lost: the inside of the invalid stretch."""
    first_flips = np.cumsum([0, *(trial.num_flips for trial in trials)])
    lost = np.zeros(timeline.num_rows, np.bool_)
    for number, trial in enumerate(trials):
        if trial.kind == "invalid":
            start = timeline.flip_seconds[first_flips[number]] + 1.0
            end = timeline.flip_seconds[first_flips[number + 1]] - 1.0
            lost |= (timeline.row_seconds > start) & (timeline.row_seconds < end)
    return lost


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    """What is decided before the first row is drawn."""

    config: SimulationConfig
    number: int
    trials: list[PlannedTrial]
    timeline: Timeline
    behavior: Behavior
    population: Population

    def generator(self, purpose: str) -> np.random.Generator:
        return generator(self.config.seed, purpose, self.number)


def _plan_session(config: SimulationConfig, number: int) -> _Session:
    trials = plan_trials(config, number)
    timeline = Timeline(config, number, trials)
    behavior = draw_behavior(
        generator(config.seed, "behavior", number),
        timeline.eye_start,
        timeline.behavior_end - timeline.eye_start,
    )
    return _Session(
        config=config,
        number=number,
        trials=trials,
        timeline=timeline,
        behavior=behavior,
        population=draw_population(config.seed, number, config.neurons),
    )


def _write_responses(folder: Path, session: _Session, reporter: Reporter) -> None:
    timeline, population, seed = session.timeline, session.population, session.config.seed
    screen = ScreenWriter(folder / "screen")
    files = _ResponseFiles(folder, timeline.num_rows, population.num_neurons)
    drive = StimulusDrive(population, seed, session.number)
    source = ActivitySource(population, session.generator("events"))
    states = draw_states(session.generator("states"), timeline.num_rows)
    standardized = session.behavior.standardized_at(timeline.row_seconds)
    shift = session.behavior.gaze_shift_at(timeline.row_seconds)
    lost = _lost_rows(session.trials, timeline)
    scale = population.activity / _mean_gain(standardized, population.coupling)
    task = session.config.session_key(session.number)
    for first, frames in _draw_chunks(session.trials, seed, screen):
        start, stop = np.searchsorted(timeline.shown_flip, [first, first + len(frames)])
        if stop > start:
            rows = slice(start, stop)
            factor = drive.factor(frames[timeline.shown_flip[rows] - first], shift[rows])
            gain = scale * np.exp(standardized[rows] @ population.coupling.T)
            files.add(source.draw(factor * gain, states[rows]), lost[rows])
            reporter.advance(task, (stop - start) / RESPONSE_RATE_HZ)
    screen.finish(timeline.flip_seconds)
    mean, std = files.close()
    _describe_responses(folder / "responses", population, timeline, mean, std)
    np.save(folder / TRUTH_FOLDER / "state.npy", states.astype(np.float32))
    np.save(folder / TRUTH_FOLDER / "behavior.npy", standardized.astype(np.float32))


def _mean_gain(standardized: F64, coupling: F64) -> F64:
    """Give the mean over the session of exp(coupling . behavior), a few thousand rows at a time."""
    total = np.zeros(len(coupling))
    for first in range(0, len(standardized), 4096):
        total += np.exp(standardized[first : first + 4096] @ coupling.T).sum(axis=0)
    return total / len(standardized)


def _describe_responses(
    folder: Path, population: Population, timeline: Timeline, mean: F64, std: F64
) -> None:
    write_sequence(
        folder,
        None,
        start_seconds=timeline.responses_start,
        end_seconds=timeline.responses_end,
        rate_hz=RESPONSE_RATE_HZ,
        shape=(timeline.num_rows, population.num_neurons),
        dtype="float32",
        facts={
            "original_sampling_rate": NATIVE_RATE_HZ,
            "neuron_properties": {
                "unit_ids": "meta/unit_ids.npy",
                "cell_motor_coordinates": "meta/cell_motor_coordinates.npy",
            },
        },
    )
    np.save(folder / "meta" / "means.npy", mean[None])
    np.save(folder / "meta" / "stds.npy", std[None])
    np.save(folder / "meta" / "unit_ids.npy", population.unit_id)
    np.save(folder / "meta" / "cell_motor_coordinates.npy", population.position_um)


def _write_behavior(
    folder: Path, timeline: Timeline, behavior: Behavior, rng: np.random.Generator
) -> None:
    duration = timeline.behavior_end - timeline.eye_start
    rows = int(duration * EYE_RATE_HZ)
    values = behavior.at(timeline.eye_start + np.arange(rows) / EYE_RATE_HZ)[:, :4]
    values = values + EYE_NOISE * rng.normal(size=values.shape)
    for _ in range(max(1, round(BLINKS_PER_MINUTE * duration / 60))):
        first = rng.integers(rows)
        values[first : first + rng.integers(3, 8)] = np.nan
    write_sequence(
        folder / "eye_tracker",
        values,
        start_seconds=timeline.eye_start,
        end_seconds=timeline.eye_start + (rows - 1) / EYE_RATE_HZ,
        rate_hz=EYE_RATE_HZ,
        shape=(rows, 4),
        dtype="float64",
    )
    rows = int((timeline.behavior_end - timeline.treadmill_start) * TREADMILL_RATE_HZ)
    running = behavior.at(timeline.treadmill_start + np.arange(rows) / TREADMILL_RATE_HZ)[:, 4:]
    running = np.abs(running + TREADMILL_NOISE * rng.normal(size=running.shape))
    write_sequence(
        folder / "treadmill",
        running,
        start_seconds=timeline.treadmill_start,
        end_seconds=timeline.treadmill_start + (rows - 1) / TREADMILL_RATE_HZ,
        rate_hz=TREADMILL_RATE_HZ,
        shape=(rows, 1),
        dtype="float64",
    )


def write_session(folder: Path, config: SimulationConfig, number: int, reporter: Reporter) -> None:
    """Simulate session `number` of `config` and write it into the empty `folder`.

    Reports progress in seconds of recording on the task named after the session.
    """
    for part in ("responses", TRUTH_FOLDER):
        (folder / part).mkdir(parents=True)
    session = _plan_session(config, number)
    _write_responses(folder, session, reporter)
    _write_behavior(folder, session.timeline, session.behavior, session.generator("trackers"))
    save_parameters(
        folder / TRUTH_FOLDER,
        behavior_center=session.behavior.center,
        behavior_scale=session.behavior.scale,
        **session.population.arrays(),
    )
    key = config.session_key(number)
    facts = {
        "session": key,
        "channels": BEHAVIOR_CHANNELS,
        "decay": DECAY,
        "response_rate_hz": RESPONSE_RATE_HZ,
        "identity": config.identity(number),
    }
    write_document(folder / TRUTH_FOLDER / "truth.json", "truth", facts)
    names = ("animal_id", "session", "scan_idx")
    scan_key = dict(zip(names, (int(part) for part in key.split("-")), strict=True))
    (folder / "meta.json").write_text(json.dumps({"data_key": key, "scan_key": scan_key}))
