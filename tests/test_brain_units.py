"""The comparison of units in the transformer: differences by seed, and which arms are trained."""

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def comparison(monkeypatch):
    """Import the benchmark as it is imported when it is run."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("brain_units")


def test_units_are_compared_seed_by_seed(comparison):
    # Student's quantile of .975 with two degrees of freedom.
    quantile = 4.302652729749464
    scores = {
        ("product", "dendritic"): {1: (0.5, 9.0), 2: (0.6, 9.0), 3: (0.7, 9.0)},
        ("product", "learned"): {1: (0.4, 8.0), 2: (0.5, 8.0), 3: (0.6, 8.0)},
        # Of another recording there is one seed, and no dendritic run to compare it with.
        ("sum", "learned"): {1: (0.4, 8.0)},
    }
    ours, learned, alone = comparison.compare(scores)
    assert ours["mean"]["value"] == pytest.approx(0.6)
    assert ours["mean"]["high"] == pytest.approx(0.6 + quantile * 0.1 / 3**0.5)
    # The spread of seeds that both share is in neither difference.
    assert learned["dendritic_less_this"] == pytest.approx({"value": 0.1, "low": 0.1, "high": 0.1})
    assert (alone["mean"], alone["dendritic_less_this"]) == (None, None)


def test_only_the_arms_that_are_named_are_trained_and_perturbed(comparison, monkeypatch, tmp_path):
    def train(folder, recording, arm, *, seed, settings):
        return comparison.run_folder(folder, recording, arm, seed)

    scored = []
    monkeypatch.setattr(comparison, "train", train)
    monkeypatch.setattr(comparison, "prepare", lambda _folder, _settings, wanted: list(wanted))
    monkeypatch.setattr(comparison, "score", lambda run, perturb=(): scored.append((run, perturb)))
    comparison.measure(tmp_path, comparison.QUICK, ["product", "sum"], ["dendritic", "learned"])
    runs = [
        [
            f"{recording}-{arm}-{seed}"
            for arm in ("dendritic", "learned")
            for recording in recordings
        ]
        for recordings in (["product", "sum"], ["product"])
        for seed in (1, 2)
    ]
    assert [run.name for run, _ in scored] == [name for some in runs for name in some]
    assert [bool(perturb) for _, perturb in scored] == [False] * 8 + [True] * 4
