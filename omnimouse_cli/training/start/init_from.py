"""Training that starts from the weights of another run; SwiGLU is distilled to be dendritic."""

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
from omnimouse_cli.model.feed_forward import FeedForward, inner_network
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.load import LoadedRun, load_run, require_same_data
from omnimouse_cli.text import pluralize
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.state import TrainState
from omnimouse_cli.training.step import compute_batch_losses

# N sampled pairs of arguments, M width of a token, U hidden units, K cell types, P weights of a
# function

FUNCTION = "dendrite.weights"
NUM_BATCHES, TOKENS_PER_BATCH, MAX_POINTS = 8, 128, 4096
NUM_STARTS = 4

# First arguments, second arguments and weights of the fit, each `(tokens, units)`.
Sample = tuple[Tensor, Tensor, Tensor]


def load_initial_weights(
    source: Path,
    state: TrainState,
    *,
    config: RunConfig,
    dataset: Dataset,
    world: World,
    reporter: Reporter,
    allow_other_data: bool = False,
) -> None:
    """Replace the initial weights of a training by those of a finished run.

    Args:
        source: Folder of the run.
        state: Core and session embeddings are changed in place; counters and optimizers are not.
        config: Configuration of the training; of the run's model it may change the feed-forward
            from `swiglu` to `dendritic`.
        dataset: Data set with the sessions, channels and animals of the run.
        world: The ranks; the first one distills.
        reporter: Shows the errors of distillation.
        allow_other_data: Whether sessions may hold other values than the run was trained on.

    Raises:
        CheckpointError: Data or model are not those of the run.
    """
    run = load_run(source)
    becomes_dendritic = check_initial_run(
        run, config, dataset, reporter, allow_other_data=allow_other_data
    )
    weights = dict(run.model.state_dict())
    initial = state.core.state_dict()
    if becomes_dendritic:
        weights |= world.on_first_rank(
            lambda: _distill_functions(run, initial, config, dataset, reporter)
        )
    _require_same_shapes(source, weights, initial)
    state.core.load_state_dict(weights)
    for session, embeddings in state.embeddings.owned.items():
        embeddings.load_state_dict(run.embeddings[session].state_dict())
    reporter.say(f"starting from the weights of {source}")


def check_initial_run(
    run: LoadedRun,
    config: RunConfig,
    dataset: Dataset,
    reporter: Reporter,
    *,
    allow_other_data: bool,
) -> bool:
    """Check that a training can start from the weights of a run; return if it becomes dendritic.

    Args:
        run: The run.
        config: Configuration of the training.
        dataset: Data set of the training.
        reporter: Receives warnings of `require_same_data`.
        allow_other_data: Whether sessions may hold other values than the run was trained on.

    Raises:
        CheckpointError: Data or model are not those of the run.
    """
    _require_same_sessions(run, dataset)
    require_same_data(
        run.folder, run.sessions, dataset.sessions, reporter, allow_other=allow_other_data
    )
    theirs, ours = run.config.model.feed_forward, config.model.feed_forward
    becomes_dendritic = (theirs, ours) == ("swiglu", "dendritic")
    if theirs != ours and not becomes_dendritic:
        raise CheckpointError(
            f"a {theirs} run cannot become a {ours} one",
            hint="start from a swiglu run, or keep its feed-forward",
        )
    if becomes_dendritic and config.model.dendrite.normalize:
        raise CheckpointError(
            "`dendrite.normalize` changes the arguments of the functions of a trained run",
            hint="leave it off: --set model.dendrite.normalize=false",
        )
    return becomes_dendritic


def _distill_functions(
    run: LoadedRun,
    initial: dict[str, Tensor],
    config: RunConfig,
    dataset: Dataset,
    reporter: Reporter,
) -> dict[str, Tensor]:
    """Fit every dendritic function to SwiGLU at the arguments of its own units."""
    samples = _sample_arguments(run, config, dataset)
    functions: dict[str, Tensor] = {}
    for name, weights_KP in initial.items():
        if not name.endswith(FUNCTION):
            continue
        block = name.removesuffix(f".{FUNCTION}")
        own = samples.get(block, [])
        if name == FUNCTION:
            own = [sample for of_block in samples.values() for sample in of_block]
        # The function of a block that no strategy uses stays as initialized.
        functions[name] = weights_KP.cpu()
        if own:
            functions[name], error = _fit_function(own, len(weights_KP), config)
            reporter.say(f"{block}: distilled with a relative error of {error:.3f}")
    return functions


