"""The core's gradient is summed over ranks during the backward pass, on every rank in one order."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from omnimouse_cli.files import read_document
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.metrics_log import read_metrics
from omnimouse_cli.training.parallel import core_gradient
from omnimouse_cli.training.parallel.core_gradient import CoreGradient, parameters_of
from omnimouse_cli.training.parallel.launch import launch
from omnimouse_cli.training.parallel.world import World, join_world
from omnimouse_cli.training.prepare import TrainingJob
from omnimouse_cli.training.run import train

# A layer of 4 x 4 weights and 4 biases has 80 bytes.
WIDTH, LAYER_BYTES = 4, 80


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingWorld(World):
    """Keeps what is summed, and the values at that time; the other rank's gradient is 0."""

    num_ranks: int = 2
    started: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)

    def start_all_reduce(self, values: Tensor) -> Callable[[], None]:
        self.started.append(values)
        self.values.append(values.clone())
        return lambda: None


@pytest.fixture(autouse=True)
def one_layer_per_bucket(monkeypatch):
    monkeypatch.setattr(core_gradient, "BUCKET_BYTES", LAYER_BYTES)


def _layers(number: int = 4) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(number)))


def _gradient(layers: nn.Module, world: World) -> CoreGradient:
    return CoreGradient(layers.parameters(), num_extra=3, world=world)


def _input() -> Tensor:
    return torch.arange(8.0).view(2, WIDTH)


def test_buckets_are_the_vector_from_its_end_and_the_first_holds_the_extra_numbers():
    world = RecordingWorld()
    gradient = _gradient(_layers(), world)
    gradient.extra.copy_(torch.tensor([1.0, 2.0, 3.0]))
    gradient.start_all_reduce()()
    assert [len(values) for values in world.started] == [20 + 3, 20, 20, 20]
    offsets = [values.storage_offset() for values in world.started]
    assert offsets == [60, 40, 20, 0]
    assert world.values[0][-3:].tolist() == [1, 2, 3]


def test_a_bucket_is_summed_when_its_gradients_are_complete_and_those_before_it_are_not():
    world, layers = RecordingWorld(), _layers()
    gradient = _gradient(layers, world)
    number_started = {}
    for number, layer in enumerate(layers):
        layer.register_full_backward_pre_hook(
            lambda *_, number=number: number_started.update({number: len(world.started)})
        )
    # Without a gradient of the input, torch 2.11 warns of the hook of the first layer.
    loss = layers(_input().requires_grad_()).sum()
    gradient.overlap_with_backward(loss)
    loss.backward()
    # When the backward pass arrives at layer 1, it has summed at least layer 3.
    assert number_started[3] == 0
    assert number_started[1] >= 1
    assert number_started[0] >= 2
    assert len(world.started) == 4
    summed = [values.clone() for values in world.values]
    gradient.start_all_reduce()()
    assert len(world.started) == 4, "nothing is summed twice"
    # Every bucket was complete when its sum started.
    for early, final in zip(summed, world.started, strict=True):
        assert torch.equal(early, final)


@pytest.mark.parametrize("unused", [{3}, {0}, {1, 2}, {0, 1, 2, 3}])
def test_unused_parameters_neither_block_nor_reorder_the_sums(unused):
    world, layers = RecordingWorld(), _layers()
    gradient = _gradient(layers, world)
    x = _input().requires_grad_()
    for number, layer in enumerate(layers):
        x = x if number in unused else layer(x)
    loss = x.sum()
    gradient.overlap_with_backward(loss)
    loss.backward()
    assert len(world.started) == 4
    gradient.start_all_reduce()()
    assert [values.storage_offset() for values in world.started] == [60, 40, 20, 0]


def test_a_rank_without_a_batch_sums_the_same_buckets_in_the_same_order():
    busy, idle = RecordingWorld(), RecordingWorld(rank=1)
    layers = _layers()
    gradient = _gradient(layers, busy)
    loss = layers(_input()).sum()
    gradient.overlap_with_backward(loss)
    loss.backward()
    gradient.start_all_reduce()()
    _gradient(_layers(), idle).start_all_reduce()()
    assert [len(values) for values in busy.started] == [len(values) for values in idle.started]
    assert all(not values.any() for values in idle.values)


def test_nothing_is_summed_before_the_last_round_of_a_step():
    world, layers = RecordingWorld(), _layers()
    gradient = _gradient(layers, world)
    layers(_input()).sum().backward()
    assert not world.started
    once = [parameter.grad.clone() for parameter in layers.parameters()]
    loss = layers(_input()).sum()
    gradient.overlap_with_backward(loss)
    loss.backward()
    gradient.start_all_reduce()()
    for before, parameter in zip(once, layers.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, 2 * before)
    # And the next step begins as the first did.
    gradient.clear()
    layers(_input()).sum().backward()
    assert len(world.started) == 4


