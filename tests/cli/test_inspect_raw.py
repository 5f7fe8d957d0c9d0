"""`omnimouse inspect` on raw recordings: what is in them, before anything is converted."""

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from omnimouse_cli.cli.app import _with_exit_codes
from omnimouse_cli.cli.inspect import command_inspect

app = typer.Typer()
app.command()(_with_exit_codes(command_inspect))


def run(*arguments):
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a recording of arrays, without tiers, in recordings/."""
    monkeypatch.chdir(tmp_path)
    session = tmp_path / "recordings" / "9-1-1"
    session.mkdir(parents=True)
    values = np.random.default_rng(3).gamma(1.0, 1.0, (6000, 3))
    np.save(session / "responses.npy", values.astype(np.float32))
    (session / "session.json").write_text(json.dumps({"session": "9-1-1", "rate_hz": 10.0}))
    times = np.arange(6050) / 10
    rows = "".join(f"{time:.3f},{time % 7:.3f}\n" for time in times)
    (session / "running.csv").write_text("seconds,speed_cm_s\n" + rows)
    return tmp_path / "recordings"


def test_json_has_the_facts_the_contents_and_the_notes(folder):
    result = run("recordings", "--json")
    assert result.exit_code == 0, result.stderr
    content = json.loads(result.stdout)
    assert content["format"] == "omnimouse-inspect"
    assert (content["failed"], content["skipped"]) == ([], [])
    (record,) = content["recordings"]
    assert (record["format"], record["session"], record["neurons"]) == ("arrays", "9-1-1", 3)
    assert record["sample_rate_hz"] == pytest.approx(10.0)
    assert record["minutes"] == pytest.approx(10.0)
    assert record["screen"] is None
    (running,) = record["behavior"]
    assert (running["channels"], running["units"]) == (["running"], ["cm/s"])
    # The pieces that tiers are cut into are no trials of the recording.
    assert record["trials"] == {"unknown": 1}
    assert record["split"] == "time"
    assert record["tiers"]["train"]["minutes"] == pytest.approx(6.9, abs=0.1)
    assert record["tiers"]["test"]["trials"] == 1
    assert {entry["path"] for entry in record["contents"]} >= {"responses.npy", "running.csv"}
    assert any(note.startswith("tiers: ") for note in record["notes"])


def test_the_tables_are_for_people_and_nothing_is_written(folder):
    before = sorted(folder.parent.rglob("*"))
    result = run(str(folder / "9-1-1"))
    assert result.exit_code == 0, result.stderr
    for text in ("9-1-1: arrays", "running (cm/s)", "contents", "responses.npy", "note: tiers: "):
        assert text in result.stdout
    assert "licence" in result.stdout
    assert sorted(folder.parent.rglob("*")) == before


def test_a_bad_recording_is_an_error_after_the_others_are_shown(folder):
    bad = folder / "bad"
    bad.mkdir()
    (bad / "responses.npy").write_bytes(b"\x93NUMPY")
    result = run("recordings")
    assert result.exit_code == 1
    assert "9-1-1: arrays" in result.stdout
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr


def test_one_session_is_selected_by_its_key(folder):
    assert run("recordings", "--session", "9-1-1").exit_code == 0
    result = run("recordings", "--session", "9-1-2")
    assert result.exit_code == 1
    assert "recordings has no session 9-1-2" in result.stderr
    assert "did you mean `9-1-1`?" in result.stderr


@pytest.mark.parametrize("option", [["--verify"], ["--plot", "figure.png"]])
def test_options_of_shards_do_not_apply_to_raw_recordings(folder, option):
    result = run("recordings", *option)
    assert result.exit_code == 1
    assert "are for shards" in result.stderr


def test_options_of_raw_files_do_not_apply_to_shards(folder):
    (folder.parent / "shards").mkdir()
    (folder.parent / "shards/catalogue.json").write_text("{}")
    result = run("shards", "--series", "F")
    assert result.exit_code == 1
    assert "shards is a folder of shards: options of raw files" in result.stderr


def test_a_folder_of_neither_says_what_was_looked_for(folder):
    (folder.parent / "empty").mkdir()
    result = run("empty")
    assert result.exit_code == 1
    assert "empty is no recording: looked for " in result.stderr


def test_names_are_shown_as_they_are_and_control_characters_by_their_code(folder):
    (folder / "9-1-1/behavior").mkdir()
    rows = "".join(f"{time / 10},1\n" for time in range(6000))
    (folder / "9-1-1/behavior/lick [red].csv").write_text("seconds,a\x1b[31m[/red]\n" + rows)
    result = run("recordings")
    assert result.exit_code == 0, result.stderr
    assert "lick [red].csv" in result.stdout
    assert "a\\x1b[31m[/red]" in result.stdout
    assert "\x1b" not in result.stdout + result.stderr


def test_trials_and_stimuli_are_counted_before_they_are_cut_for_tiers(folder):
    session = folder / "9-1-2"
    session.mkdir()
    np.save(session / "responses.npy", np.random.default_rng(0).gamma(1.0, 1.0, (2400, 3)))
    (session / "session.json").write_text(json.dumps({"rate_hz": 10.0}))
    np.save(session / "frames.npy", np.random.default_rng(0).integers(0, 256, (100, 4, 4), "u1"))
    shown = np.random.default_rng(1).permutation(np.repeat(np.arange(10), 4)).tolist()
    flips = [
        f"{6 * n + k * 0.6:.3f},{10 * clip + k}" for n, clip in enumerate(shown) for k in range(10)
    ]
    trials = [f"{6 * n},{6 * n + 6},clip{clip}" for n, clip in enumerate(shown)]
    (session / "flips.csv").write_text("\n".join(["seconds,frame", *flips]))
    (session / "trials.csv").write_text("\n".join(["start_seconds,end_seconds,stimulus", *trials]))
    (record,) = json.loads(run(str(session), "--json").stdout)["recordings"]
    assert record["split"] == "movie-time"
    assert (record["trials"], record["stimuli"]) == ({"video": 40}, 10)
    assert sum(tier["trials"] for tier in record["tiers"].values()) == 40
