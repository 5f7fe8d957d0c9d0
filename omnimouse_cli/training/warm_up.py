"""Compilation of the model before the clock of a training starts."""

import gc
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch._inductor.runtime.cache_dir_utils import cache_dir, default_cache_dir

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.batch.dataset import SessionInfo
from omnimouse_cli.batch.masking import applies
from omnimouse_cli.batch.reader import WindowReader
from omnimouse_cli.batch.selection import select
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.cost.training import make_task
from omnimouse_cli.model.compile import compile_parts, compiled_code, usual_fusion_length
from omnimouse_cli.model.sequences import Task
from omnimouse_cli.model.session_embeddings import SessionEmbeddings
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.seeds import derive_seed
from omnimouse_cli.training.state import TrainState
from omnimouse_cli.training.step import TrainingSetup, compute_batch_losses
from omnimouse_cli.training.validate import validation_strategies
from omnimouse_cli.training.validation_windows import (
    validation_neurons,
    validation_sessions,
)

WARM_UP_TASK = "compiling"
# torch and Triton keep what they have compiled in the folder that this variable names.
CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


class Pass(NamedTuple):
    """A forward and backward pass of one batch of a session."""

    session: SessionInfo
    strategy: Strategy
    task: Task


def compile_core(state: TrainState, setup: TrainingSetup, reporter: Reporter) -> None:
    """Compile the core, if the run compiles, and run everything that is compiled once.

    Nothing of the state changes but gradients, which every step sets to zero first.

    Args:
        state: Its core is changed in place.
        setup: Data and settings.
        reporter: Shows progress.
    """
    config, device = setup.config, setup.world.device
    is_compiled = config.train.compile
    if is_compiled is None:
        is_compiled = device.type == "cuda"
    if not is_compiled or config.model.kind == "cnn-twin":
        return
    setup.world.activity.watch_compilation()
    start = time.perf_counter()
    cache = _choose_cache(device, reporter)
    training, validation = _list_passes(setup)
    length = usual_fusion_length(config.model, [each.task for each in training])
    uses_cuda_graphs = config.train.compile == "cuda-graphs" and device.type == "cuda"
    compile_parts(
        state.core,
        device,
        batch_size=config.data.batch_size,
        fusion_length=length,
        uses_cuda_graphs=uses_cuda_graphs,
    )
    if config.train.compile == "cuda-graphs" and (length is None or not uses_cuda_graphs):
        reporter.warn(
            "no layer is captured as a CUDA graph (train.compile=cuda-graphs): that needs a GPU, "
            "and a length that at least half of the fusion sequences have"
        )
    passes = _choose_passes(training + validation, config.model, length)
    reporter.start(WARM_UP_TASK, len(passes))
    # Compilers make many objects that live long: searching them for garbage takes seconds.
    gc.disable()
    try:
        for each in passes:
            _run(state, setup, each)
            if config.model.dropout > 0:
                _evaluate(state, setup, each)
            reporter.advance(WARM_UP_TASK, 1, each.strategy.name)
    finally:
        gc.enable()
        reporter.finish(WARM_UP_TASK)
    seconds = time.perf_counter() - start
    reporter.say(f"compiled the model in {seconds:.0f} s; what was compiled is kept in {cache}")


def _choose_cache(device: torch.device, reporter: Reporter) -> Path:
    """Return the folder in which compiled code is kept for later runs.

    torch's own choice is a temporary folder, which a computer or a job loses; it is in the
    environment from when torch was imported. A folder that the user has chosen is kept.
    """
    if os.environ.get(CACHE_VARIABLE, default_cache_dir()) == default_cache_dir():
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        version = f"torch-{torch.__version__}-{name.replace(' ', '-')}"
        folder = base / "omnimouse" / "compiled" / version
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reporter.warn(f"compiled code is kept in a temporary folder: {error}")
        else:
            os.environ[CACHE_VARIABLE] = str(folder)
    return Path(cache_dir())


