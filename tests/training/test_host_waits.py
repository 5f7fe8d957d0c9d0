"""No operation of a training step makes the host wait for the device."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.batch.masking import training_strategies
from omnimouse_cli.batch.reader import WindowReader
from omnimouse_cli.batch.selection import scored_mask, select
from omnimouse_cli.config.training import MaskingConfig
from omnimouse_cli.model.inputs import channel_numbers
from omnimouse_cli.model.omnimouse import OmniMouse
from omnimouse_cli.model.session_embeddings import SessionEmbeddings
from omnimouse_cli.training.step import compute_batch_losses

# On a GPU the first three read a number or a length back; the last copies one from the host.
WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "lift_fresh")


class WaitingOperations(TorchDispatchMode):
    """Collects the names of operations that would make the host wait for a GPU."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, _types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        is_bool_index = name in ("index", "index_put", "_index_put_impl_") and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        is_repeat = name == "repeat_interleave" and not (kwargs or {}).get("output_size")
        if name in WAITING or is_bool_index or is_repeat:
            self.found.append(str(function))
        return function(*args, **(kwargs or {}))


@pytest.fixture
def losses_of(make_shards, session, tiny) -> Iterator:
    """Return the training strategies, and a function that computes the loss under one."""
    shards = make_shards(
        [session(screen=True, behavior=True, more_channels=("pupil_size", "gaze_x", "gaze_y"))]
    )
    dataset = open_dataset(shards)
    config = replace(
        tiny,
        masking=MaskingConfig(table="published"),
        model=replace(tiny.model, response_loss="poisson"),
    )
    only = dataset.sessions[0]
    core = OmniMouse(
        config.model, behavior_channels=dataset.behavior_channels, animals=dataset.animals
    )
    embeddings = SessionEmbeddings(
        only.num_neurons,
        config.model.d_embedding,
        config.model.decoder.num_neuron_weights(len(dataset.behavior_channels)),
    )
    windows = dataset.windows(config.data, only.key)
    batch = WindowReader(dataset, config.data).read(only.key, windows.grid_index([0, 1]))

    def compute(strategy):
        losses = compute_batch_losses(
            core,
            batch,
            embeddings=embeddings,
            animal=only.animal,
            strategy=strategy,
            selection=select(strategy, num_neurons=6, num_windows=2, generator=torch.Generator()),
            config=config,
        )
        return sum(loss for loss in losses if loss is not None)

    return training_strategies(config.masking, dataset.sessions), compute


def test_no_strategy_waits_once_its_small_tensors_are_on_the_device(losses_of):
    strategies, compute = losses_of
    assert len(strategies) == 120
    found = {}
    for strategy in strategies:
        # Small tensors are made by the first forward pass.
        compute(strategy)
        with WaitingOperations() as operations:
            compute(strategy).backward()
        if operations.found:
            found[strategy.name] = operations.found
    assert found == {}


def test_an_operation_that_waits_would_be_found():
    values = torch.arange(3.0)
    with WaitingOperations() as operations:
        float(values.sum())
        values[values > 1]
        torch.tensor([1, 2])
        values.repeat_interleave(torch.arange(3))
    assert len(operations.found) == 4


def test_small_tensors_are_kept_and_serve_training_after_an_evaluation(losses_of):
    strategies, _ = losses_of
    strategy = next(item for item in strategies if item.targets)
    selection = select(strategy, num_neurons=6, num_windows=1, generator=None)
    with torch.inference_mode():
        first = scored_mask(strategy, selection)
    assert first.shape == (strategy.targets[1] - strategy.targets[0], selection.num_targets)
    assert not scored_mask(strategy, selection).is_inference()


def test_channel_numbers_are_those_of_the_session(make_shards, session, tiny):
    shards = make_shards(
        [
            session(behavior=True),
            session(key="1-1-2", more_channels=("pupil_size",)),
            session(key="1-1-3"),
        ]
    )
    dataset = open_dataset(shards)
    reader = WindowReader(dataset, tiny.data)
    found = {}
    for one in dataset.sessions:
        batch = reader.read(one.key, dataset.windows(tiny.data, one.key).grid_index([0]))
        numbers = channel_numbers(batch, torch.device("cpu")).tolist()
        found[one.key] = [dataset.behavior_channels[number] for number in numbers]
    assert found == {"1-1-1": ["running"], "1-1-2": ["pupil_size"], "1-1-3": []}
