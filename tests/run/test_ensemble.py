"""Several runs as one model."""

import pytest

from omnimouse_cli.errors import CheckpointError
from omnimouse_cli.run.ensemble import make_ensemble
from omnimouse_cli.run.load import load_run


def test_runs_that_cannot_be_averaged_are_refused(small_mouse, simulated_data, write_run, tmp_path):
    first = load_run(write_run(tmp_path / "first", small_mouse))
    other = load_run(write_run(tmp_path / "other", simulated_data))
    with pytest.raises(CheckpointError, match="an ensemble has several runs"):
        make_ensemble([first])
    facts = {"session": small_mouse.sessions[0].key, "animal": "20001", "neurons": 12}
    fewer = load_run(
        write_run(tmp_path / "fewer", small_mouse, behavior_channels=list(first.behavior_channels))
    )
    make_ensemble([first, fewer])
    if {one.key for one in simulated_data.sessions} & {facts["session"]}:
        with pytest.raises(CheckpointError, match="differ in their number of neurons: 12 and 20"):
            make_ensemble([first, other])
    else:
        with pytest.raises(CheckpointError, match="no session is in all of"):
            make_ensemble([first, other])


def test_an_ensemble_has_the_sessions_that_all_runs_know(simulated_data, write_run, tmp_path):
    both = load_run(write_run(tmp_path / "both", simulated_data))
    one = simulated_data.sessions[0]
    facts = [{"session": one.key, "animal": one.animal, "neurons": one.num_neurons}]

    def only_first(tensors):
        for name in list(tensors):
            if name.startswith(f"tables.{simulated_data.sessions[1].key}."):
                del tensors[name]

    single = load_run(
        write_run(tmp_path / "single", simulated_data, weights=only_first, sessions=facts)
    )
    ensemble = make_ensemble([both, single])
    assert [entry.session for entry in ensemble.sessions] == [one.key]
    assert ensemble.folder == both.folder
    assert [run.folder.name for run in ensemble.runs] == ["both", "single"]
