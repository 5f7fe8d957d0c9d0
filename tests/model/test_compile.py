"""Compiled blocks: whole graphs, a few compilations for all strategies, the same answers."""

import importlib
from dataclasses import replace

import pytest
import torch
import torch._dynamo.testing
from torch.nn.attention import flex_attention

from omnimouse_cli.batch.strategies import (
    TRAINING_STRATEGIES,
    VALIDATION_STRATEGIES,
    regime_strategies,
)
from omnimouse_cli.config.dendrite import DendriteConfig
from omnimouse_cli.kernels.attention import choose as attention
from omnimouse_cli.kernels.attention import flex
from omnimouse_cli.kernels.attention.flex import block_mask
from omnimouse_cli.kernels.attention.intervals import all_visible
from omnimouse_cli.kernels.attention.mask_cache import MaskCache
from omnimouse_cli.model.blocks import CrossBlock, SelfBlock
from omnimouse_cli.model.compile import compile_parts, compiled_parts
from omnimouse_cli.model.feed_forward import Dendrite, FeedForward
from omnimouse_cli.model.losses import compute_losses

pytestmark = pytest.mark.slow
# Compilers warn about themselves, and FlexAttention about the model that is compared with, which is
# not compiled; what counts here are the numbers.
quietly = pytest.mark.filterwarnings("default", "ignore:flex_attention called without")

GPU = torch.device("cuda")
NEURONS = 20
ONE_OF_EACH_ROW = tuple({s.name.split("-")[0]: s for s in TRAINING_STRATEGIES}.values())
# Of five kinds of blocks; dropout makes those of training and of evaluation different.
MOST_COMPILATIONS = 12


@pytest.fixture(autouse=True)
def _nothing_compiled():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture
def _masks_of_a_gpu(monkeypatch):
    """Make block masks for FlexAttention, as on a GPU, where there are no groups."""

    def mask(key):
        queries, keys, device = key
        return None if all_visible(queries, keys) else block_mask(queries, keys, device)

    monkeypatch.setattr(attention, "_masks", MaskCache(mask, lambda _mask: 1, 1000))
    # FlexAttention has no backward pass on a CPU, and says so before it is traced.
    monkeypatch.setattr(flex_attention, "_validate_device", lambda *_: None)
    monkeypatch.setattr(flex, "_compiled", lambda: flex_attention.flex_attention)


@pytest.fixture
def _attention_is_not_computed(monkeypatch):
    """On a CPU, FlexAttention takes most of the time of a model; graphs are the same without."""

    def zeros(query, _key, value, *_):
        rows = query.new_zeros(query.shape[:-1])
        return query.new_zeros(*query.shape[:-1], value.shape[-1]), rows, rows

    # The operator has the name of its module.
    flex_operator = importlib.import_module("torch._higher_order_ops.flex_attention")
    monkeypatch.setattr(flex_operator, "math_attention", zeros)
    # Of a backward pass, which is not computed.
    monkeypatch.setattr(flex_operator, "create_fw_bw_graph", lambda score, *_: (score, None))


def compiled_as_on_a_gpu(model, **sizes):
    """Compile without breaks; count graphs."""
    counter = torch._dynamo.testing.CompileCounter()
    compile_parts(model, GPU, batch_size=2, fullgraph=True, backend=counter, **sizes)
    return counter


def run(model, table, batch, strategy, selection):
    prediction = model(batch, table, "mouse", strategy, selection)
    return compute_losses(prediction, batch, strategy, selection, "gaussian")


@quietly
@pytest.mark.usefixtures("_masks_of_a_gpu")
def test_compiled_blocks_compute_what_others_do_in_training_and_in_evaluation(
    make_model, make_batch, choose, small_config
):
    config = replace(small_config, dropout=0.1)
    plain, table = make_model(config, neurons=NEURONS)
    model, _ = make_model(config, neurons=NEURONS)
    counter = compiled_as_on_a_gpu(model)
    batch = make_batch(windows=2, neurons=NEURONS)
    for number, strategy in enumerate(ONE_OF_EACH_ROW[::12]):
        selection = choose(strategy, batch, seed=number, max_targets=12)
        for is_training in (True, False):
            model.train(is_training)
            losses = run(model, table, batch, strategy, selection)
        with torch.no_grad():
            expected = run(plain, table, batch, strategy, selection)
            found_without_gradients = run(model, table, batch, strategy, selection)
        for found, same, wanted in zip(losses, found_without_gradients, expected, strict=True):
            if wanted is not None:
                torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
                assert not same.requires_grad
                torch.testing.assert_close(found, same)
        sum(loss for loss in losses if loss is not None).backward()
    assert counter.frame_count <= MOST_COMPILATIONS
    assert not torch._dynamo.utils.counters["graph_break"]


@quietly
@pytest.mark.usefixtures("_masks_of_a_gpu")
def test_a_batch_of_one_window_runs_the_code_of_others(
    make_model, make_batch, choose, small_config
):
    plain, table = make_model(small_config, neurons=NEURONS)
    model, _ = make_model(small_config, neurons=NEURONS)
    counter = compiled_as_on_a_gpu(model)
    strategy = ONE_OF_EACH_ROW[0]
    num_graphs = []
    for windows in (2, 1):
        batch = make_batch(windows=windows, neurons=NEURONS)
        selection = choose(strategy, batch, seed=0, max_targets=12)
        with torch.no_grad():
            expected = run(plain, table, batch, strategy, selection)
            found = run(model, table, batch, strategy, selection)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
        num_graphs.append(counter.frame_count)
    assert num_graphs[0] == num_graphs[1] > 0


@quietly
@pytest.mark.usefixtures("_masks_of_a_gpu", "_attention_is_not_computed")
def test_ten_video_blocks_and_all_strategies_compile_to_few_graphs(
    make_model, make_batch, choose, small_config
):
    # A length that about a third of the strategies have, 20, is compiled for itself.
    video = replace(small_config.video, stages=(2, 8), drop_path=0.25)
    model, table = make_model(replace(small_config, video=video), neurons=NEURONS)
    counter = compiled_as_on_a_gpu(model, fusion_length=20)
    # The last batch of a session that is validated on has any number of windows.
    batches = [make_batch(windows=windows, neurons=NEURONS) for windows in (2, 3, 1)]
    training = [(strategy, True) for strategy in TRAINING_STRATEGIES]
    everything = regime_strategies("all", population=NEURONS, stimulus=True, behavior=True)
    validation = [(strategy, False) for strategy in (*VALIDATION_STRATEGIES, *everything)]
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        for number, (strategy, is_training) in enumerate(training + validation):
            batch = batches[0 if is_training else number % 3]
            selection = choose(strategy, batch, seed=number, max_targets=12)
            model.train(is_training)
            with torch.set_grad_enabled(is_training):
                run(model, table, batch, strategy, selection)
    # Fusion layers of the usual length with and without a mask and of others, encoder and decoder,
    # three kinds of video blocks; training and validation run the same.
    assert counter.frame_count == 3 + 2 + 3
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