def _fit_function(
    samples: list[Sample], cell_types: int, config: RunConfig
) -> tuple[Tensor, float]:
    """Return the weights `(cell_types, weights)` of a fit to SwiGLU and its largest error."""
    fits = []
    for cell_type in range(cell_types):
        shares = [[x.chunk(cell_types, -1)[cell_type].flatten() for x in part] for part in samples]
        a_N, b_N, density_N = (torch.cat(same).double() for same in zip(*shares, strict=True))
        kept = slice(None, None, max(1, len(a_N) // MAX_POINTS))
        points_N2 = torch.stack([a_N[kept], b_N[kept]], dim=1)
        target_N = functional.silu(points_N2[:, 0]) * points_N2[:, 1]
        network = inner_network(config.model.dendrite)
        fits.append(distill(network, points_N2, target_N, density_N[kept], starts=NUM_STARTS))
    return torch.stack([fit.weights[0] for fit in fits]), max(fit.relative_error for fit in fits)


def _sample_arguments(
    run: LoadedRun, config: RunConfig, dataset: Dataset
) -> dict[str, list[Sample]]:
    """Return arguments of every feed-forward of a run on its first batches, by its name."""
    samples: dict[str, list[Sample]] = {}
    handles = [
        module.register_forward_pre_hook(
            lambda module, inputs, name=name: samples.setdefault(name, []).append(
                _compute_arguments(module, inputs[0])
            )
        )
        for name, module in run.model.named_modules()
        if isinstance(module, FeedForward)
    ]
    strategies = training_strategies(config.masking, dataset.sessions)
    with Loader(
        dataset, config.data, seed=config.seed, rank=0, num_ranks=1, first_batch=0, pin_memory=False
    ) as loader:
        for number in range(NUM_BATCHES):
            batch = next(loader)
            session = dataset.session(batch.session)
            usable = [item for item in strategies if applies(item, session)]
            strategy = usable[number * len(usable) // NUM_BATCHES]
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
                    embeddings=run.embeddings[batch.session],
                    animal=session.animal,
                    strategy=strategy,
                    selection=selection,
                    config=run.config,
                )
    for handle in handles:
        handle.remove()
    return samples


def _compute_arguments(module: FeedForward, x: Tensor) -> Sample:
    """Return both arguments of a SwiGLU for some tokens, and each unit's weight in the output."""
    assert module.gate is not None, "only a swiglu run becomes dendritic"
    x_NM = x.flatten(0, -2)
    x_NM = x_NM[:: max(1, len(x_NM) // TOKENS_PER_BATCH)]
    weight_U = module.down.weight.square().sum(0)
    return module.up(x_NM), module.gate(x_NM), weight_U.expand(len(x_NM), -1)


def _require_same_sessions(run: LoadedRun, dataset: Dataset) -> None:
    neurons = {entry.session: entry.neurons for entry in run.sessions}
    missing = sorted(x.key for x in dataset.sessions if neurons.get(x.key) != x.num_neurons)
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


def _require_same_shapes(
    source: Path, weights: dict[str, Tensor], initial: dict[str, Tensor]
) -> None:
    shapes, expected = (
        {name: value.shape for name, value in tensors.items()} for tensors in (weights, initial)
    )
    wrong = sorted(name for name in {*shapes, *expected} if shapes.get(name) != expected.get(name))
    if wrong:
        raise CheckpointError(
            f"the weights of {source} do not fit the model: {wrong[0]}"
            + (f" and {pluralize(len(wrong) - 1, 'other')}" if len(wrong) > 1 else ""),
            hint="keep the size of the run's model",
        )
