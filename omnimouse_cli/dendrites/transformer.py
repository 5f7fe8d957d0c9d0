"""The learned functions of a training run, and what its own windows give them as arguments."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from omnimouse_cli.batch.dataset import Dataset, SessionInfo, require_tiers
from omnimouse_cli.dendrites.learned import ALL_LAYERS, LearnedFunction, Measuring
from omnimouse_cli.dendrites.surface import F64, Function, frame_of
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.evaluate.network import Network, predict_network
from omnimouse_cli.evaluate.records import EvalOptions
from omnimouse_cli.evaluate.rows import rows_of
from omnimouse_cli.evaluate.signals import SessionSignals
from omnimouse_cli.evaluate.targets import asked_of
from omnimouse_cli.evaluate.windows import EvalWindows, evaluation_windows
from omnimouse_cli.kernels.dendrite import DendriticFunction
from omnimouse_cli.kernels.dendrite.reference import reference_dendrite
from omnimouse_cli.model.feed_forward import FeedForward
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.load import LoadedRun, load_run, open_run_data
from omnimouse_cli.run.weights import read_description

# N sampled tokens, M width of a token, U units, K cell types, P weights of a function

TASK = "arguments"
# Of a data set of any size: so many sessions, evenly chosen, and windows of each.
MOST_SESSIONS, WINDOWS = 16, 8
# Pairs of arguments that one forward pass gives for one layer.
PAIRS_AT_ONCE = 8192

# By name of the feed-forward, float32 `(tokens, 2, units)`, one array for each forward pass.
Arguments = dict[str, list[Tensor]]


def functions_of_run(run: Path, measuring: Measuring, reporter: Reporter) -> list[LearnedFunction]:
    """Run a model over windows of a tier in every regime, and give its functions layer by layer.

    Functions of one layer are its own or those of the whole model; these also have all arguments
    pooled, under the layer `all`.

    Args:
        run: Folder of a finished run.
        measuring: Which windows.
        reporter: Is told about progress.

    Raises:
        OmniMouseError: The run is not finished, has no dendritic layers, or its shards are gone.
    """
    _require_dendrites(run, read_description(run).config.model.feed_forward)
    loaded = load_run(run)
    arguments = _arguments(loaded, open_run_data(loaded, measuring.shards), measuring, reporter)
    functions = [
        function
        for name, parts in arguments.items()
        for function in _of_layer(loaded, name, torch.cat(parts))
    ]
    config = loaded.config.model.dendrite
    if config.sharing == "model":
        functions += [_pooled(functions, number) for number in range(config.cell_types)]
    return functions


def _require_dendrites(run: Path, kind: str) -> None:
    if kind == "dendritic":
        return
    begin = f" --init-from {run}" if kind == "swiglu" else ""
    raise OmniMouseError(
        f"{run} is a {kind} run: it has no dendritic layers, so it has no surfaces to show",
        hint=f"train a dendritic one: omnimouse train{begin} --set model.feed_forward=dendritic",
    )


def _of_layer(run: LoadedRun, name: str, values_N2U: Tensor) -> Iterator[LearnedFunction]:
    config = run.config.model
    module = run.model.get_submodule(name)
    assert isinstance(module, FeedForward), "arguments are those of feed-forwards"
    dendrite = module.function
    weights_KP = dendrite.weights.detach().cpu().double()
    for number, share_N2U in enumerate(values_N2U.double().chunk(len(weights_KP), dim=-1)):
        rows = np.asarray(share_N2U.transpose(1, 2).reshape(-1, 2).numpy(), np.float64)
        yield LearnedFunction(
            run=run.folder.resolve().name,
            network=config.size,
            layer=name.removesuffix(".feed_forward"),
            cell_type=number,
            seed=run.config.seed,
            is_whole=config.dendrite.sharing == "layer",
            function=_function(weights_KP[number : number + 1], dendrite.function),
            arguments=rows,
            frame=frame_of(rows),
        )


def _function(weights_1P: Tensor, function: DendriticFunction) -> Function:
    def values(points: F64) -> F64:
        a_N1, b_N1 = torch.from_numpy(points).chunk(2, dim=1)
        with torch.no_grad():
            found_N1 = reference_dendrite(a_N1, b_N1, weights_1P, function)
        return np.asarray(found_N1[:, 0].numpy(), np.float64)

    return values


def _pooled(functions: list[LearnedFunction], cell_type: int) -> LearnedFunction:
    """Give a function that all layers share, with the arguments of all of them."""
    same = [one for one in functions if one.cell_type == cell_type]
    rows = np.concatenate([one.arguments for one in same])
    return replace(same[0], layer=ALL_LAYERS, is_whole=True, arguments=rows, frame=frame_of(rows))


def _arguments(
    run: LoadedRun, dataset: Dataset, measuring: Measuring, reporter: Reporter
) -> Arguments:
    """Run the model over some windows in every regime, and keep what its units are given."""
    require_tiers(dataset.sessions, (measuring.tier,))
    options = EvalOptions(tier=measuring.tier)
    network = Network(run=run, dataset=dataset, device=torch.device(measuring.device))
    windows = _windows(dataset, options)
    reporter.start(TASK, sum(len(rows_of(session, options)[0]) for session, _ in windows))
    with _kept(run, torch.Generator().manual_seed(measuring.seed)) as arguments:
        for session, chosen in windows:
            signals = SessionSignals(dataset, run.config.data, session.key)
            for row in rows_of(session, options)[0]:
                asked = asked_of(row.name, row, signals, chosen)
                for _ in predict_network(network, asked):
                    pass
                reporter.advance(TASK, note=f"{session.key} {row.name}")
    reporter.finish(TASK)
    return arguments


def _windows(dataset: Dataset, options: EvalOptions) -> list[tuple[SessionInfo, EvalWindows]]:
    found = []
    for place in _evenly(len(dataset.sessions), MOST_SESSIONS):
        session = dataset.sessions[place]
        windows = evaluation_windows(
            session,
            tier=options.tier,
            include_blanks=options.include_blanks,
            stride_samples=options.stride_samples,
        )
        if len(windows):
            found.append((session, windows.some(_evenly(len(windows), WINDOWS))))
    if not found:
        raise OmniMouseError(
            f"no window of two seconds fits in the trials of tier {options.tier}",
            hint="`omnimouse inspect` lists windows per tier; name another with --tier",
        )
    return found


def _evenly(count: int, most: int) -> list[int]:
    kept = min(count, most)
    return [number * count // kept for number in range(kept)]


@contextmanager
def _kept(run: LoadedRun, generator: torch.Generator) -> Iterator[Arguments]:
    """Keep both arguments of randomly chosen tokens of every forward pass, while this lasts."""
    arguments: Arguments = {}

    def hook(name: str, module: FeedForward, x: Tensor) -> None:
        x_NM = x.flatten(0, -2)
        count = max(1, PAIRS_AT_ONCE // module.up.out_features)
        chosen = torch.randperm(len(x_NM), generator=generator)[:count].to(x.device)
        given_N2U = module.arguments(x_NM[chosen])
        arguments.setdefault(name, []).append(given_N2U.float().cpu())

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
