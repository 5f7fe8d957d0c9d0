"""What a trained model predicts on the evaluated windows."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from omnimouse_cli.batch.batch import Batch, to_device
from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.batch.reader import WindowReader
from omnimouse_cli.batch.selection import Selection, select
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.evaluate.baselines.simple import window_pieces
from omnimouse_cli.evaluate.scorer import Piece
from omnimouse_cli.evaluate.targets import Asked
from omnimouse_cli.model.omnimouse import Prediction
from omnimouse_cli.run.load import LoadedRun

# So many neurons x windows are in one forward pass, unless the user decides.
NEURON_WINDOWS = 32_768
MOST_WINDOWS = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Network:
    """A model on a device, and where it reads windows.

    Args:
        run: The model; it is moved to the device.
        dataset: Where the windows are.
        device: `cpu` or `cuda`.
        batch_windows: Windows of a forward pass; None decides by the number of neurons.
    """

    run: LoadedRun
    dataset: Dataset
    device: torch.device
    batch_windows: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """What a row asks the model of some windows.

    Args:
        run: The model.
        device: Where it is.
        session: Session key.
        strategy: What is seen and asked.
        selection: Of which neurons.
    """

    run: LoadedRun
    device: torch.device
    session: str
    strategy: Strategy
    selection: Selection

    def answer(self, batch: Batch) -> Prediction:
        """Ask the model."""
        table = self.run.tables[self.session]
        animal = self.run.animal_of(self.session)
        with _precision(self.device):
            given: Prediction = self.run.model(batch, table, animal, self.strategy, self.selection)
        return given


# Changes the windows that a question is asked of.
Disturb = Callable[[Question, Batch], Batch]


def predict_network(
    network: Network, asked: Sequence[Asked], disturb: Disturb | None = None
) -> Iterator[list[Piece]]:
    """Ask the model for one row of one session.

    Args:
        network: The model.
        asked: The outputs of the row: responses, behavior, or both.
        disturb: What is done to the windows before.

    Yields:
        One piece for each of `asked`, of the same windows.
    """
    run, first = network.run, asked[0]
    session = first.signals.session
    run.model.to(network.device)
    run.tables[session.key].to(network.device)
    reader = WindowReader(network.dataset, run.config.data)
    count = network.batch_windows or max(
        1, min(MOST_WINDOWS, NEURON_WINDOWS // session.num_neurons)
    )
    for windows in window_pieces(first, count):
        batch = reader.read(session.key, first.windows.grid[windows])
        batch = to_device(batch, network.device, network.run.config.data)
        selection = select(
            first.strategy,
            num_neurons=session.num_neurons,
            num_windows=batch.num_windows,
            generator=None,
        )
        question = Question(
            run=run,
            device=network.device,
            session=session.key,
            strategy=first.strategy,
            selection=selection,
        )
        if disturb is not None:
            batch = disturb(question, batch)
        with torch.inference_mode():
            prediction = question.answer(batch)
        pieces = []
        for kind in asked:
            answer = prediction.behavior if kind.behavior else prediction.responses
            assert answer is not None, "what is asked for is predicted"
            if kind.behavior:
                known = [run.behavior_channels.index(name) for name in kind.signals.channels]
                answer = answer[:, known].transpose(1, 2)
            values = answer.float().cpu().numpy()
            pieces.append(Piece(windows=windows, outputs=slice(None), values=values))
        yield pieces


def _precision(device: torch.device) -> AbstractContextManager[object]:
    """The published model is scored in bfloat16 on a GPU."""
    if device.type == "cuda":
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()
