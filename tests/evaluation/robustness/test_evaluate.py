"""Scores under perturbed video: the perturbations, the attack, and the numbers."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.batch.selection import select
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.errors import ConfigError, OmniMouseError
from omnimouse_cli.evaluation.evaluate import evaluate
from omnimouse_cli.evaluation.records import EvalOptions, Evaluation
from omnimouse_cli.evaluation.robustness import attack, perturbations
from omnimouse_cli.evaluation.robustness.attack import attack_video
from omnimouse_cli.evaluation.robustness.evaluate import with_perturbations
from omnimouse_cli.evaluation.robustness.perturbations import Perturbation, require_families
from omnimouse_cli.model.omnimouse import Prediction
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.load import load_run

CONFIG = DataConfig()
STRATEGY = Strategy(name="s", family="predict", num_visible=0, video=(0, 60))
# Random weights: the read-out of a model that starts from linear models would be 0.
SMALL = ("model.d_model=16", "model.layers=1", "model.decoder.linear_rank=none")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def windows_of(grey, starts):
    """Windows of the given grey levels, with responses of 1."""
    grey = torch.as_tensor(grey, dtype=torch.float32)
    return Batch(
        number=-1,
        session="s",
        responses=torch.ones(len(grey), 60, 2),
        neuron_index=torch.arange(2).expand(len(grey), 2),
        video=(grey - CONFIG.video_mean) / CONFIG.video_std,
        behavior=None,
        behavior_present=np.zeros(0, bool),
        start_seconds=np.array(starts, np.float64),
    )


def grey_of(batch):
    return batch.video * CONFIG.video_std + CONFIG.video_mean


def linear_model(weights):
    """A model whose every response is a weighted sum of the last frame's pixels."""

    def predict(batch):
        value = (batch.video[:, -1] * weights).sum(dim=(1, 2))
        return Prediction(value[:, None, None].expand(-1, 30, 2), None)

    return SimpleNamespace(
        predict=predict,
        session="s",
        strategy=STRATEGY,
        selection=select(STRATEGY, num_neurons=2, num_windows=3, generator=None),
        run=SimpleNamespace(response_loss="gaussian"),
    )


def test_an_attack_finds_the_corner_of_the_box_that_is_worst():
    generator = torch.Generator().manual_seed(0)
    grey = torch.randint(0, 256, (3, 60, 4, 5), generator=generator)
    grey[0, -1, 0, :2] = torch.tensor([0, 255])
    weights = torch.randn(4, 5, generator=generator)
    batch, model = windows_of(grey, [0.0, 1.0, 2.0]), linear_model(weights)
    (moved,) = attack_video(model, batch, budgets=[8.0], seeds=[1, 2, 3], config=CONFIG)
    change = grey_of(moved) - grey
    assert change.abs().max() <= 8 + 1e-3
    assert grey_of(moved).min() >= -1e-3
    assert grey_of(moved).max() <= 255 + 1e-3
    # The squared error of a linear prediction is largest where all pixels go one of two ways.
    last = grey[:, -1].float()
    corners = torch.stack([(last + 8 * sign * weights.sign()).clamp(0, 255) for sign in (-1, 1)])
    sums = (((corners - CONFIG.video_mean) / CONFIG.video_std) * weights).sum(dim=(2, 3))
    worst = (sums - 1).square().amax(dim=0)
    found = (model.predict(moved).responses[:, 0, 0] - 1).square()
    # One start may climb the lower of the two hills, but never less than the clean video's.
    before = (model.predict(batch).responses[:, 0, 0] - 1).square()
    lower = (sums - 1).square().amin(dim=0)
    assert ((found - worst).abs() < 1e-3 * worst).logical_or((found - lower).abs() < 1e-3).all()
    assert ((found - worst).abs() < 1e-3 * worst).any()
    assert (found > before).all()


def test_a_useless_attack_leaves_the_video_as_it_was():
    grey = torch.full((3, 60, 4, 5), 100)
    batch, model = windows_of(grey, [0.0, 1.0, 2.0]), linear_model(torch.zeros(4, 5))
    for moved in attack_video(model, batch, budgets=[2.0, 8.0], seeds=[1, 2, 3], config=CONFIG):
        assert torch.equal(moved.video, batch.video)


def test_a_larger_budget_finds_a_larger_loss_within_its_bounds():
    generator = torch.Generator().manual_seed(0)
    grey = torch.randint(0, 256, (3, 60, 4, 5), generator=generator)
    batch, model = windows_of(grey, [0.0, 1.0, 2.0]), linear_model(torch.randn(4, 5))
    losses = [(model.predict(batch).responses[:, 0, 0] - 1).square()]
    budgets = [1.0, 4.0, 16.0]
    attacked = attack_video(model, batch, budgets=budgets, seeds=[1, 2, 3], config=CONFIG)
    for budget, moved in zip(budgets, attacked, strict=True):
        change = (grey_of(moved) - grey).abs()
        assert 0.9 * budget < change.max() <= budget + 1e-3
        losses.append((model.predict(moved).responses[:, 0, 0] - 1).square())
        assert (losses[-1] > losses[-2]).all()


def test_a_known_corruption_is_done_in_grey_levels():
    frame = np.zeros((1, 60, 4, 6))
    frame[..., :3] = 200
    batch = windows_of(frame, [0.0])
    contrast = Perturbation(family="contrast", severity=2, seed=0, config=CONFIG)
    changed = contrast.corrupt("s", batch)
    # Half of the contrast about a mean of 100 is left.
    wanted = torch.where(torch.arange(6) < 3, 150.0, 50.0).expand(1, 60, 4, 6)
    torch.testing.assert_close(grey_of(changed), wanted, atol=1e-3, rtol=0)
    assert torch.equal(changed.responses, batch.responses)


