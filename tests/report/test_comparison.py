"""Paired differences: known answers, what cannot be paired and why, and damaged files."""

import json

import numpy as np
import pytest

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import write_document
from omnimouse_cli.report.comparison import compare_runs

NUM_BLOCKS = 60
SHARDS = {"path": "other shards", "is_default": False}


@pytest.fixture
def number_of(kept_evaluations):
    return kept_evaluations.number_of


@pytest.fixture
def write_evaluation(kept_evaluations, tmp_path):
    def write(run, *arguments, **options):
        return kept_evaluations.write_evaluation(tmp_path / run, *arguments, **options)

    return write


def test_the_difference_is_paired_so_that_what_both_runs_share_has_no_part(
    write_evaluation, number_of
):
    rng = np.random.default_rng(0)
    shared, own = rng.normal(size=NUM_BLOCKS) * 10, rng.normal(size=NUM_BLOCKS) * 0.1
    runs = [
        write_evaluation("first", [number_of(shared)]),
        write_evaluation("second", [number_of(shared + 1 + own)]),
    ]
    session, overall = compare_runs(runs).differences
    assert (session.session, overall.session) == ("1", "overall")
    assert overall.value == pytest.approx(1 + own.mean(), abs=1e-6)
    assert overall.low < 1 < overall.high
    # The spread of the shared part alone would be about 2.6.
    assert overall.high - overall.low < 0.2
    assert overall.interval_over == "windows"
    assert overall.values == (session.values[0], session.values[1])
    alone = number_of(1 + own)
    assert (overall.low, overall.high) == pytest.approx(
        (alone.record.low, alone.record.high), abs=1e-5
    )


def test_a_run_and_its_copy_do_not_differ(write_evaluation, number_of):
    series = np.random.default_rng(0).normal(size=NUM_BLOCKS)
    runs = [write_evaluation(name, [number_of(series)]) for name in ("first", "second")]
    comparison = compare_runs(runs)
    assert [(one.value, one.low, one.high) for one in comparison.differences] == [(0, 0, 0)] * 2
    assert comparison.configuration == {}
    assert comparison.unpaired == ()


def test_three_animals_have_an_interval_over_animals_and_weigh_by_their_neurons(
    write_evaluation, number_of
):
    rng = np.random.default_rng(0)
    gains = {"1": 0.0, "2": 10.0, "3": 20.0}
    base = {session: rng.normal(size=NUM_BLOCKS) for session in gains}
    neurons = {"1": 10, "2": 10, "3": 20}

    def numbers(factor):
        return [
            number_of(
                base[session] + factor * gain, session=session, animal=session,
                neurons=neurons[session],
            )
            for session, gain in gains.items()
        ]  # fmt: skip

    runs = [write_evaluation("first", numbers(0)), write_evaluation("second", numbers(1))]
    overall = compare_runs(runs).differences[-1]
    assert overall.value == pytest.approx((10 * 0 + 10 * 10 + 20 * 20) / 40)
    assert overall.interval_over == "windows, sessions, animals"
    assert overall.high - overall.low > 20
    assert overall.sessions == 3


def test_scores_on_other_windows_are_not_compared_and_the_command_is_named(
    write_evaluation, number_of
):
    series = np.zeros(NUM_BLOCKS)
    first = write_evaluation(
        "first", [number_of(series)], stride_samples=10, shards=SHARDS, baselines=["ridge", "psth"]
    )
    second = write_evaluation("second", [number_of(series, scored="b")])
    comparison = compare_runs([first, second])
    assert comparison.differences == ()
    (one,) = comparison.unpaired
    assert (one.strategy, one.sessions) == ("forecast", ("1",))
    assert "windows" in one.reason
    expected = f"omnimouse eval {second} --regime forecast --tier test --stride 10"
    assert one.command == f"{expected} --baselines ridge,psth --shards 'other shards'"


def test_an_older_evaluation_on_equal_windows_is_found_behind_a_newer_one(
    write_evaluation, number_of
):
    series = np.ones(NUM_BLOCKS)
    first = write_evaluation("first", [number_of(series)])
    second = write_evaluation("second", [number_of(2 * series)], name="older")
    write_evaluation("second", [number_of(3 * series, scored="b")], name="newer")
    assert compare_runs([first, second]).differences[-1].value == pytest.approx(1.0)


def test_a_run_without_an_evaluation_and_one_without_resamples_are_named(
    write_evaluation, number_of
):
    series = np.ones(NUM_BLOCKS)
    first = write_evaluation("first", [number_of(series)])
    second = write_evaluation("second", [])
    (missing,) = compare_runs([first, second]).unpaired
    assert (missing.run, missing.minus, missing.reason) == (1, 0, "it has no evaluation of it")
    (other,) = compare_runs([second, first]).unpaired
    assert (other.run, other.minus) == (0, 1)
    write_evaluation("second", [number_of(series)])
    (second / "eval" / "test-forecast" / "resamples.npz").unlink()
    (old,) = compare_runs([first, second]).unpaired
    assert "earlier version" in old.reason


def test_losses_of_different_kinds_are_not_compared(write_evaluation, number_of):
    series = np.ones(NUM_BLOCKS)
    numbers = [number_of(series, metric="loss"), number_of(series, metric="feve")]
    sets = ("model.response_loss=gaussian",)
    runs = [write_evaluation("first", numbers), write_evaluation("second", numbers, sets=sets)]
    comparison = compare_runs(runs)
    assert {one.metric for one in comparison.differences} == {"feve"}
    assert comparison.configuration == {"model.response_loss": (None, "gaussian")}


def test_damaged_files_are_named(write_evaluation, number_of):
    runs = [write_evaluation(name, [number_of(np.ones(NUM_BLOCKS))]) for name in ("a", "b")]
    resamples = runs[1] / "eval" / "test-forecast" / "resamples.npz"
    whole = resamples.read_bytes()
    for damaged in (b"", whole[:-20], whole[:200] + bytes(50) + whole[250:]):
        resamples.write_bytes(damaged)
        with pytest.raises(OmniMouseError, match=r"resamples\.npz is damaged"):
            compare_runs(runs)
    np.savez(resamples, index=json.dumps([]), values=np.ones(3, np.float32))
    with pytest.raises(OmniMouseError, match="index does not fit"):
        compare_runs(runs)
    resamples.write_bytes(whole)
    document = runs[1] / "eval" / "test-forecast" / "eval.json"
    write_document(document, "eval", {"options": {}, "records": [{"predictor": "model"}]})
    with pytest.raises(OmniMouseError, match="a record lacks or misstates"):
        compare_runs(runs)


def test_a_run_is_not_compared_with_itself(write_evaluation):
    run = write_evaluation("first", [])
    with pytest.raises(OmniMouseError, match="two different runs"):
        compare_runs([run, run])
