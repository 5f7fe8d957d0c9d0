"""Counts of FLOPs and activations against what PyTorch counts."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from omnimouse_cli.batch.strategies import FAMILY_STRATEGIES, TRAINING_STRATEGIES
from omnimouse_cli.config.dendrite import DendriteConfig
from omnimouse_cli.config.model import FEED_FORWARDS
from omnimouse_cli.config.sizes import SIZES
from omnimouse_cli.cost.flops import count_flops, count_shortcut_flops
from omnimouse_cli.cost.memory import StepMode, count_stored
from omnimouse_cli.cost.parameters import count_core
from omnimouse_cli.cost.training import make_task
from omnimouse_cli.kernels.dendrite.lookup import BACKWARD_FLOPS, FORWARD_FLOPS, interpolate
from omnimouse_cli.model import feed_forward
from omnimouse_cli.model.losses import compute_losses

pytestmark = pytest.mark.slow

ONE_OF_EACH_ROW = tuple({s.name.split("-")[0]: s for s in TRAINING_STRATEGIES}.values())
NEURONS, WINDOWS = 40, 2


class Kept:
    """Counts what a forward pass keeps: distinct memory that is no parameter and no table."""

    def __init__(self, *modules):
        own = [x for module in modules for x in (*module.parameters(), *module.buffers())]
        self.not_counted = {x.untyped_storage().data_ptr() for x in own}
        self.sizes = {}
        self.alive = []

    def pack(self, tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.not_counted:
            self.sizes[storage.data_ptr()] = storage.nbytes()
        # Memory that is given back would be counted twice under one address.
        self.alive.append(tensor)
        return tensor

    @property
    def numbers(self):
        return sum(self.sizes.values()) / 4


class Interpolated:
    """Counts the elements that are read from lookup tables, which torch does not count."""

    def __init__(self, monkeypatch):
        self.elements = 0
        monkeypatch.setattr(feed_forward, "interpolate", self.interpolate)

    def interpolate(self, a, *rest):
        self.elements += a.numel()
        return interpolate(a, *rest)


def measured(model, modules, batch, strategy, selection):
    kept, table = Kept(*modules), modules[1]
    hooks = torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda tensor: tensor)
    with FlopCounterMode(display=False) as forward, hooks:
        prediction = model(batch, table, "mouse", strategy, selection)
        losses = compute_losses(prediction, batch, strategy, selection, "gaussian")
    with FlopCounterMode(display=False) as backward:
        total = sum(loss for loss in losses if loss is not None)
        if total.requires_grad:
            total.backward()
    return forward.get_total_flops(), backward.get_total_flops(), kept.numbers


@pytest.fixture
def check(make_model, make_batch, choose, monkeypatch):
    """Compare the estimates for a configuration and a strategy with what PyTorch counts."""

    def compare(config, strategy):
        model, table = make_model(config, neurons=NEURONS)
        batch = make_batch(windows=WINDOWS, neurons=NEURONS, frame=(36, 64))
        selection = choose(strategy, batch, seed=0, max_targets=config.max_targets)
        task = make_task(config, strategy, num_neurons=NEURONS, num_channels=3, has_screen=True)
        sizes = {"session_neurons": NEURONS, "batch_size": WINDOWS}
        flops = count_flops(config, task, **sizes)
        interpolated = Interpolated(monkeypatch)
        forward, backward, kept = measured(model, (model, table), batch, strategy, selection)
        forward += FORWARD_FLOPS * interpolated.elements
        backward += BACKWARD_FLOPS * interpolated.elements
        assert forward / WINDOWS == pytest.approx(flops.forward, rel=0.01)
        assert (forward + backward) / WINDOWS == pytest.approx(flops.training, rel=0.01)
        # Interpolation in plain PyTorch, which only a CPU needs, keeps many more.
        if not interpolated.elements:
            mode = StepMode("cpu", "float32")
            counted = count_stored(config, task, batch_size=WINDOWS, mode=mode)
            assert 4 * kept == pytest.approx(counted, rel=0.06)
        model.shortcuts_only = True
        short = sum(measured(model, (model, table), batch, strategy, selection)[:2])
        model.shortcuts_only = False
        counted = count_shortcut_flops(config, task, **sizes).training
        assert short / WINDOWS == pytest.approx(counted, rel=0.01)

    return compare


@pytest.mark.parametrize(
    "strategy", [*FAMILY_STRATEGIES[:12:2], *ONE_OF_EACH_ROW[:12:3]], ids=lambda s: s.name
)
@pytest.mark.parametrize("layout", ["aligned", "reference"])
def test_operations_and_memory_are_what_torch_counts(check, strategy, layout):
    nano = replace(SIZES["nano"], response_loss="gaussian", dropout=0.0, neuron_dropout=0.0)
    config = replace(nano, video=replace(nano.video, layout=layout))
    check(config, strategy)


@pytest.mark.parametrize("strategy", FAMILY_STRATEGIES[:12:4], ids=lambda s: s.name)
def test_memory_in_bfloat16_is_what_torch_stores(make_model, make_batch, choose, strategy):
    config = replace(SIZES["nano"], response_loss="gaussian")
    model, table = make_model(config, neurons=NEURONS)
    batch = make_batch(windows=WINDOWS, neurons=NEURONS, frame=(36, 64))
    selection = choose(strategy, batch, seed=0, max_targets=config.max_targets)
    task = make_task(config, strategy, num_neurons=NEURONS, num_channels=3, has_screen=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        kept = 4 * measured(model, (model, table), batch, strategy, selection)[2]
    mode = StepMode("cpu", "bfloat16")
    counted = count_stored(config, task, batch_size=WINDOWS, mode=mode)
    # Weights are stored as they were cast, those of parts that the strategy does not use are not.
    counted += 2 * count_core(config, num_channels=3)
    assert kept == pytest.approx(counted, rel=0.1)


@pytest.mark.parametrize("kind", FEED_FORWARDS)
def test_operations_of_every_feed_forward_are_counted(check, kind):
    nano = replace(SIZES["nano"], response_loss="gaussian")
    dendrite = DendriteConfig(hidden=4, depth=2, sharing="model")
    config = replace(nano, feed_forward=kind, dendrite=dendrite)
    check(config, FAMILY_STRATEGIES[0])


def test_operations_of_frozen_functions_are_those_of_their_tables(check):
    nano = replace(SIZES["nano"], response_loss="gaussian")
    dendrite = DendriteConfig(depth=2, freeze=True, table=64)
    check(replace(nano, feed_forward="dendritic", dendrite=dendrite), FAMILY_STRATEGIES[0])


def test_a_request_is_what_training_asks_of_a_large_session():
    strategy = TRAINING_STRATEGIES[0]
    task = make_task(SIZES["1M"], strategy, num_neurons=8000, num_channels=5, has_screen=False)
    assert (task.num_neurons, task.num_visible, task.num_targets) == (4096, 1024, 3072)
    assert not task.has_video
