"""Draws of context neurons share what the model computes from the stimulus, and no more."""

from dataclasses import replace

import numpy as np
import pytest

from omnimouse_cli.evaluation import session_reader
from omnimouse_cli.evaluation.draws import draw_targets
from omnimouse_cli.evaluation.forward import predict_draws, predict_model
from omnimouse_cli.evaluation.records import EvalOptions
from omnimouse_cli.evaluation.session_reader import SessionReader
from omnimouse_cli.run.load import load_run


@pytest.mark.parametrize("name", ["population-10", "population-10+stimulus"])
def test_draws_together_are_predicted_as_alone(
    simulated_data, targets_of, write_run, tmp_path, monkeypatch, *, name
):
    # A model that starts from linear models predicts constants until it is trained.
    sets = ("model.decoder.linear_rank=none",)
    run = load_run(write_run(tmp_path / "run", simulated_data, sets=sets))
    options = EvalOptions(draws=2, batch_windows=2)
    one = targets_of(simulated_data, name, stride=600)
    draws = list(draw_targets(one.strategy, one.reader, one.windows, options))
    encoded, energies = [], []
    handle = run.model.video.register_forward_hook(lambda *_: encoded.append(1))
    stimulus = run.model.linear_paths.stimulus
    drive = stimulus.drive
    monkeypatch.setattr(stimulus, "drive", lambda *a: energies.append(1) or drive(*a))
    together = list(predict_draws(run, draws, options))
    slices = -(-len(one.windows) // 2)
    assert len(encoded) == len(energies) == (slices if "stimulus" in name else 0)
    handle.remove()
    monkeypatch.setattr(SessionReader, "kept_batch", lambda *_: None)
    for number, targets in enumerate(draws):
        alone = [pieces[0] for pieces in predict_model(run, targets, options)]
        found = [pieces[0] for draw, pieces in together if draw == number]
        assert len(alone) == len(found) == slices
        for first, second in zip(alone, found, strict=True):
            assert first.windows == second.windows
            np.testing.assert_array_equal(first.values, second.values)
    values = [pieces[0].values for _, pieces in together[:2]]
    assert not np.array_equal(*values)


@pytest.mark.parametrize("room", [0, 1 << 30])
def test_strategies_of_the_same_windows_share_what_the_stimulus_gives(
    simulated_data, targets_of, write_run, tmp_path, monkeypatch, *, room
):
    monkeypatch.setattr(session_reader, "MAX_KEPT_BYTES", room)
    run = load_run(write_run(tmp_path / "run", simulated_data))
    options = EvalOptions(draws=1, batch_windows=2)
    first = targets_of(simulated_data, "forecast+stimulus", stride=600)
    second = targets_of(simulated_data, "population-10+stimulus", stride=600)
    second = replace(second, reader=first.reader)
    encoded = []
    run.model.video.register_forward_hook(lambda *_: encoded.append(1))
    slices = -(-len(first.windows) // 2)
    list(predict_draws(run, [(first,)], options))
    shared = [pieces[0].values for _, pieces in predict_draws(run, [(second,)], options)]
    assert len(encoded) == (slices if room else 2 * slices)
    monkeypatch.setattr(SessionReader, "kept_batch", lambda *_: None)
    alone = [pieces[0].values for _, pieces in predict_draws(run, [(second,)], options)]
    np.testing.assert_array_equal(np.concatenate(shared), np.concatenate(alone))
