"""Simulates one session and writes it in blocks of about ten seconds."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.files import write_document
from omnimouse_cli.recording.simulated.activity import (
    ResponseSimulator,
    draw_states,
    mean_behavior_gain,
)
from omnimouse_cli.recording.simulated.behavior import Behavior, draw_behavior
from omnimouse_cli.recording.simulated.paired_inputs import make_drive
from omnimouse_cli.recording.simulated.population import Population, draw_population
from omnimouse_cli.recording.simulated.schedule import (
    PlannedTrial,
    Timeline,
    draw_frames,
    plan_trials,
)
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
    make_generator,
)
from omnimouse_cli.recording.simulated.truth import TRUTH_FOLDER
from omnimouse_cli.recording.simulated.writer import ResponseWriter, ScreenWriter, write_behavior
from omnimouse_cli.reporter import Reporter

F64 = NDArray[np.float64]
BLOCK_FRAMES = 300
BLINKS_PER_MINUTE = 1.0
EYE_NOISE = np.array([0.15, 0.15, 0.3, 0.6])
TREADMILL_NOISE = 0.02


def _draw_blocks(
    trials: list[PlannedTrial], seed: int, screen: ScreenWriter
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Draw and write the trials; yield blocks of about ten seconds as first flip and frames."""
    pending = [np.full((1, FRAME_HEIGHT, FRAME_WIDTH), GREY, np.uint8)]
    first, duration = -1, 0
    for trial in trials:
        frames = draw_frames(trial, seed)
        screen.add(trial, frames)
        pending.append(frames)
        duration += trial.num_frames
        if duration >= BLOCK_FRAMES:
            block = np.concatenate(pending)
            yield first, block
            first, duration, pending = first + len(block), 0, []
    if pending:
        yield first, np.concatenate(pending)


def _find_missing_rows(trials: list[PlannedTrial], timeline: Timeline) -> NDArray[np.bool_]:
    """Return which response rows are NaN: those well inside the invalid time, bool `(rows,)`."""
    first_flips = np.cumsum([0, *(trial.num_flips for trial in trials)])
    missing = np.zeros(timeline.num_rows, np.bool_)
    for number, trial in enumerate(trials):
        if trial.kind == "invalid":
            start = timeline.flip_seconds[first_flips[number]] + 1.0
            end = timeline.flip_seconds[first_flips[number + 1]] - 1.0
            missing |= (timeline.row_seconds > start) & (timeline.row_seconds < end)
    return missing


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    """All that is drawn before the first response."""

    config: SimulationConfig
    number: int
    trials: list[PlannedTrial]
    timeline: Timeline
    behavior: Behavior
    population: Population

    def generator(self, purpose: str) -> np.random.Generator:
        return make_generator(self.config.seed, purpose, self.number)


def _write_responses(folder: Path, session: _Session, reporter: Reporter) -> None:
    timeline, population, seed = session.timeline, session.population, session.config.seed
    screen = ScreenWriter(folder / "screen")
    writer = ResponseWriter(folder, timeline, population)
    drive = make_drive(population, seed, session.number)
    simulator = ResponseSimulator(population, session.generator("events"))
    states = draw_states(session.generator("states"), timeline.num_rows)
    standardized = session.behavior.standardized_at(timeline.row_seconds)
    shift = session.behavior.gaze_shift_at(timeline.row_seconds)
    missing = _find_missing_rows(session.trials, timeline)
    scale = population.activity / mean_behavior_gain(standardized, population.coupling)
    task = session.config.session_key(session.number)
    for first, frames in _draw_blocks(session.trials, seed, screen):
        start, stop = np.searchsorted(timeline.shown_flip, [first, first + len(frames)])
        if stop > start:
            rows = slice(start, stop)
            shown = frames[timeline.shown_flip[rows] - first]
            drive_gain = drive.gain(shown, shift[rows], standardized[rows])
            behavior_gain = scale * np.exp(standardized[rows] @ population.coupling.T)
            activity = simulator.draw(drive_gain * behavior_gain, states[rows])
            writer.add(activity, missing[rows])
            reporter.advance(task, (stop - start) / RESPONSE_RATE_HZ)
    screen.finish(timeline.flip_seconds)
    writer.finish()
    np.save(folder / TRUTH_FOLDER / "state.npy", states.astype(np.float32))
    np.save(folder / TRUTH_FOLDER / "behavior.npy", standardized.astype(np.float32))


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
    write_behavior(
        folder / "eye_tracker", values, start_seconds=timeline.eye_start, rate_hz=EYE_RATE_HZ
    )
    rows = int((timeline.behavior_end - timeline.treadmill_start) * TREADMILL_RATE_HZ)
    running = behavior.at(timeline.treadmill_start + np.arange(rows) / TREADMILL_RATE_HZ)[:, 4:]
    running = np.abs(running + TREADMILL_NOISE * rng.normal(size=running.shape))
    write_behavior(
        folder / "treadmill",
        running,
        start_seconds=timeline.treadmill_start,
        rate_hz=TREADMILL_RATE_HZ,
    )


def write_session(folder: Path, config: SimulationConfig, number: int, reporter: Reporter) -> None:
    """Simulate session `number` of `config` and write it into the empty `folder`.

    Progress is reported in seconds of recording, as the task that has the session's key.
    """
    for part in ("responses", TRUTH_FOLDER):
        (folder / part).mkdir(parents=True)
    trials = plan_trials(config, number)
    timeline = Timeline(config, number, trials)
    behavior = draw_behavior(
        make_generator(config.seed, "behavior", number),
        timeline.eye_start,
        timeline.behavior_end - timeline.eye_start,
    )
    session = _Session(
        config=config,
        number=number,
        trials=trials,
        timeline=timeline,
        behavior=behavior,
        population=draw_population(config.seed, number, config.neurons, config.multiplicative),
    )
    _write_responses(folder, session, reporter)
    _write_behavior(folder, timeline, behavior, session.generator("trackers"))
    np.savez(
        folder / TRUTH_FOLDER / "parameters.npz",
        allow_pickle=False,
        behavior_center=behavior.center,
        behavior_scale=behavior.scale,
        **session.population.arrays(),
    )
    key = config.session_key(number)
    description = {
        "session": key,
        "channels": BEHAVIOR_CHANNELS,
        "decay": DECAY,
        "response_rate_hz": RESPONSE_RATE_HZ,
        "identity": config.identity(number),
    }
    write_document(folder / TRUTH_FOLDER / "truth.json", "truth", description)
    names = ("animal_id", "session", "scan_idx")
    scan_key = dict(zip(names, (int(part) for part in key.split("-")), strict=True))
    (folder / "meta.json").write_text(json.dumps({"data_key": key, "scan_key": scan_key}))
