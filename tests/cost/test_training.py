"""The estimate of a training: what it averages over, and what each rank keeps."""

from dataclasses import replace

import pytest

from omnimouse_cli.batch.dataset import SessionInfo
from omnimouse_cli.batch.strategies import FAMILY_STRATEGIES
from omnimouse_cli.config.sizes import default_run_config
from omnimouse_cli.cost.flops import count_flops
from omnimouse_cli.cost.parameters import count_sessions
from omnimouse_cli.cost.training import estimate_training, window_flops


def session(key, *, num_neurons=100, channels=(), frame_shape=None):
    return SessionInfo(
        key=key,
        animal="1",
        num_neurons=num_neurons,
        response_kind="rate",
        channels=channels,
        frame_shape=frame_shape,
        fingerprint="",
        shard=None,
    )


DARK = session("1-1-1")
FULL = session("1-1-2", num_neurons=40, channels=("running",), frame_shape=(36, 64))
CONFIG = default_run_config("nano")
DECODE = next(item for item in FAMILY_STRATEGIES if item.targets is None)
FORECAST = next(item for item in FAMILY_STRATEGIES if item.name == "forecast")


def test_windows_are_averaged_over_the_strategies_that_apply_to_their_session():
    whole, shortcuts = window_flops(CONFIG, [DARK, FULL], [DECODE])
    assert (whole, shortcuts) == window_flops(CONFIG, [FULL], [DECODE])
    pairs = [window_flops(CONFIG, [one], [FORECAST]) for one in (DARK, FULL)]
    mean = window_flops(CONFIG, [DARK, FULL], [FORECAST])
    assert mean == pytest.approx([sum(values) / 2 for values in zip(*pairs, strict=True)])
    assert mean[0] > mean[1] > 0


def test_the_estimate_is_that_of_the_rank_with_the_most_session_embeddings():
    one = estimate_training(CONFIG, [DARK, FULL], [FORECAST], owned=[[0, 1]], device="cpu")
    two = estimate_training(CONFIG, [DARK, FULL], [FORECAST], owned=[[0], [1]], device="cpu")
    saved = one["memory_bytes"]["parameters"] - two["memory_bytes"]["parameters"]
    assert saved == 4 * count_sessions(CONFIG.model, [40], num_channels=1)
    assert [part["sessions"] for part in two["ranks"]] == [["1-1-1"], ["1-1-2"]]
    assert (one["flops_per_window"], one["shortcuts_first_flops_per_window"]) == window_flops(
        CONFIG, [DARK, FULL], [FORECAST]
    )


def test_bfloat16_and_compilation_lower_the_activations():
    sizes = [
        estimate_training(
            replace(CONFIG, train=replace(CONFIG.train, precision=precision, compile=is_compiled)),
            [],
            FAMILY_STRATEGIES,
            owned=[[]],
            device="cuda",
        )["memory_bytes"]["activations"]
        for precision, is_compiled in (("float32", False), (None, False), (None, None))
    ]
    # The residual stream and the shortcuts stay in float32.
    assert sizes[0] / 2 < sizes[1] < 0.75 * sizes[0]
    assert sizes[2] < 0.9 * sizes[1]


def test_populations_that_are_alike_are_counted_once(monkeypatch):
    counted = []

    def count(config, task, **sizes):
        counted.append(task)
        return count_flops(config, task, **sizes)

    monkeypatch.setattr("omnimouse_cli.cost.training.count_flops", count)
    many = [session(f"1-1-{number}", num_neurons=5000 + number) for number in range(300)]
    small = [session(f"2-1-{number}") for number in range(100)]
    mean = window_flops(CONFIG, [*many, *small], [FORECAST]).whole_model
    assert len(counted) == 2
    parts = [window_flops(CONFIG, group, [FORECAST]).whole_model for group in (many, small)]
    assert mean == pytest.approx((3 * parts[0] + parts[1]) / 4)
    each = [window_flops(CONFIG, [one], [FORECAST]).whole_model for one in many[::50]]
    assert parts[0] == pytest.approx(sum(each) / len(each), rel=1e-3)
