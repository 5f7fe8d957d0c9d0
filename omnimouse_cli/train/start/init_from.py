"""Beginning with another run's weights; a SwiGLU that becomes dendritic is distilled on data."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.batch.loader import Loader
from omnimouse_cli.batch.masking import applies, training_strategies
from omnimouse_cli.batch.selection import select
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.errors import CheckpointError
from omnimouse_cli.model.distill import distill
from omnimouse_cli.model.feed_forward import FeedForward
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.load import LoadedRun, load_run
from omnimouse_cli.train.parallel.world import World
from omnimouse_cli.train.state import TrainState
from omnimouse_cli.train.step import compute_batch_losses

# N sampled units of tokens, U hidden units, K cell types, P weights of a function

FUNCTION = "dendrite.weights"
BATCHES, POINTS_PER_BATCH, POINTS = 8, 2048, 4096
STARTS = 4

# First arguments, second ones and how much each counts, by the name of the feed-forward.
Samples = dict[str, list[tuple[Tensor, Tensor, Tensor]]]


def take_weights(
    source: Path,
    state: TrainState,
    *,
    config: RunConfig,
    dataset: Dataset,
    world: World,
    reporter: Reporter,
) -> None:
    """Replace the first weights of a training by a finished run's; counters stay at 0.

    Args:
        source: The run's folder.
        state: Core and tables are changed.
        config: Of the new run: that of the source but for its training and feed-forward.
        dataset: With the source's sessions, channels and animals.
        world: The ranks; functions are distilled on the first.
        reporter: Is told how well they were.

    Raises:
        CheckpointError: The weights do not fit.
    """
    run = load_run(source)
    _require_same_data(run, dataset)
    kinds = (run.config.model.feed_forward, config.model.feed_forward)
    if kinds[0] != kinds[1] and kinds != ("swiglu", "dendritic"):
        raise CheckpointError(
            f"a {kinds[0]} run cannot become a {kinds[1]} one",
            hint="begin with a swiglu run, or keep its feed-forward",
        )
    if kinds == ("swiglu", "dendritic") and config.model.dendrite.normalize:
        raise CheckpointError(
            "`dendrite.normalize` changes what the functions of a trained run are given",
            hint="leave it off: --set model.dendrite.normalize=false",
        )
    weights = dict(run.model.state_dict())
    ours = state.core.state_dict()
    if kinds == ("swiglu", "dendritic"):
        weights |= world.on_first_rank(lambda: _distilled(run, ours, config, dataset, reporter))
    _require_same_shapes(source, weights, ours)
    state.core.load_state_dict(weights)
    for session, table in state.embeddings.owned.items():
        table.load_state_dict(run.tables[session].state_dict())
    reporter.say(f"beginning with the weights of {source}")


def _distilled(
    run: LoadedRun,
    ours: dict[str, Tensor],
    config: RunConfig,
    dataset: Dataset,
    reporter: Reporter,
) -> dict[str, Tensor]:
    """Fit every function to SwiGLU where the arguments of its own units lie."""
    samples = _samples(run, config, dataset)
    functions: dict[str, Tensor] = {}
    for name, first in ours.items():
        if not name.endswith(FUNCTION):
            continue
        owner = name.removesuffix(f".{FUNCTION}")
        own = samples.get(owner, [])
        if name == FUNCTION:
            own = [part for parts in samples.values() for part in parts]
        # A block that no strategy ran keeps the function that it would start with.
        functions[name] = _fitted(own, first, config, owner, reporter) if own else first.cpu()
    return functions


def _fitted(
    samples: list[tuple[Tensor, Tensor, Tensor]],
    first_KP: Tensor,
    config: RunConfig,
    owner: str,
    reporter: Reporter,
) -> Tensor:
    """Fit the function of every cell type."""
    from omnimouse_cli.model.feed_forward import inner_network

    types = first_KP.shape[0]
    rows, errors = [], []
    for number in range(types):
        parts = []
        for a, b, weight in samples:
            share = a.shape[-1] // types
            part = slice(number * share, (number + 1) * share)
            parts.append([x[:, part].flatten() for x in (a, b, weight)])
        a_N, b_N, weight_N = (torch.cat(same).double() for same in zip(*parts, strict=True))
        kept = slice(None, None, max(1, len(a_N) // POINTS))
        points_N2 = torch.stack([a_N[kept], b_N[kept]], dim=1)
        target_N = functional.silu(points_N2[:, 0]) * points_N2[:, 1]
        fit = distill(
            inner_network(config.model.dendrite),
            points_N2,
            target_N,
            weight_N[kept],
            starts=STARTS,
        )
        rows.append(fit.weights[0])
        errors.append(fit.relative_error)
    reporter.say(f"{owner}: distilled with a relative error of {max(errors):.3f}")
    return torch.stack(rows)


def _samples(run: LoadedRun, config: RunConfig, dataset: Dataset) -> Samples:
    """Give arguments of every feed-forward on the first batches of the run."""
    samples: Samples = {}
    blocks = {
        name: module
        for name, module in run.model.named_modules()
        if isinstance(module, FeedForward)
    }
    handles = [
        module.register_forward_pre_hook(
            lambda module, inputs, name=name: samples.setdefault(name, []).append(
                _arguments(module, inputs[0])
            )
        )
        for name, module in blocks.items()
    ]
    strategies = training_strategies(config.masking, dataset.sessions)
    with Loader(
        dataset, config.data, seed=config.seed, rank=0, num_ranks=1, first_batch=0, pin_memory=False
    ) as loader:
        for number in range(BATCHES):
            batch = next(loader)
            session = next(item for item in dataset.sessions if item.key == batch.session)
            usable = [item for item in strategies if applies(item, session)]
            strategy = usable[number * len(usable) // BATCHES]
            selection = select(
                strategy,
                num_neurons=batch.responses.shape[2],
                num_windows=batch.num_windows,
                generator=torch.Generator().manual_seed(number),
                max_targets=config.model.max_targets,
            )
            with torch.no_grad():
                compute_batch_losses(
                    run.model,
                    batch,
                    embeddings=run.tables[batch.session],
                    animal=session.animal,
                    strategy=strategy,
                    selection=selection,
                    config=run.config,
                )
    for handle in handles:
        handle.remove()
    return samples


def _arguments(module: FeedForward, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Give both arguments of some tokens, and how much each unit's value weighs in the output."""
    assert module.gate is not None, "only a swiglu run becomes dendritic"
    x_NM = x.flatten(0, -2)
    units = module.up.out_features
    x_NM = x_NM[:: max(1, len(x_NM) * units // (POINTS_PER_BATCH * units // 16))]
    weight_U = module.down.weight.square().sum(0)
    return module.up(x_NM), module.gate(x_NM), weight_U.expand(len(x_NM), -1)


def _require_same_data(run: LoadedRun, dataset: Dataset) -> None:
    theirs = {entry.session: entry.neurons for entry in run.sessions}
    ours = {session.key: session.num_neurons for session in dataset.sessions}
    missing = sorted(key for key, neurons in ours.items() if theirs.get(key) != neurons)
    if missing:
        raise CheckpointError(
            f"{run.folder} has no neurons of {', '.join(missing)}",
            hint="name the shards and sessions that it was trained on",
        )
    if (run.behavior_channels, run.animals) != (dataset.behavior_channels, dataset.animals):
        raise CheckpointError(
            f"{run.folder} was trained with other behavior channels or animals than the data have",
            hint="name the shards and sessions that it was trained on",
        )


def _require_same_shapes(source: Path, theirs: dict[str, Tensor], ours: dict[str, Tensor]) -> None:
    wrong = sorted(
        name
        for name in {*theirs, *ours}
        if name not in theirs or name not in ours or theirs[name].shape != ours[name].shape
    )
    if wrong:
        raise CheckpointError(
            f"the weights of {source} do not fit the model: {wrong[0]}"
            + (f" and {len(wrong) - 1} others" if len(wrong) > 1 else ""),
            hint="leave the model's size as the run has it",
        )