def test_frozen_parameters_and_those_of_others_do_not_count():
    world, layers = RecordingWorld(), _layers()
    layers[1].requires_grad_(requires_grad=False)
    trained = [parameter for parameter in layers.parameters() if parameter.requires_grad]
    gradient = CoreGradient(trained, num_extra=0, world=world)
    table = nn.Parameter(torch.ones(WIDTH))
    loss = (layers(_input()) * table).sum()
    assert parameters_of(loss) == {table, *trained}
    gradient.overlap_with_backward(loss)
    loss.backward()
    assert len(world.started) == 3


def test_a_parameter_that_layers_share_is_complete_after_its_last_use():
    world = RecordingWorld()
    shared = nn.Linear(WIDTH, WIDTH)
    layers = nn.Sequential(shared, nn.Linear(WIDTH, WIDTH), shared, nn.Linear(WIDTH, WIDTH))
    gradient = _gradient(layers, world)
    loss = layers(_input()).square().sum()
    gradient.overlap_with_backward(loss)
    loss.backward()
    gradient.start_all_reduce()()
    for early, final in zip(world.values, world.started, strict=True):
        assert torch.equal(early, final)


# A compiler warns about itself.
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("kind", ["checkpointed", "compiled"])
def test_recomputed_and_compiled_layers_are_summed_completely(kind):
    plain, other = _layers(), _layers()
    world = RecordingWorld()
    gradient = _gradient(other, world)
    plain(_input()).square().sum().backward()
    if kind == "compiled":
        for layer in other:
            layer.compile(backend="aot_eager")
        x = other(_input())
    else:
        x = _input()
        for layer in other:
            x = checkpoint(layer, x, use_reentrant=False)
    loss = x.square().sum()
    gradient.overlap_with_backward(loss)
    loss.backward()
    assert len(world.started) == 4
    gradient.start_all_reduce()()
    for early, final in zip(world.values, world.started, strict=True):
        assert torch.equal(early, final)
    for expected, found in zip(plain.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad)


def test_a_gradient_that_comes_after_its_sum_has_started_is_an_error():
    world, layers = RecordingWorld(), _layers()
    gradient = _gradient(layers, world)
    gradient.overlap_with_backward(layers[0](_input()).sum())
    with pytest.raises(AssertionError, match="computed twice"):
        layers(_input()).sum().backward()


def test_a_single_rank_has_no_hooks():
    layers = _layers()
    _gradient(layers, World())
    assert not any(parameter._post_accumulate_grad_hooks for parameter in layers.parameters())


def train_with_small_buckets(jobs: tuple[TrainingJob, ...]) -> None:
    """Train one run after the other as a rank of one world."""
    core_gradient.BUCKET_BYTES = 4096
    with join_world("cpu") as world:
        for job in jobs:
            train(job, world, Silent())


def _losses(run: Path) -> list[float]:
    return [line["loss"] for line in read_metrics(run) if "loss" in line]


@pytest.mark.training
@pytest.mark.slow
@pytest.mark.usefixtures("forked_ranks")
def test_three_ranks_with_many_buckets_train_what_one_rank_trains(
    make_shards, session, tiny, tmp_path
):
    # Sessions lack different modalities, so ranks use different parameters in one step, and with
    # four batches a step the third rank has none in the last round.
    shards = make_shards([session(screen=True, behavior=True), session(key="2-1-1", num_neurons=4)])
    settings = replace(tiny.train, steps=8, batches_per_step=4, checkpoint_every=99)
    config = replace(tiny, train=settings)
    alone, first, second = (
        TrainingJob(config=config, shards=shards, run=tmp_path / name) for name in "abc"
    )
    train(alone, World(), Silent())
    launch(3, train_with_small_buckets, (first, second))
    assert _losses(first.run) == pytest.approx(_losses(alone.run), rel=1e-5)
    assert _losses(first.run) == _losses(second.run)
    validations = [
        read_document(job.run / "summary.json", "summary")["validation"]
        for job in (alone, first, second)
    ]
    assert validations[1] == validations[2]
    assert validations[1]["neural_loss"] == pytest.approx(validations[0]["neural_loss"], rel=1e-5)
    weights = [load_file(job.run / "model.safetensors") for job in (alone, first, second)]
    for name, value in weights[1].items():
        assert torch.equal(value, weights[2][name])
        torch.testing.assert_close(value, weights[0][name], rtol=1e-4, atol=1e-4)