def _list_passes(setup: TrainingSetup) -> tuple[list[Pass], list[Pass]]:
    """Return what training and what validation may compute, on one session of each kind."""
    config = setup.config
    training = [
        Pass(session, strategy, _task(config, session, strategy))
        for session in _one_of_each_kind(setup, setup.dataset.sessions)
        for strategy in setup.strategies
        if applies(strategy, session)
    ]
    validation = [
        Pass(session, strategy, _task(config, session, strategy))
        for session in _one_of_each_kind(setup, validation_sessions(config, setup.dataset))
        for strategy in validation_strategies(session, config.model)
    ]
    return training, validation


def _one_of_each_kind(setup: TrainingSetup, sessions: Sequence[SessionInfo]) -> list[SessionInfo]:
    """Return a session of each combination of modalities, with as many neurons as any of them."""
    kinds: dict[tuple[bool, bool, bool], SessionInfo] = {}
    for session in sorted(sessions, key=lambda session: session.num_neurons):
        has_screen, has_behavior = session.frame_shape is not None, bool(session.channels)
        if setup.dataset.windows(setup.config.data, session.key).num_windows:
            kinds[has_screen, has_behavior, session.has_time_course] = session
    return list(kinds.values())


def _task(config: RunConfig, session: SessionInfo, strategy: Strategy) -> Task:
    return make_task(
        config.model,
        strategy,
        num_neurons=min(session.num_neurons, config.data.max_neurons),
        num_channels=len(session.channels),
        has_screen=session.frame_shape is not None,
    )


def _choose_passes(passes: list[Pass], config: ModelConfig, length: int | None) -> list[Pass]:
    """Return few passes that together use everything that is compiled.

    Args:
        passes: Of training and validation.
        config: Configuration of the model.
        length: Length of fusion sequences that is compiled for itself; None if there is none.
    """
    uses = [compiled_code(config, each.task, length) for each in passes]
    missing, chosen = set().union(*uses), []
    while missing:
        best = max(range(len(passes)), key=lambda number: len(uses[number] & missing))
        chosen.append(passes[best])
        missing -= uses[best]
    return chosen


def _evaluate(state: TrainState, setup: TrainingSetup, each: Pass) -> None:
    """Run a strategy forward without dropout, whose code is another one."""
    state.core.eval()
    with torch.no_grad():
        _run(state, setup, each)
    state.core.train()


def _run(state: TrainState, setup: TrainingSetup, each: Pass) -> None:
    """Run a strategy forward, and backward if gradients are enabled, on windows of a session."""
    config, core = setup.config, state.core
    batch = _read_batch(setup, each.session)
    embeddings = SessionEmbeddings(
        each.session.num_neurons,
        config.model.d_embedding,
        config.model.decoder.num_neuron_weights(len(core.behavior_channels)),
    )
    core.shortcuts_only = False
    losses = compute_batch_losses(
        core,
        batch,
        embeddings=embeddings.to(setup.world.device),
        animal=each.session.animal,
        strategy=each.strategy,
        selection=select(
            each.strategy,
            num_neurons=batch.responses.shape[2],
            num_windows=batch.num_windows,
            generator=torch.Generator().manual_seed(derive_seed(config.seed, "warm-up")),
            max_targets=config.model.max_targets,
        ),
        config=config,
    )
    present = [loss for loss in losses if loss is not None]
    if present and torch.is_grad_enabled():
        torch.stack(present).sum().backward()  # type: ignore[no-untyped-call]


def _read_batch(setup: TrainingSetup, session: SessionInfo) -> Batch:
    """Read as many windows as a batch has; the first ones again where there are fewer."""
    data = setup.config.data
    windows = setup.dataset.windows(data, session.key)
    numbers = np.arange(data.batch_size) % windows.num_windows
    neurons = np.tile(validation_neurons(session, data.max_neurons), (len(numbers), 1))
    reader = WindowReader(setup.dataset, data)
    return reader.read(session.key, windows.grid_index(numbers), neurons)
