"""The estimate of a training: what it averages over, and what each rank keeps."""

from dataclasses import replace

import pytest

from omnimouse_cli.batch.dataset import SessionInfo
from omnimouse_cli.batch.strategies import FAMILY_STRATEGIES
from omnimouse_cli.config.sizes import default_run_config
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
    assert saved == 4 * count_sessions(CONFIG.model, [40])
    assert [part["sessions"] for part in two["ranks"]] == [["1-1-1"], ["1-1-2"]]
    assert (one["flops_per_window"], one["shortcuts_first_flops_per_window"]) == window_flops(
        CONFIG, [DARK, FULL], [FORECAST]
    )


def test_bfloat16_halves_the_activations():
    activations = [
        estimate_training(config, [], FAMILY_STRATEGIES, owned=[[]], device=device)["memory_bytes"][
            "activations"
        ]
        for config, device in (
            (CONFIG, "cpu"),
            (CONFIG, "cuda"),
            (replace(CONFIG, train=replace(CONFIG.train, precision="float32")), "cuda"),
        )
    ]
    assert activations[0] == 2 * activations[1] == activations[2]
