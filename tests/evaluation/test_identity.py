"""Evaluations do not overwrite each other: what differs is in the name, or an error names it."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.evaluation.identity import (
    evaluation_name,
    require_same_evaluation,
    summarize_evaluation,
)
from omnimouse_cli.evaluation.records import EvalOptions, ScoredShards
from omnimouse_cli.files import write_document


def shards(fingerprint="abcdef0123456789", *, is_default=False):
    return ScoredShards(
        path="/shards",
        fingerprint=fingerprint,
        sessions={"1-1-1": "f"},
        other_data=(),
        is_default=is_default,
    )


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "test-all"),
        ({"device": "cuda", "batch_windows": 3}, "test-all"),
        ({"shards": shards(is_default=True)}, "test-all"),
        ({"tier": "oracle", "regime": "decode"}, "oracle-decode"),
        ({"regime": "predict,decode"}, "test-predict+decode"),
        ({"stimulus": False, "behavior": False}, "test-all-no-stimulus-no-behavior"),
        ({"perturb": ("noise", "blur")}, "test-all-perturbed-blur+noise"),
        ({"baselines": ()}, "test-all-no-baselines"),
        ({"baselines": ("ridge", "glm")}, "test-all-baselines-glm+ridge"),
        ({"stride_samples": 5}, "test-all-stride-5"),
        ({"draws": 2, "seed": 7}, "test-all-draws-2-seed-7"),
        ({"shards": shards()}, "test-all-shards-abcdef01"),
    ],
)
def test_the_name_has_what_differs_from_the_defaults(options, name):
    assert evaluation_name(EvalOptions(**options)) == name


def test_files_of_strategies_with_one_name_and_other_content_differ(tmp_path):
    names = set()
    for content in ("a = 1", "a = 2"):
        (tmp_path / "mine.toml").write_text(content)
        names.add(evaluation_name(EvalOptions(regime=str(tmp_path / "mine.toml"))))
    assert len(names) == 2
    assert all(name.startswith("test-mine-") for name in names)


def test_a_long_name_fits_a_file_system_and_stays_unique():
    many = tuple(f"baseline{number}" for number in range(40))
    names = [evaluation_name(EvalOptions(baselines=many, seed=seed)) for seed in (1, 2)]
    assert all(len(name.encode()) < 255 for name in names)
    assert names[0] != names[1]


@pytest.fixture
def run(tmp_path):
    model = SimpleNamespace(size="nano")
    config = SimpleNamespace(train=SimpleNamespace(precision="float32"), model=model)
    return SimpleNamespace(folder=tmp_path / "run", config=config, step=3)


def test_the_same_evaluation_is_replaced_and_another_is_refused(run, tmp_path):
    options = EvalOptions(regime="decode", seed=1, shards=shards())
    inside, outside = run.folder / "eval" / "mine", tmp_path / "out"
    for folder in (inside, outside):
        require_same_evaluation(folder, options, run)
        write_document(folder / "eval.json", "eval", summarize_evaluation(options, run))
        require_same_evaluation(folder, options, run)
        # Neither is another evaluation.
        faster = EvalOptions(regime="decode", seed=1, shards=shards(), device="cuda")
        require_same_evaluation(folder, faster, run)
        other = EvalOptions(regime="decode", seed=2, stride_samples=5, shards=shards("0123"))
        with pytest.raises(OmniMouseError) as caught:
            require_same_evaluation(folder, other, run)
        for difference in ("seed (1, now 2)", "stride_samples (30, now 5)", "fingerprint of the"):
            assert difference in caught.value.message
    renamed = SimpleNamespace(folder=Path("renamed"), config=run.config, step=3)
    with pytest.raises(OmniMouseError, match=r"differs in run"):
        require_same_evaluation(outside, options, renamed)
    inside.parent.parent.rename(tmp_path / "other")
    renamed.folder = tmp_path / "other"
    require_same_evaluation(renamed.folder / "eval" / "mine", options, renamed)


def test_a_damaged_evaluation_may_be_replaced(run, tmp_path):
    (tmp_path / "eval.json").write_text("{")
    require_same_evaluation(tmp_path, EvalOptions(), run)