@pytest.mark.parametrize("family", ["noise", "fog", "jpeg"])
def test_what_is_random_depends_on_the_window_alone(family):
    pytest.importorskip("scipy")
    grey = np.random.default_rng(0).integers(0, 256, (2, 60, 16, 24))
    perturbation = Perturbation(family=family, severity=3, seed=0, config=CONFIG)
    both = perturbation.corrupt("s", windows_of(grey, [0.0, 7.0]))
    alone = perturbation.corrupt("s", windows_of(grey[1:], [7.0]))
    assert torch.equal(both.video[1:], alone.video)
    assert not torch.equal(both.video, windows_of(grey, [0.0, 7.0]).video)
    other = replace(perturbation, seed=1).corrupt("s", windows_of(grey[1:], [7.0]))
    assert torch.equal(other.video, alone.video) == (family == "jpeg")


@pytest.fixture(scope="module")
def run(small_mouse, write_run, tmp_path_factory):
    return load_run(write_run(tmp_path_factory.mktemp("run") / "run", small_mouse, sets=SMALL))


def test_numbers_are_of_the_perturbed_video_beside_the_clean_ones(run, small_mouse, monkeypatch):
    monkeypatch.setattr(perturbations, "SCORED_SEVERITIES", (2, 5))
    monkeypatch.setattr(attack, "STEPS", 3)
    monkeypatch.setattr(attack, "MORE_STEPS", 2)
    options = EvalOptions(
        regime="predict", baselines=(), stride_samples=90, perturb=("contrast", "adversarial")
    )
    plain = evaluate(run, small_mouse, options, Silent())
    found = with_perturbations(plain, run, small_mouse, options, Silent())
    assert found.records == plain.records
    assert not run.model.training
    clean = [one.record for one in found.perturbed if one.perturbation == "clean"]
    wanted = {(r.session, r.metric): r for r in plain.records if r.strategy == "predict"}
    assert {"single_trial_correlation", "loss"} <= {r.metric for r in clean}
    assert all(r.strategy == "predict" for r in clean)
    # Bit for bit, intervals included: the same predictions, from features that are kept.
    for r in clean:
        same = wanted[r.session, r.metric]
        assert (same.value, same.low, same.high) == (r.value, r.low, r.high)
    levels = {(one.perturbation, one.severity): one.level for one in found.perturbed}
    assert levels == {
        ("clean", 0): 0.0, ("contrast", 2): 0.5, ("contrast", 5): 0.15,
        ("adversarial", 2): 2.0, ("adversarial", 5): 16.0,
    }  # fmt: skip
    numbers = {
        (one.perturbation, one.severity, one.record.metric, one.record.predictor): one.record
        for one in found.perturbed
        if one.record.session == "overall"
    }
    before = numbers["clean", 0, "single_trial_correlation", "model"].value
    for family, severity in list(levels)[1:]:
        after = numbers[family, severity, "single_trial_correlation", "model"].value
        difference = numbers[family, severity, "difference", "model-clean"]
        assert difference.value == pytest.approx(after - before)
        assert difference.low <= difference.value <= difference.high
    (check,) = found.attack_checks
    assert (check.strategy, check.loss, check.budgets) == ("predict", "poisson", (0.0, 2.0, 16.0))
    assert check.rises
    assert check.losses[0] == numbers["clean", 0, "loss", "model"].value
    assert list(check.losses) == sorted(check.losses)


def test_many_windows_are_thinned_out_evenly_and_it_is_said(run, small_mouse, monkeypatch):
    monkeypatch.setattr("omnimouse_cli.evaluation.robustness.evaluate.MOST_WINDOWS", 3)
    lines = []

    class Listening(Silent):
        def say(self, message):
            lines.append(message)

    options = EvalOptions(regime="predict", stride_samples=90, perturb=("contrast",))
    nothing = Evaluation(records=(), unavailable=())
    found = with_perturbations(nothing, run, small_mouse, options, Listening())
    assert {one.severity for one in found.perturbed} == {0, 1, 3, 5}
    assert lines
    assert all("perturbed video: 3 of" in line for line in lines)


def test_an_attack_that_does_not_raise_the_loss_is_warned_of(run, small_mouse, monkeypatch):
    monkeypatch.setattr(
        perturbations, "attack_video", lambda _, batch, budgets, **__: [batch for _ in budgets]
    )
    warnings = []

    class Listening(Silent):
        def warn(self, message):
            warnings.append(message)

    options = EvalOptions(regime="predict", stride_samples=900, perturb=("adversarial",))
    nothing = Evaluation(records=(), unavailable=())
    found = with_perturbations(nothing, run, small_mouse, options, Listening())
    assert not found.attack_checks[0].rises
    assert warnings[0].startswith("predict: the loss does not rise with every budget")


def test_what_cannot_be_perturbed_is_refused(run, small_mouse):
    with pytest.raises(ConfigError, match="no perturbation 'nois'") as error:
        require_families(("blur", "nois"))
    assert error.value.hint == "did you mean `noise`?"
    nothing = Evaluation(records=(), unavailable=())
    for options in (
        EvalOptions(regime="decode", perturb=("noise",)),
        EvalOptions(regime="predict", stimulus=False, perturb=("noise",)),
    ):
        with pytest.raises(OmniMouseError, match="nothing to perturb"):
            with_perturbations(nothing, run, small_mouse, options, Silent())
