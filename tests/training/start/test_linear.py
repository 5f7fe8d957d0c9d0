"""Linear models computed before training: recovered from simulated data, fixed afterwards."""

from dataclasses import replace

import pytest
import torch

from omnimouse_cli.model.omnimouse import OmniMouse
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.load import load_run
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.prepare import TrainingJob
from omnimouse_cli.training.run import train
from omnimouse_cli.training.start import linear
from omnimouse_cli.training.start.factor_analysis import fit_factors
from omnimouse_cli.training.start.session_data import SessionData
from tests.reporter import MessageReporter


def autoregressive(windows, signals, decay, generator):
    """Return unit processes of one time constant: `(windows, 60, signals)`."""
    noise = torch.randn(windows, 60, signals, generator=generator)
    values = [noise[:, 0]]
    for sample in range(1, 60):
        values.append(decay * values[-1] + (1 - decay**2) ** 0.5 * noise[:, sample])
    return torch.stack(values, dim=1)


def test_loadings_noise_and_autocovariances_are_recovered():
    generator = torch.Generator().manual_seed(0)
    loadings = torch.randn(40, 2, generator=generator) * torch.tensor([1.0, 0.6])
    factors = torch.cat([autoregressive(400, 1, decay, generator) for decay in (0.95, 0.7)], dim=2)
    private = 0.8 * autoregressive(400, 40, 0.5, generator)
    model = fit_factors(3 + factors @ loadings.T + private, rank=2, num_columns=4)
    found = model.loadings[:, :2] @ model.loadings[:, :2].T
    expected = loadings @ loadings.T
    assert (found - expected).norm() / expected.norm() < 0.1
    assert not model.loadings[:, 2:].any()
    assert not model.shared[2:].any()
    torch.testing.assert_close(model.mean, torch.full((40,), 3.0), atol=0.3, rtol=0)
    assert model.log_noise.exp().mean().item() == pytest.approx(0.64, rel=0.1)
    lag = torch.arange(60.0)
    for row, decay in zip(model.shared[:2], (0.95, 0.7), strict=True):
        torch.testing.assert_close(row / row[0], decay**lag, atol=0.12, rtol=0)
    torch.testing.assert_close(model.private, 0.5**lag, atol=0.1, rtol=0)


@pytest.mark.parametrize("of_product", [0.0, 0.6])
def test_a_product_of_factors_is_found_and_nothing_where_there_is_none(config, of_product):
    generator = torch.Generator().manual_seed(0)
    loadings = torch.randn(2, 40, generator=generator)
    of_pair = of_product * torch.randn(40, generator=generator)

    def simulate(windows):
        factors = autoregressive(windows, 2, 0.95, generator)
        private = 0.8 * autoregressive(windows, 40, 0.5, generator)
        product = factors.prod(dim=2, keepdim=True) * of_pair
        return SessionData(factors @ loadings + product + private, None, None)

    decoder = replace(config.model.decoder, linear_rank=2)
    core = OmniMouse(replace(config.model, decoder=decoder), behavior_channels=(), animals=("1",))
    train, validation, test = simulate(300), simulate(100), simulate(100)
    buffers, text = linear._choose_factors([train], [validation], core)
    clip, penalty = float(buffers["factors.clip"]), float(buffers["factors.penalty"])
    model = fit_factors(train.apart, 2, 2, clip=clip)
    shortcut = linear._build_shortcut(buffers, torch.device("cpu"))
    moments = linear.correction_moments(train.responses, model, shortcut, core)
    # An infinite penalty is none: weights of 0.
    correction = moments.solve(min(penalty, 1e9))
    buffers["factors.penalty"] = torch.tensor(1.0)
    without, corrected = (
        linear._score_factors(
            [test.responses], [model], buffers, core, shares=(0.5,), corrections=[weights]
        )
        for weights in (torch.zeros_like(correction), correction)
    )
    if of_product:
        assert "a correction with penalty" in text
        assert corrected > without + 0.05
    else:
        assert corrected > without - 0.003


@pytest.fixture
def shards(make_shards, session):
    return make_shards([session(behavior=True, screen=True), session(key="2-1-1", num_neurons=4)])


@pytest.fixture
def config(tiny):
    decoder = replace(tiny.model.decoder, motion_wavelengths=(8.0,), linear_rank=3)
    return replace(
        tiny,
        model=replace(tiny.model, decoder=decoder, response_loss="poisson"),
        train=replace(tiny.train, steps=2, table_weight_decay=0.5),
    )


def test_training_leaves_the_linear_models_as_they_were_computed(tmp_path, shards, config):
    reporter = MessageReporter()
    for name, steps in (("short", 1), ("long", 3)):
        timed = replace(config, train=replace(config.train, steps=steps))
        train(TrainingJob(config=timed, shards=shards, run=tmp_path / name), World(), reporter)
    short, long = (load_run(tmp_path / name) for name in ("short", "long"))
    for session in ("1-1-1", "2-1-1"):
        weights = long.embeddings[session].neuron_weights
        assert weights.equal(short.embeddings[session].neuron_weights)
        assert weights[:, 3:].any()
    # The second session has neither screen nor behavior.
    assert not long.embeddings["2-1-1"].neuron_weights[:, :3].any()
    buffers = dict(long.model.linear_paths.named_buffers())
    for name, value in short.model.linear_paths.named_buffers():
        assert value.equal(buffers[name]), name
    assert (buffers["factors.shared"][:, 0] > 0).any()
    assert any("linear model of the population" in line for line in reporter.said)


def test_a_run_that_starts_from_another_keeps_its_linear_models(
    tmp_path, shards, config, monkeypatch
):
    monkeypatch.setattr(linear, "_choose_penalty", lambda *_: torch.tensor(0.3))
    monkeypatch.setattr(linear, "LEAST_CORRECTION_WINDOWS", 1)
    monkeypatch.setattr(linear, "choose_stimulus_share", lambda *_: 0.25)
    first = tmp_path / "first"
    train(TrainingJob(config=config, shards=shards, run=first), World(), Silent())
    for name, job in {
        "init": TrainingJob(config=config, shards=shards, run=tmp_path / "init", init_from=first),
        "adapt": TrainingJob(
            config=replace(config, train=replace(config.train, adapt_from=str(first))),
            shards=shards,
            run=tmp_path / "adapt",
        ),
    }.items():
        train(job, World(), Silent())
        one, other = load_run(first), load_run(tmp_path / name)
        assert float(other.model.linear_paths.factors.get_buffer("penalty")) == pytest.approx(0.3)
        assert other.model.linear_paths.encoding.get_buffer("stimulus_share") == 0.25
        for session, embeddings in one.embeddings.items():
            assert embeddings.neuron_weights[:, 7:].any()
            assert embeddings.neuron_weights.equal(other.embeddings[session].neuron_weights)
