"""The feed-forward with every non-linearity, and how learned ones start and are shared."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from omnimouse_cli.batch.strategies import FAMILY_STRATEGIES
from omnimouse_cli.config.dendrite import MAX_CELLS, DendriteConfig
from omnimouse_cli.config.load import load_config
from omnimouse_cli.errors import ConfigError
from omnimouse_cli.kernels.dendrite import DendriticFunction
from omnimouse_cli.kernels.dendrite.lookup import Grid, TableAccuracy, grid
from omnimouse_cli.kernels.dendrite.reference import reference_dendrite
from omnimouse_cli.model.dendrite_start import distilled_swiglu, smoothed_noise, xavier
from omnimouse_cli.model.feed_forward import (
    PIECE_TOKENS,
    Dendrite,
    FeedForward,
    lookup_grid,
    rebuild_tables,
    table_accuracy,
)


@pytest.mark.parametrize(
    ("kind", "activated"),
    [
        ("swiglu", lambda up, gate: functional.silu(up) * gate),
        ("geglu", lambda up, gate: functional.gelu(up) * gate),
        ("relu", lambda up, _: up.relu()),
        ("gelu", lambda up, _: functional.gelu(up)),
    ],
)
def test_a_fixed_feed_forward_equals_its_equation(kind, activated):
    torch.manual_seed(0)
    block, x = FeedForward(6, 8, kind), torch.randn(2, 3, 6)
    gate = None if block.gate is None else x @ block.gate.weight.T
    expected = activated(x @ block.up.weight.T, gate) @ block.down.weight.T
    torch.testing.assert_close(block(x), expected)
    assert sum(p.numel() for p in block.parameters()) == 3 * 6 * 8


@pytest.mark.parametrize("kind", ["swiglu", "relu", "dendritic"])
@pytest.mark.parametrize("shape", [(3, PIECE_TOKENS - 5), (PIECE_TOKENS + 1,), (2, 0)])
def test_tokens_in_pieces_become_what_they_become_at_once(kind, shape):
    torch.manual_seed(0)
    own = Dendrite(DendriteConfig()) if kind == "dendritic" else None
    block, x = FeedForward(6, 8, kind, dendrite=own), torch.randn(*shape, 6)
    expected = block(x)
    assert expected.requires_grad
    with torch.inference_mode():
        found = block(x)
    torch.testing.assert_close(found, expected.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "bound"),
    [(DendriticFunction(), 0.11), (DendriticFunction(8, 1, "smoothstep"), 0.03)],
    ids=str,
)
def test_a_distilled_swiglu_is_as_far_from_it_as_it_says(function, bound):
    fit = distilled_swiglu(function)
    assert fit.relative_error < bound
    # Independent arguments of their own, not the points of the fit.
    generator = torch.Generator().manual_seed(5)
    a, b = torch.randn(2, 20_000, generator=generator)
    dendrite = Dendrite(DendriteConfig(inner=function.inner))
    assert torch.equal(dendrite.weights.detach(), fit.weights)
    exact = functional.silu(a) * b
    found = dendrite(a[:, None], b[:, None])[:, 0].detach()
    relative = (found - exact).square().mean().sqrt() / exact.square().mean().sqrt()
    assert float(relative) == pytest.approx(fit.relative_error, rel=0.25)


def test_one_learned_argument_is_a_learned_function_whose_second_argument_is_one():
    torch.manual_seed(0)
    function, x = Dendrite(DendriteConfig(start="noise")), torch.randn(2, 3, 6)
    block = FeedForward(6, 8, "learned", dendrite=function)
    # As many parameters as a gated one, and those of the function.
    assert sum(p.numel() for p in block.parameters()) == 3 * 6 * 8 + function.weights.numel()
    up = x @ block.up.weight.T
    weights = function.weights.detach()
    expected = reference_dendrite(up, torch.ones_like(up), weights, function.function)
    torch.testing.assert_close(block(x), expected @ block.down.weight.T)
    # As it starts by default, it is SiLU as nearly as eight relu units are SwiGLU.
    block = FeedForward(6, 8, "learned", dendrite=Dendrite(DendriteConfig(inner="smoothstep")))
    with torch.no_grad():
        block.up.weight.copy_(torch.eye(12, 6))
        block.down.weight.copy_(torch.eye(6, 12))
    a = torch.randn(1000, 6)
    assert (block(a) - functional.silu(a)).square().mean() < 0.05**2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dendrite.normalize=true", "normalizes two arguments"),
        # 24 units.
        ("dendrite.cell_types=16", "must divide"),
    ],
)
def test_a_learned_function_of_one_argument_is_not_normalized_and_types_share_units(text, message):
    sets = ["model.feed_forward=learned", "model.feed_forward_multiple=16", f"model.{text}"]
    with pytest.raises(ConfigError, match=message):
        load_config(sets=sets)


def test_noise_is_smooth_small_and_another_each_time():
    function = DendriticFunction(8, 1, "relu")
    torch.manual_seed(0)
    first, second = smoothed_noise(function), smoothed_noise(function)
    torch.manual_seed(0)
    assert torch.equal(first, smoothed_noise(function))
    assert not torch.equal(first, second)
    points = torch.randn(500, 2)
    dendrite = Dendrite(DendriteConfig())
    dendrite.weights.data[0] = first
    values = dendrite(points[:, :1], points[:, 1:]).detach()
    # Uniform noise of variance 1/3, smoothed over 4 pi sigma^2 = 140 cells: 0.05.
    assert 0.0001 < values.std() < 0.1


def test_xavier_has_bounds_by_inputs_and_outputs_and_no_bias():
    torch.manual_seed(0)
    function = DendriticFunction(16, 2)
    layers = function.layers(xavier(function)[None])
    for layer, bound in zip(layers, (1 / 3, 6 / 32, 6 / 17), strict=True):
        weights = layer[..., :-1]
        assert layer[..., -1].abs().max() == 0
        assert 0.7 * bound**0.5 < weights.abs().max() <= bound**0.5


def test_cell_types_have_equal_shares_of_the_units():
    dendrite = Dendrite(DendriteConfig(cell_types=2))
    with torch.no_grad():
        dendrite.weights.zero_()
        dendrite.weights[:, -1] = torch.tensor([1.0, 2.0])
    assert dendrite(torch.zeros(1, 6), torch.zeros(1, 6)).tolist() == [[1, 1, 1, 2, 2, 2]]


def test_normalised_arguments_have_no_mean_and_no_scale():
    torch.manual_seed(0)
    dendrite = Dendrite(DendriteConfig(normalize=True))
    a, b = torch.randn(2, 5, 40)
    torch.testing.assert_close(dendrite(a, b), dendrite(7 * a + 3, 7 * b + 3), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("sharing", ["model", "layer"])
def test_every_function_of_a_model_is_listed_once_and_learns(
    make_model, make_batch, choose, small_config, sharing
):
    dendrite = DendriteConfig(sharing=sharing, cell_types=2, hidden=4)
    config = replace(small_config, feed_forward="dendritic", dendrite=dendrite)
    model, table = make_model(config)
    names = [name for name in model.state_dict() if name.endswith("dendrite.weights")]
    blocks = 2 + len(model.fusion) + len(model.video.blocks)
    assert len(names) == (1 if sharing == "model" else blocks)
    strategy = FAMILY_STRATEGIES[0]
    batch = make_batch()
    answer = model(batch, table, "mouse", strategy, choose(strategy, batch))
    answer.responses.square().mean().backward()
    parameters = dict(model.named_parameters())
    used = [name for name in names if parameters[name].grad is not None]
    assert used
    assert all(parameters[name].grad.abs().sum() > 0 for name in used)


def test_a_frozen_function_does_not_learn(make_model, small_config):
    frozen = DendriteConfig(freeze=True)
    model, _ = make_model(replace(small_config, feed_forward="dendritic", dendrite=frozen))
    held = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert held
    assert all(name.endswith("dendrite.weights") for name in held)


@pytest.mark.parametrize("normalize", [False, True])
def test_a_frozen_function_is_read_from_a_table_as_close_as_it_states(normalize):
    torch.manual_seed(0)
    frozen = DendriteConfig(freeze=True, cell_types=2, normalize=normalize, table=256)
    x = 0.7 * torch.randn(40, 6)
    read = FeedForward(6, 100, "dendritic", dendrite=Dendrite(frozen))
    computed = FeedForward(6, 100, "dendritic", dendrite=Dendrite(replace(frozen, table=None)))
    # The table is no part of what is stored.
    assert read.state_dict().keys() == computed.state_dict().keys()
    computed.load_state_dict(read.state_dict())
    with torch.no_grad():
        a, b = read.arguments(x).unbind(-2)
        found, exact = (block.dendrite(a, b) for block in (read, computed))
    assert a.abs().maximum(b.abs()).max() < 4
    # Arguments of these layers spread less than 1, and values do.
    off, stated = (found - exact) / exact.std(), read.dendrite.accuracy
    assert 0 < float(off.abs().max()) < 4 * stated.largest < 0.2
    assert 0.2 * stated.rms < float(off.square().mean().sqrt()) < 4 * stated.rms < 0.01
    assert computed.dendrite.accuracy is None


def test_a_table_is_made_of_the_weights_that_are_loaded():
    first, other = (Dendrite(DendriteConfig(freeze=True, start="noise", table=32)) for _ in "ab")
    assert not torch.equal(first.table, other.table)
    first.load_state_dict(other.state_dict())
    assert torch.equal(first.table, other.table)
    assert first.accuracy == other.accuracy
    with torch.no_grad():
        first.weights[:, -1] += 1
    rebuild_tables(torch.nn.ModuleList([first]))
    torch.testing.assert_close(first.table[..., 0], other.table[..., 0] + 1)
    assert table_accuracy(torch.nn.ModuleList([first, other])) == TableAccuracy.worst(
        [first.accuracy, other.accuracy]
    )
    assert table_accuracy(torch.nn.Linear(2, 2)) is None
    with torch.device("meta"):
        assert Dendrite(DendriteConfig(freeze=True, table=32)).accuracy is None


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("model.feed_forward=swigloo", "cannot be 'swigloo'", "swiglu"),
        ("dendrite.inner=tanh", "cannot be 'tanh'", "relu, smoothstep"),
        ("dendrite.hidden=65", "at most 64.*registers.*65", None),
        ("dendrite.hidden=0", "positive", None),
        ("dendrite.depth=3", "cannot be 3", None),
        ("dendrite.cell_types=3", "must divide", None),
        (
            "dendrite.table=64",
            "only to a frozen function, and `freeze` is off: 64, 4.0",
            None,
        ),
        ("dendrite.table_range=8", "apply only to a frozen function", None),
        ("dendrite.table=33", "an even number of cells up to 2048: 33", None),
        ("dendrite.table=4096", "up to 2048: 4096", None),
        ("dendrite.table=0", "`table` must be positive", None),
        ("dendrite.table_range=0", "`table_range` must be positive", None),
        ("dendrite.shared=model", "no configuration key", "sharing"),
    ],
)
def test_a_wrong_choice_is_refused_with_the_nearest_right_one(text, message, hint):
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(sets=[text])
    assert hint is None or hint in str(caught.value.hint)


def test_a_table_is_the_default_of_frozen_functions_too_large_for_registers():
    assert lookup_grid(DendriteConfig(freeze=True)) is None
    assert lookup_grid(DendriteConfig(freeze=True, hidden=12)) is None
    for large in ({"hidden": 13}, {"depth": 2}, {"hidden": 9, "inner": "smoothstep"}):
        assert lookup_grid(DendriteConfig(**large)) is None
        assert lookup_grid(DendriteConfig(freeze=True, **large)) == Grid(256, 4.0)
        assert lookup_grid(DendriteConfig(freeze=True, table=None, **large)) is None


def test_an_explicit_table_is_obeyed():
    frozen = "model.dendrite.freeze=true"
    assert load_config(sets=[frozen]).model.dendrite.table == "auto"
    for value, table in (("none", None), ("64", 64), ("256", 256), ("auto", "auto")):
        config = load_config(sets=[frozen, f"model.dendrite.table={value}"])
        assert config.model.dendrite.table == table
    # As the configurations of runs have it that were trained before there was a choice.
    for value in ("none", "256"):
        assert load_config(sets=[f"model.dendrite.table={value}"]).model.dendrite.freeze is False
    # What the kernels can count is what the configuration allows.
    assert MAX_CELLS == grid.MAX_CELLS
