"""The learned functions of a training run, and their arguments on windows of its data."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from omnimouse_cli.batch.dataset import Dataset, require_tiers
from omnimouse_cli.dendrites.surface import (
    ALL_LAYERS,
    F64,
    Function,
    LearnedFunction,
    fit_frame,
)
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.evaluation.forward import predict_model
from omnimouse_cli.evaluation.records import EvalOptions
from omnimouse_cli.evaluation.session_reader import SessionReader
from omnimouse_cli.evaluation.strategies import evaluated_strategies
from omnimouse_cli.evaluation.targets import select_targets
from omnimouse_cli.evaluation.windows import find_windows, space_evenly
from omnimouse_cli.kernels.dendrite import DendriticFunction
from omnimouse_cli.kernels.dendrite.reference import reference_dendrite
from omnimouse_cli.model.feed_forward import FeedForward
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.load import LoadedRun, load_run, open_run_data
from omnimouse_cli.run.start import WHOLE_MODEL, read_start_functions
from omnimouse_cli.run.weights import read_description

# N sampled tokens, M width of a token, U units, K cell types, P weights of a function

PROGRESS_TASK = "arguments"
# Evenly spaced sessions of the data set, and evenly spaced windows of each.
MAX_SESSIONS, WINDOWS = 16, 8
# Pairs of arguments sampled from each layer in each forward pass.
SAMPLED_PAIRS = 8192

# By name of the feed-forward, float32 `(tokens, 2, units)`, one array for each forward pass.
Arguments = dict[str, list[Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentSampling:
    """Data on which the arguments of a training run's units are sampled.

    Args:
        tier: Tier of the windows.
        shards: Folder of the shards; None takes the run's own.
        allow_other_data: Whether the shards may hold other data than those of the training.
        seed: Seed of the choice of tokens.
        device: Device of the model, `cpu` or `cuda`.
    """

    tier: str = "test"
    shards: Path | None = None
    allow_other_data: bool = False
    seed: int = 0
    device: str = "cpu"


def read_transformer_functions(
    run: Path, sampling: ArgumentSampling, reporter: Reporter
) -> list[LearnedFunction]:
    """Return a model's functions layer by layer, with arguments on windows of every regime.

    A function that all layers share is also returned with the arguments of all layers pooled,
    under the layer `all`.

    Args:
        run: Folder of a finished run.
        sampling: Data on which the arguments are sampled.
        reporter: Receives progress.

    Raises:
        OmniMouseError: The run is not finished, has no dendritic layers, or its shards are missing.
    """
    model = read_description(run).config.model
    kind = model.kind if model.kind == "cnn-twin" else model.feed_forward
    if kind != "dendritic":
        start = f" --init-from {run}" if kind == "swiglu" else ""
        raise OmniMouseError(
            f"{run} is a {kind} run: it has no dendritic layers, so it has no surfaces to show",
            hint="train a dendritic one: "
            f"omnimouse train{start} --set model.feed_forward=dendritic",
        )
    loaded = load_run(run)
    dataset = open_run_data(
        loaded, sampling.shards, reporter, allow_other_data=sampling.allow_other_data
    )
    arguments = _sample_arguments(loaded, dataset, sampling, reporter)
    starts = read_start_functions(run)
    functions = [
        function
        for name, parts in arguments.items()
        for function in _read_layer(loaded, name, torch.cat(parts), starts)
    ]
    config = loaded.config.model.dendrite
    if config.sharing == "model":
        functions += [_pool(functions, number) for number in range(config.cell_types)]
    return functions


def _read_layer(
    run: LoadedRun, name: str, values_N2U: Tensor, starts: Mapping[str, Tensor]
) -> Iterator[LearnedFunction]:
    config = run.config.model
    module = run.model.get_submodule(name)
    assert isinstance(module, FeedForward), "arguments are those of feed-forwards"
    dendrite = module.function
    weights_KP = dendrite.weights.detach().cpu().double()
    start_KP = starts.get(name if config.dendrite.sharing == "layer" else WHOLE_MODEL)
    for number, share_N2U in enumerate(values_N2U.double().chunk(len(weights_KP), dim=-1)):
        rows = np.asarray(share_N2U.transpose(1, 2).reshape(-1, 2).numpy(), np.float64)
        start = None
        if start_KP is not None:
            start = _make_function(start_KP[number : number + 1].double(), dendrite.function)
        yield LearnedFunction(
            run=run.folder.resolve().name,
            network=config.size,
            layer=name.removesuffix(".feed_forward"),
            cell_type=number,
            seed=run.config.seed,
            is_whole=config.dendrite.sharing == "layer",
            function=_make_function(weights_KP[number : number + 1], dendrite.function),
            arguments=rows,
            frame=fit_frame(rows),
            start=start,
        )


def _make_function(weights_1P: Tensor, function: DendriticFunction) -> Function:
    def compute(points: F64) -> F64:
        a_N1, b_N1 = torch.from_numpy(points).chunk(2, dim=1)
        with torch.no_grad():
            values_N1 = reference_dendrite(a_N1, b_N1, weights_1P, function)
        return np.asarray(values_N1[:, 0].numpy(), np.float64)

    return compute


def _pool(functions: list[LearnedFunction], cell_type: int) -> LearnedFunction:
    """Return the function that all layers share, with the arguments of all of them."""
    same = [one for one in functions if one.cell_type == cell_type]
    rows = np.concatenate([one.arguments for one in same])
    return replace(same[0], layer=ALL_LAYERS, is_whole=True, arguments=rows, frame=fit_frame(rows))


def _sample_arguments(
    run: LoadedRun, dataset: Dataset, sampling: ArgumentSampling, reporter: Reporter
) -> Arguments:
    """Predict some windows in every regime, and sample the arguments of all units."""
    require_tiers(dataset.sessions, (sampling.tier,))
    options = EvalOptions(tier=sampling.tier, device=sampling.device)
    chosen = [dataset.sessions[n] for n in space_evenly(len(dataset.sessions), MAX_SESSIONS)]
    windows = find_windows(chosen, options, require_behavior=run.config.data.require_behavior)
    strategies = {
        session.key: evaluated_strategies(session, options, run.config.model)[0]
        for session in chosen
        if session.key in windows
    }
    reporter.start(PROGRESS_TASK, sum(map(len, strategies.values())))
    with _record_arguments(run, torch.Generator().manual_seed(sampling.seed)) as arguments:
        for key, of_session in strategies.items():
            reader = SessionReader(dataset, run.config.data, key)
            some = windows[key].subset(space_evenly(len(windows[key]), WINDOWS))
            for strategy in of_session:
                for _ in predict_model(run, select_targets(strategy, reader, some), options):
                    pass
                reporter.advance(PROGRESS_TASK, note=f"{key} {strategy.name}")
    reporter.finish(PROGRESS_TASK)
    return arguments


@contextmanager
def _record_arguments(run: LoadedRun, generator: torch.Generator) -> Iterator[Arguments]:
    """Record both arguments of random tokens in every forward pass within the context."""
    arguments: Arguments = {}

    def hook(name: str, module: FeedForward, x: Tensor) -> None:
        x_NM = x.flatten(0, -2)
        count = max(1, SAMPLED_PAIRS // module.up.out_features)
        chosen = torch.randperm(len(x_NM), generator=generator)[:count].to(x.device)
        arguments_N2U = module.arguments(x_NM[chosen])
        arguments.setdefault(name, []).append(arguments_N2U.float().cpu())

    handles = [
        module.register_forward_pre_hook(
            lambda module, inputs, name=name: hook(name, module, inputs[0])
        )
        for name, module in run.model.named_modules()
        if isinstance(module, FeedForward)
    ]
    try:
        yield arguments
    finally:
        for handle in handles:
            handle.remove()
