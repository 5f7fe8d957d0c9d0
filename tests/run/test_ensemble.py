"""Several runs as one model."""

import pytest

from omnimouse_cli.errors import CheckpointError
from omnimouse_cli.run.ensemble import make_ensemble
from omnimouse_cli.run.load import load_run

OTHER = "20009-1-1"


@pytest.fixture
def write(small_mouse, write_run, tmp_path):
    """Return a function that writes and loads a run of the mouse's session under other names."""
    (info,) = small_mouse.sessions

    def make(name, keys, *, sets=(), neurons=info.num_neurons):
        def rename(tensors):
            for tensor, value in list(tensors.items()):
                if tensor.startswith(f"tables.{info.key}."):
                    del tensors[tensor]
                    for key in keys:
                        new = tensor.replace(info.key, key)
                        per_neuron = len(value) == info.num_neurons
                        tensors[new] = value[:neurons].clone() if per_neuron else value.clone()

        sessions = [{"session": key, "animal": info.animal, "neurons": neurons} for key in keys]
        return load_run(
            write_run(tmp_path / name, small_mouse, sets=sets, weights=rename, sessions=sessions)
        )

    return make


def test_an_ensemble_has_the_sessions_that_all_runs_know(write):
    first, second = write("a", ["1-1-1", OTHER]), write("b", [OTHER])
    ensemble = make_ensemble([first, second])
    assert [entry.session for entry in ensemble.sessions] == [OTHER]
    assert ensemble.folder == first.folder
    assert [run.folder.name for run in ensemble.runs] == ["a", "b"]


def test_runs_that_cannot_be_averaged_are_refused(write):
    first = write("a", [OTHER])
    others = {
        "an ensemble has several runs, and .*a is one": [],
        "no session is in all of .*a, .*b": [write("b", ["1-1-1"])],
        "differ in their number of neurons: 12 and 9": [write("c", [OTHER], neurons=9)],
        "differ in their scaling of video": [write("d", [OTHER], sets=("data.video_mean=100",))],
    }
    for message, more in others.items():
        with pytest.raises(CheckpointError, match=message) as error:
            make_ensemble([first, *more])
        assert error.value.hint
