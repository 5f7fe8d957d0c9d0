"""The precision of a forward pass: the user's, else the device's, and what stays in float32."""

from dataclasses import replace

import pytest
import torch

from omnimouse_cli.batch.strategies import FAMILY_STRATEGIES
from omnimouse_cli.model.losses import compute_losses
from omnimouse_cli.model.precision import autocast


@pytest.mark.parametrize(
    ("precision", "device", "expected"),
    [
        (None, "cpu", torch.float32),
        ("bfloat16", "cpu", torch.bfloat16),
    ],
)
def test_the_device_decides_the_precision_where_the_user_does_not(precision, device, expected):
    one = torch.ones(1, 1, device=device)
    with autocast(precision, torch.device(device)):
        assert (one @ one).dtype is expected


STRATEGIES = tuple({s.family: s for s in FAMILY_STRATEGIES}.values())
FORECAST = next(s for s in STRATEGIES if s.family == "forecast")


@pytest.fixture(params=["poisson", "gaussian"])
def model(request, small_config, make_model):
    return make_model(replace(small_config, response_loss=request.param))


def predict(model, batch, strategy, selection, precision):
    core, embeddings = model
    with autocast(precision, torch.device("cpu")):
        return core(batch, embeddings, "mouse", strategy, selection)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_shortcuts_biases_and_activation_have_the_bits_of_float32(
    model, make_batch, choose, strategy
):
    core, embeddings = model
    torch.nn.init.normal_(embeddings.neuron_biases)
    core.shortcuts_only = True
    batch = make_batch()
    found, expected = (
        predict(model, batch, strategy, choose(strategy, batch), precision)
        for precision in ("bfloat16", "float32")
    )
    for rounded, exact in zip(found, expected, strict=True):
        assert (rounded is None) == (exact is None)
        assert rounded is None or torch.equal(rounded, exact)


def test_gradients_of_shortcuts_have_the_bits_of_float32(model, make_batch, choose):
    core, embeddings = model
    core.shortcuts_only = True
    batch, parameters = make_batch(), [*core.linear_paths.parameters(), *embeddings.parameters()]
    found, expected = (
        torch.autograd.grad(
            predict(model, batch, FORECAST, choose(FORECAST, batch), precision).responses.sum(),
            parameters,
            allow_unused=True,
        )
        for precision in ("bfloat16", "float32")
    )
    for rounded, exact in zip(found, expected, strict=True):
        assert exact is None or torch.equal(rounded, exact)


def test_the_error_of_a_prediction_is_that_of_the_transformer(model, make_batch, choose):
    core, _ = model
    batch, selection = make_batch(), choose(FORECAST, make_batch())
    decoded = []
    core.readout.project.register_forward_hook(lambda _module, _inputs, out: decoded.append(out))
    for precision in ("bfloat16", "float32"):
        predict(model, batch, FORECAST, selection, precision)
    rounded, exact = decoded
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - exact).abs().max() < 0.03 * exact.abs().max()


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_losses_have_the_bits_of_float32(model, make_batch, choose, precision):
    batch = make_batch()
    prediction = predict(model, batch, FORECAST, selection := choose(FORECAST, batch), "bfloat16")
    arguments = (prediction, batch, FORECAST, selection, model[0].config.response_loss)
    with autocast(precision, torch.device("cpu")):
        found = compute_losses(*arguments)
    assert found.neural.dtype == torch.float32
    assert torch.equal(found.neural, compute_losses(*arguments).neural)


def test_only_products_and_attention_are_in_bfloat16(model, make_batch, choose):
    core, batch = model[0], make_batch()
    types = {}

    def note(name):
        def hook(module, inputs, out):
            types[name] = out.dtype if isinstance(out, torch.Tensor) else None

        return hook

    for name, module in core.named_modules():
        module.register_forward_hook(note(name))
    for strategy in STRATEGIES:
        predict(model, batch, strategy, choose(strategy, batch), "bfloat16")
    # The residual streams, and what is predicted from them.
    streams = [f"fusion.{layer}" for layer in range(len(core.fusion))]
    for name in ("encoder", "decoder", *streams, "readout", "readout.project"):
        assert types[name] is torch.float32, name
    linear = [name for name, module in core.named_modules() if isinstance(module, torch.nn.Linear)]
    transformer = [name for name in linear if name.startswith(("fusion", "encoder", "decoder"))]
    assert {types[name] for name in transformer} == {torch.bfloat16}
    # Angles are no products, and are rounded once.
    assert {x.dtype for name, x in core.named_buffers() if "rotary" in name} == {torch.float32}
