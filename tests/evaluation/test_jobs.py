"""Sessions that are evaluated at once: when, with how many threads, and with equal numbers."""

import threading
import time
from dataclasses import replace

import pytest
import torch

from omnimouse_cli.config.sizes import SIZES, default_run_config
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.evaluation import evaluate as evaluate_module
from omnimouse_cli.evaluation.evaluate import evaluate
from omnimouse_cli.evaluation.jobs import map_sessions, sessions_at_once
from omnimouse_cli.evaluation.records import EvalOptions
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.load import load_run, open_run_data

OPTIONS = EvalOptions(regime="predict,population", baselines=(), draws=2)


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def run(simulated_run):
    return load_run(simulated_run)


def test_sessions_of_a_small_model_share_the_cores_of_a_cpu(run):
    assert sessions_at_once(run, OPTIONS, 3) == 2
    assert sessions_at_once(run, OPTIONS, 1) == 1
    torch.set_num_threads(12)
    assert sessions_at_once(run, OPTIONS, 30) == 4
    assert sessions_at_once(run, replace(OPTIONS, device="cuda"), 30) == 1
    assert sessions_at_once(run, replace(OPTIONS, baselines=("fast",)), 30) == 1
    wide = replace(run, config=replace(run.config, model=SIZES["1M"]))
    assert sessions_at_once(wide, OPTIONS, 30) == 1
    twin = replace(run, config=default_run_config("cnn-twin"))
    assert sessions_at_once(twin, OPTIONS, 30) == 4


def test_each_session_has_its_share_of_the_threads_and_all_are_given_back():
    torch.set_num_threads(5)
    assert dict(map_sessions(lambda *_: torch.get_num_threads(), "abc", 2)) == dict.fromkeys(
        "abc", 2
    )
    assert torch.get_num_threads() == 5
    assert dict(map_sessions(lambda *_: torch.get_num_threads(), "abc", 1)) == dict.fromkeys(
        "abc", 5
    )


@pytest.mark.slow
def test_sessions_at_once_give_the_numbers_of_one_after_the_other(run, monkeypatch):
    data = open_run_data(run, None)
    together = threading.Barrier(2, timeout=60)
    predict = evaluate_module.predict_draws

    def meet(*args):
        together.wait()
        return predict(*args)

    with monkeypatch.context() as patched:
        patched.setattr(evaluate_module, "predict_draws", meet)
        at_once = evaluate(run, data, OPTIONS, Silent())
    torch.set_num_threads(1)
    single = evaluate(run, data, OPTIONS, Silent())
    assert at_once.unavailable == single.unavailable
    assert at_once.rows == single.rows
    assert list(at_once.neurons) == list(single.neurons)
    for one, other in zip(at_once.records, single.records, strict=True):
        assert replace(one, value=None, low=None, high=None, draws_sd=None) == replace(
            other, value=None, low=None, high=None, draws_sd=None
        )
        assert one.value == pytest.approx(other.value, rel=1e-5, abs=1e-6)


@pytest.mark.slow
def test_an_error_in_one_session_ends_the_other(run, monkeypatch):
    data = open_run_data(run, None)
    failing, predict = data.sessions[0].key, evaluate_module.predict_draws
    deadline = time.monotonic() + 60

    def fail_in_one(run, draws, options):
        if draws[0][0].reader.session.key == failing:
            raise OmniMouseError("a session that fails")
        piece = next(predict(run, draws, options))
        # The other session goes on until it is told.
        while time.monotonic() < deadline:
            yield piece

    monkeypatch.setattr(evaluate_module, "predict_draws", fail_in_one)
    with pytest.raises(OmniMouseError, match="a session that fails"):
        evaluate(run, data, OPTIONS, Silent())
    assert time.monotonic() < deadline
    assert not [one for one in threading.enumerate() if one.name.startswith("omnimouse-job")]
