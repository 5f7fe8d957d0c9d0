"""What a trained model predicts in the scored windows."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from omnimouse_cli.batch.batch import Batch, to_device
from omnimouse_cli.batch.selection import Selection
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.evaluation.records import EvalOptions
from omnimouse_cli.evaluation.scorer import Piece
from omnimouse_cli.evaluation.targets import Targets
from omnimouse_cli.model.omnimouse import Prediction
from omnimouse_cli.model.precision import autocast
from omnimouse_cli.run.load import LoadedRun

# Neurons x windows of one forward pass, unless the user decides.
NEURON_WINDOWS = 32_768
MOST_WINDOWS = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaskedModel:
    """A model that predicts one session under one masking strategy.

    Args:
        run: The model, on the device.
        device: `cpu` or `cuda`.
        session: Session key.
        strategy: The masking strategy.
        selection: Its visible and target neurons in every window.
    """

    run: LoadedRun
    device: torch.device
    session: str
    strategy: Strategy
    selection: Selection

    def predict(self, batch: Batch) -> Prediction:
        """Run the model on a batch, in the precision that the run was trained in."""
        embeddings = self.run.embeddings[self.session]
        animal = self.run.animal_of(self.session)
        with autocast(self.run.config.train.precision, self.device):
            prediction: Prediction = self.run.model(
                batch, embeddings, animal, self.strategy, self.selection
            )
        return prediction


# Yields the windows with one changed video after another, as corruptions and attacks make them.
Variants = Callable[[MaskedModel, Batch], Iterator[Batch]]


def predict_model(
    run: LoadedRun, targets: Sequence[Targets], options: EvalOptions
) -> Iterator[list[Piece]]:
    """Predict the targets of one strategy in one session.

    Args:
        run: The model; it is moved to the device.
        targets: Responses, behavior, or both.
        options: `device` and `batch_windows` are used.

    Yields:
        The predictions of some windows, one piece for each of `targets`.
    """
    for windows, batch in _batches(run, targets[0], options):
        model = _masked_model(run, targets[0], options, batch.num_windows)
        with torch.inference_mode():
            prediction = model.predict(batch)
        yield [_piece(run, prediction, one, windows) for one in targets]


def predict_variants(
    run: LoadedRun, targets: Targets, options: EvalOptions, variants: Variants
) -> Iterator[tuple[int, Piece]]:
    """Predict one target from its windows as they are, and from variants of them.

    Args:
        run: The model; it is moved to the device.
        targets: What is predicted.
        options: `device` and `batch_windows` are used.
        variants: Changes the video.

    Yields:
        The number of a variant, 0 for the windows as they are, and its predictions of some windows.
    """
    for windows, batch in _batches(run, targets, options):
        model = _masked_model(run, targets, options, batch.num_windows)
        # Another video has other features than those that are kept.
        changed = variants(model, replace(batch, kept=None))
        for number, seen in enumerate(itertools.chain([batch], changed)):
            with torch.inference_mode():
                prediction = model.predict(seen)
            yield number, _piece(run, prediction, targets, windows)


def predict_draws(
    run: LoadedRun, draws: Sequence[Sequence[Targets]], options: EvalOptions
) -> Iterator[tuple[int, list[Piece]]]:
    """Predict the targets of one strategy in one session for several draws of context neurons.

    What the model computes from the stimulus is the same in all draws, and in all strategies with
    the same windows, and is computed once.

    Args:
        run: The model; it is moved to the device.
        draws: For each draw its targets: responses, behavior, or both.
        options: `device` and `batch_windows` are used.

    Yields:
        The number of a draw, and its predictions of some windows, one piece for each target.
    """
    targets = draws[0][0]
    for windows, batch in _batches(run, targets, options):
        for number, of_draw in enumerate(draws):
            model = _masked_model(run, of_draw[0], options, batch.num_windows)
            with torch.inference_mode():
                prediction = model.predict(batch)
            yield number, [_piece(run, prediction, one, windows) for one in of_draw]


def _batches(
    run: LoadedRun, targets: Targets, options: EvalOptions
) -> Iterator[tuple[slice, Batch]]:
    """Yield the scored windows in batches on the device, and move the model there."""
    device, session = torch.device(options.device), targets.reader.session
    run.model.to(device)
    run.embeddings[session.key].to(device)
    fitting = max(1, min(MOST_WINDOWS, NEURON_WINDOWS // session.num_neurons))
    reader = targets.reader
    for windows in targets.window_slices(options.batch_windows or fitting):
        grid = targets.windows.grid[windows]
        batch = reader.kept_batch(run.model, grid)
        if batch is None:
            batch = to_device(reader.batch(grid), device, run.config.data)
            batch.kept = {}
        yield windows, batch
        if device.type == "cpu":
            reader.keep_batch(run.model, grid, batch)


def _masked_model(
    run: LoadedRun, targets: Targets, options: EvalOptions, num_windows: int
) -> MaskedModel:
    return MaskedModel(
        run=run,
        device=torch.device(options.device),
        session=targets.reader.session.key,
        strategy=targets.strategy,
        selection=targets.selection_of(num_windows),
    )


def _piece(run: LoadedRun, prediction: Prediction, targets: Targets, windows: slice) -> Piece:
    values = prediction.behavior if targets.is_behavior else prediction.responses
    assert values is not None, "the model predicts the targets of its strategy"
    if targets.is_behavior:
        channels = [run.behavior_channels.index(name) for name in targets.reader.channels]
        values = values[:, channels].transpose(1, 2)
    return Piece(windows, slice(None), values.float().cpu().numpy())
