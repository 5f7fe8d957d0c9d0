"""Simulations depend on their seed only, appear complete, and never replace other files."""

import hashlib
from dataclasses import replace

import pytest

from omnimouse_cli.errors import ConfigError, RecordingError
from omnimouse_cli.recording.find import find_recordings
from omnimouse_cli.recording.simulated import simulation
from omnimouse_cli.recording.simulated.settings import SimulationConfig
from omnimouse_cli.recording.simulated.simulation import simulate
from omnimouse_cli.reporter import Silent

pytestmark = pytest.mark.slow


def digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.fixture
def tiny():
    return SimulationConfig(sessions=1, animals=1, neurons=3, minutes=1, seed=8)


def test_equal_seeds_give_equal_bytes_and_other_seeds_other_bytes(tmp_path, tiny):
    first = simulate(tmp_path / "a", tiny, reporter=Silent())[0].path
    second = simulate(tmp_path / "b", tiny, reporter=Silent())[0].path
    other = simulate(tmp_path / "c", replace(tiny, seed=9), reporter=Silent())[0].path
    assert digest(first) == digest(second)
    assert digest(first)["responses/data.mem"] != digest(other)["responses/data.mem"]


def test_more_sessions_do_not_change_the_first_ones_and_see_the_same_test_clips(tmp_path, tiny):
    first = simulate(tmp_path, tiny, reporter=Silent())[0].path
    before = digest(first)
    both = simulate(tmp_path, replace(tiny, sessions=2), reporter=Silent())
    assert [each.session for each in both] == ["28001-1-1", "28001-2-1"]
    assert digest(first) == before
    after = digest(both[1].path)
    assert after["responses/data.mem"] != before["responses/data.mem"]
    clips = [
        {each for name, each in files.items() if name.startswith("screen/data")}
        for files in (before, after)
    ]
    # One test, one validation and one oracle clip are common to all sessions.
    assert len(clips[0] & clips[1]) == 3


def test_what_is_complete_is_kept_and_force_makes_it_again(tmp_path, tiny):
    path = simulate(tmp_path, tiny, reporter=Silent())[0].path
    inode = path.stat().st_ino
    simulate(tmp_path, tiny, reporter=Silent())
    assert path.stat().st_ino == inode
    content = digest(path)
    simulate(tmp_path, tiny, force=True, reporter=Silent())
    assert path.stat().st_ino != inode
    assert digest(path) == content
    assert [child.name for child in tmp_path.iterdir()] == ["28001-1-1"]


def test_mice_of_two_seeds_stand_side_by_side(tmp_path, tiny):
    made = [simulate(tmp_path, replace(tiny, seed=seed), reporter=Silent())[0] for seed in (8, 9)]
    assert [(one.session, one.animal) for one in made] == [
        ("28001-1-1", "28001"),
        ("29001-1-1", "29001"),
    ]
    assert len(find_recordings([tmp_path]).recordings) == 2


def test_another_simulation_in_the_same_place_is_refused_without_force(tmp_path, tiny):
    path = simulate(tmp_path, tiny, reporter=Silent())[0].path
    content = digest(path)
    with pytest.raises(RecordingError, match="another simulation") as caught:
        simulate(tmp_path, replace(tiny, neurons=4), reporter=Silent())
    assert "--force" in caught.value.hint
    assert digest(path) == content
    again = simulate(tmp_path, replace(tiny, neurons=4), force=True, reporter=Silent())
    assert again[0].neurons == 4


def test_what_is_no_simulation_is_never_replaced(tmp_path, tiny):
    precious = tmp_path / "28001-1-1" / "responses"
    precious.mkdir(parents=True)
    (precious / "data.mem").write_text("years of work")
    for force in (False, True):
        with pytest.raises(RecordingError, match="no simulated recording"):
            simulate(tmp_path, tiny, force=force, reporter=Silent())
    assert (precious / "data.mem").read_text() == "years of work"


def test_an_interrupted_session_is_never_found_and_is_made_by_the_next_run(
    tmp_path, tiny, monkeypatch
):
    write_session = simulation.write_session

    def killed(folder, config, number, reporter):
        write_session(folder, config, number, reporter)
        # What a SIGKILL leaves: everything written so far, nothing tidied up.
        assert find_recordings([folder]).recordings == (folder,)
        with pytest.raises(RecordingError):
            find_recordings([tmp_path])
        raise KeyboardInterrupt

    monkeypatch.setattr(simulation, "write_session", killed)
    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path, tiny, reporter=Silent())
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".partial" / "28001-1-1" / "responses").mkdir(parents=True)
    monkeypatch.setattr(simulation, "write_session", write_session)
    simulate(tmp_path, tiny, reporter=Silent())
    assert [child.name for child in tmp_path.iterdir()] == ["28001-1-1"]


def test_a_file_in_place_of_the_folder_is_named(tmp_path, tiny):
    (tmp_path / "out").write_text("")
    with pytest.raises(RecordingError, match="is a file"):
        simulate(tmp_path / "out", tiny, reporter=Silent())


def test_no_two_seeds_share_an_animal_and_the_default_seed_begins_at_20001():
    settings = [
        SimulationConfig(sessions=count, animals=animals, seed=seed)
        for seed in (0, 1, 2, 7, 10**12)
        for count, animals in ((1, 1), (2, 2), (5, 3), (1000, 1000))
    ]
    owners = {}
    for config in settings:
        keys = [config.session_key(number) for number in range(config.sessions)]
        assert len(set(keys)) == len(keys)
        for number, key in enumerate(keys):
            assert key.split("-")[0] == str(config.animal(number))
            assert owners.setdefault(config.animal(number), config.seed) == config.seed
    assert settings[0].session_key(0) == "20001-1-1"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"neurons": 0}, "`neurons`"),
        ({"sessions": 0}, "`sessions`"),
        ({"animals": 3}, "`animals`"),
        ({"animals": 1001, "sessions": 1001}, "`animals` must not exceed 1000"),
        ({"minutes": 0.5}, "`minutes`"),
        ({"minutes": float("nan")}, "`minutes`"),
        ({"seed": -1}, "`seed`"),
    ],
)
def test_settings_that_cannot_work_are_named(settings, named):
    with pytest.raises(ConfigError, match=named):
        SimulationConfig(**settings)
