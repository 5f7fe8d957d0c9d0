"""Compiled blocks: whole graphs, a few compilations for all strategies, the same answers."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
import torch._dynamo.testing
from torch.nn.attention import flex_attention

from omnimouse_cli.batch.strategies import TRAINING_STRATEGIES
from omnimouse_cli.config.dendrite import DendriteConfig
from omnimouse_cli.kernels.attention import choose as attention
from omnimouse_cli.kernels.attention import flex
from omnimouse_cli.kernels.attention.flex import block_mask
from omnimouse_cli.kernels.attention.intervals import all_visible
from omnimouse_cli.kernels.attention.mask_cache import MaskCache
from omnimouse_cli.kernels.attention.reference import dense_mask
from omnimouse_cli.model.blocks import CrossBlock, SelfBlock
from omnimouse_cli.model.compile import compiled_parts
from omnimouse_cli.model.feed_forward import Dendrite, FeedForward
from omnimouse_cli.model.losses import compute_losses

pytestmark = pytest.mark.slow

GPU = torch.device("cuda")
NEURONS = 40
ONE_OF_EACH_ROW = tuple({s.name.split("-")[0]: s for s in TRAINING_STRATEGIES}.values())
# Of three kinds of blocks, in training and evaluation, with and without masks and gradients.
MOST_COMPILATIONS = 20


@pytest.fixture(autouse=True)
def _nothing_compiled():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture(params=[dense_mask, block_mask])
def kind(request, monkeypatch):
    """Make masks of one kind, as on a GPU, where there are no groups."""

    def mask(key):
        queries, keys, device = key
        return None if all_visible(queries, keys) else request.param(queries, keys, device)

    monkeypatch.setattr(attention, "_masks", MaskCache(mask, lambda _mask: 1, 1000))
    # FlexAttention has no backward pass on a CPU, and says so before it is traced.
    monkeypatch.setattr(flex_attention, "_validate_device", lambda *_: None)
    monkeypatch.setattr(flex, "_compiled", lambda: flex_attention.flex_attention)
    return request.param


def compiled_as_on_a_gpu(model):
    """Compile without breaks; count compilations, of each kind of block and of all."""
    counter = torch._dynamo.testing.CompileCounter()
    parts = compiled_parts(model, GPU)
    for part in parts:
        part.compile(dynamic=True, fullgraph=True, backend=counter)
    return counter, Counter(type(part).__name__ for part in parts)


def run(model, table, batch, strategy, selection):
    prediction = model(batch, table, "mouse", strategy, selection)
    return compute_losses(prediction, batch, strategy, selection, "gaussian")


# Compilers warn about themselves; what counts here are the numbers.
@pytest.mark.filterwarnings("default")
def test_blocks_compile_whole_and_a_few_times_for_all_kinds_of_strategies(
    kind, make_model, make_batch, choose, small_config
):
    config = replace(small_config, dropout=0.1)
    plain, table = make_model(config, neurons=NEURONS)
    model, _ = make_model(config, neurons=NEURONS)
    counter, parts = compiled_as_on_a_gpu(model)
    assert parts == {"SelfBlock": 2, "CrossBlock": 2, "VideoBlock": 2}
    batch = make_batch(windows=2, neurons=NEURONS)
    strategies = ONE_OF_EACH_ROW[::4] if kind is dense_mask else ONE_OF_EACH_ROW[::12]
    for number, strategy in enumerate(strategies):
        selection = choose(strategy, batch, seed=number, max_targets=30)
        for is_training in (True, False):
            model.train(is_training)
            losses = run(model, table, batch, strategy, selection)
        with torch.no_grad():
            expected = run(plain, table, batch, strategy, selection)
        for found, wanted in zip(losses, expected, strict=True):
            if wanted is not None:
                torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
        sum(loss for loss in losses if loss is not None).backward()
    # Beyond PyTorch's limit a whole graph is an error; what is stated is far below it.
    assert counter.frame_count <= MOST_COMPILATIONS
    assert not torch._dynamo.utils.counters["graph_break"]


def test_on_a_cpu_only_what_has_no_groups_is_compiled(make_model, small_config):
    model, _ = make_model(small_config)
    parts = compiled_parts(model, torch.device("cpu"))
    assert parts
    assert not any(isinstance(part, SelfBlock | CrossBlock) for part in parts)


@pytest.mark.parametrize("normalize", [False, True])
def test_a_frozen_feed_forward_compiles_whole_and_reads_the_table_that_there_is(normalize):
    torch.manual_seed(0)
    config = DendriteConfig(freeze=True, start="noise", table=16, normalize=normalize)
    block = FeedForward(6, 8, "dendritic", dendrite=Dendrite(config))
    compiled = torch.compile(block, fullgraph=True, dynamic=True, backend="aot_eager")
    for tokens in (3, 5):
        x, y = (torch.ones(tokens, 6, requires_grad=True) for _ in range(2))
        found, expected = compiled(x), block(y)
        torch.testing.assert_close(found, expected)
        found.sum().backward()
        expected.sum().backward()
        torch.testing.assert_close(x.grad, y.grad)
        # Other weights, another table: the compiled block has not kept the one before.
        block.load_state_dict(
            FeedForward(6, 8, "dendritic", dendrite=Dendrite(config)).state_dict()
        )
