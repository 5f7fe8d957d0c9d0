"""Verdicts agree with intervals, and gradient masking is noticed."""

import numpy as np
import pytest
import torch

from omnimouse_cli.dendrites.images.architecture import (
    ACTIVATIONS,
    DENDRITIC,
    build_architecture,
)
from omnimouse_cli.dendrites.images.claims import NAMES, find_masking, judge_claims
from omnimouse_cli.dendrites.images.results import Candidate, CandidateResult
from omnimouse_cli.dendrites.images.scores import CandidateScores, count_epochs
from omnimouse_cli.dendrites.images.settings import Hyperparameters
from omnimouse_cli.dendrites.images.summaries import build_rows, summarize
from omnimouse_cli.dendrites.soft_xor import judge_interval
from omnimouse_cli.metrics.intervals import Interval


@pytest.mark.parametrize(
    ("low", "high", "above", "below"),
    [
        (0.1, 0.3, "confirmed", "refuted"),
        (-0.3, -0.1, "refuted", "confirmed"),
        (-0.1, 0.3, "undetermined", "undetermined"),
        (0.0, 0.3, "undetermined", "undetermined"),
    ],
)
def test_a_verdict_needs_the_whole_interval(low, high, above, below):
    interval = Interval(value=(low + high) / 2, low=low, high=high)
    assert judge_interval(interval) == above
    assert judge_interval(interval, above=False) == below


def attacks(losses, left=0.0, square=0.5):
    budgets = (0.05, 0.1, 1.0)
    return {
        "epsilon": 0.1,
        "gradient": [
            {"epsilon": budget, "loss": [loss], "accuracy": [accuracy]}
            for budget, loss, accuracy in zip(budgets, losses, (0.6, 0.4, left), strict=True)
        ],
        "square": None if square is None else [square],
    }


def test_a_sound_attack_passes_and_each_sign_of_masking_is_named():
    assert find_masking(attacks((1, 2, 3))) == []
    assert find_masking(attacks((1, 2, 3), square=None)) == []
    assert "does not rise" in find_masking(attacks((1, 2, 2)))[0]
    assert "leaves 10.0 % right" in find_masking(attacks((1, 2, 3), left=0.1))[0]
    assert "without gradients" in find_masking(attacks((1, 2, 3), square=0.3))[0]


def test_epochs_count_from_one_and_never_is_one_more_than_all():
    curves = np.array([[0.9, 0.1, 0.1], [0.1, 0.2, 0.8], [0.1, 0.2, 0.3]])
    assert count_epochs(curves, 0.8).tolist() == [1, 3, 4]


def make_scores(accuracies, epochs, joint_epochs=60):
    """Scores by activation: accuracies and epochs of the last session of every seed."""
    by_name = {}
    for name, values in accuracies.items():
        architecture = build_architecture(
            "mlp", ACTIVATIONS[name], (4,), image=(1, 8, 8), num_classes=2, inner=(4,)
        )
        arrays = {"curves.accuracy": torch.zeros(len(values), 60)}
        if ACTIVATIONS[name].learned:
            arrays["curves.joint_accuracy"] = torch.zeros(len(values), joint_epochs)
        fields = dict.fromkeys(("joint_accuracy", "pretraining_r2"))
        fields |= {"accuracy": list(values), "search": [], "parameters": 1, "units": [4]}
        fields |= {"inner_parameters": 0, "validation_accuracy": values, "best_epoch": [1] * 9}
        by_name[name] = CandidateScores(
            result=CandidateResult(
                candidate=Candidate(network="mlp", activation=name),
                architecture=architecture,
                hyperparameters=Hyperparameters(),
                fields=fields,
                arrays=arrays,
            ),
            robustness=None,
            threshold=0.9,
            epochs=np.asarray(epochs[name], np.float64),
            joint_epochs=None,
        )
    return {"mlp": by_name}


@pytest.fixture
def scores():
    """Two arguments beat ReLU clearly, maxout barely, and not at all one learned argument."""
    noise = np.array([-1.0, 1.0, -1.0, 1.0, 0.0, 0.0, 1.0, -1.0])
    base = 0.9 + 0.01 * np.arange(8)
    accuracies = {
        "relu": base - 0.05 + 0.001 * noise,
        "maxout": base - 0.008 + 0.01 * noise,
        "learned-scalar": base + 0.001 * noise,
        "dendritic": base,
    }
    epochs = {"relu": [45] * 8, "maxout": [30] * 8, "learned-scalar": [20] * 8}
    return make_scores(accuracies, {**epochs, "dendritic": [20] * 8})


def test_every_control_is_named_the_learned_one_argument_first(scores):
    claims = [one for one in judge_claims(scores, {}) if "accurate" in one.claim]
    assert [one.numbers["control"] for one in claims] == ["learned-scalar", "relu", "maxout"]
    assert claims[0].claim.endswith("than one learned argument")
    assert set(NAMES) == set(ACTIVATIONS) - {DENDRITIC}


def test_a_difference_that_is_significant_alone_is_not_so_among_three(scores):
    verdicts = {
        one.numbers["control"]: (one.verdict, one.numbers["difference"])
        for one in judge_claims(scores, {})
        if "accurate" in one.claim
    }
    assert verdicts["relu"][0] == "confirmed"
    assert verdicts["learned-scalar"][0] == "undetermined"
    verdict, maxout = verdicts["maxout"]
    assert maxout["p"] < 0.05 < maxout["p_holm"] == pytest.approx(2 * maxout["p"])
    assert maxout["low"] > 0
    assert verdict == "undetermined"
    alone = make_scores(
        {name: scores["mlp"][name].accuracy for name in ("dendritic", "maxout")},
        {"dendritic": [20] * 8, "maxout": [30] * 8},
    )
    assert judge_claims(alone, {})[0].verdict == "confirmed"


def test_learning_is_faster_or_slower_with_the_session_in_which_the_function_is_found(scores):
    claims = {one.claim: one for one in judge_claims(scores, {}) if "epochs" in one.claim}
    last = claims["two-argument units learn in fewer epochs than ReLU, of the last session alone"]
    assert last.verdict == "confirmed"
    assert last.numbers["fewer"]["value"] == 25
    whole = claims["two-argument units learn in fewer epochs than ReLU, of all sessions"]
    assert whole.verdict == "refuted"
    assert (whole.numbers["dendritic"], whole.numbers["other"]) == (80, 45)
    # A learned argument has the same sessions.
    name = "two-argument units learn in fewer epochs than one learned argument, of all sessions"
    assert claims[name].verdict == "undetermined"


def test_rows_and_summaries_show_both_counts_of_epochs(scores):
    first = build_rows(scores)[-1]
    assert (first["activation"], first["epochs_to_threshold"]) == ("dendritic", 20)
    assert first["epochs_of_all_sessions"] == 80
    by_name = {one["activation"]: one for one in summarize(scores)}
    assert by_name["dendritic"]["dendritic_minus_it"] is None
    assert by_name["relu"]["fewer_epochs"]["value"] == 25
    assert by_name["relu"]["fewer_epochs_of_all_sessions"]["value"] == -35
    assert by_name["maxout"]["dendritic_minus_it"]["p_holm"] > 0.05
