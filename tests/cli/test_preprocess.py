"""`omnimouse preprocess` on session folders: what it prints, and how it ends."""

import json
import shutil

import numpy as np
import pytest
import typer
import yaml
from typer.testing import CliRunner

from omnimouse_cli.cli.app import _with_exit_codes
from omnimouse_cli.cli.preprocess import command_preprocess

ORIGIN = 1_600_000_000.0
app = typer.Typer()
app.command()(_with_exit_codes(command_preprocess))


def write_meta(folder, **fields):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "meta.yml").write_text(yaml.safe_dump(fields))


def write_device(folder, values, *, start, rate):
    write_meta(
        folder,
        modality="sequence",
        start_time=start,
        end_time=start + len(values) / rate,
        sampling_rate=rate,
        n_signals=values.shape[1],
        n_timestamps=len(values),
        dtype="float32",
        is_mem_mapped=True,
        phase_shift_per_signal=False,
    )
    values.astype(np.float32).tofile(folder / "data.mem")


def write_session(folder, *, seconds=24, seed=0):
    """Two trials of a train and a test video with a blank between them."""
    rng = np.random.default_rng(seed)
    write_device(
        folder / "responses", rng.gamma(1.0, 1.0, (seconds * 30, 5)), start=ORIGIN, rate=30.0
    )
    write_device(folder / "treadmill", rng.normal(size=(seconds * 50, 1)), start=ORIGIN, rate=50.0)
    screen = folder / "screen"
    write_meta(screen, modality="screen")
    trials, flips = {}, []
    for number, (tier, first, last) in enumerate(
        [("train", 0, 14), (None, 14, 16), ("test", 16, 24)]
    ):
        times = np.arange(first * 30, last * 30) / 30 if tier else np.array([float(first)])
        trial = {"first_frame_idx": len(flips), "image_size": [36, 64]}
        if tier:
            trial |= {"modality": "video", "tier": tier, "num_frames": len(times)}
            frames = rng.integers(0, 256, (len(times), 36, 64), dtype=np.uint8)
            (screen / "data").mkdir(exist_ok=True)
            np.save(screen / "data" / f"{number:05d}.npy", frames)
        else:
            trial |= {"modality": "blank", "interleave_value": 128}
        trials[f"{number:05d}"] = trial
        (screen / "meta").mkdir(exist_ok=True)
        (screen / "meta" / f"{number:05d}.yml").write_text(yaml.safe_dump(trial))
        flips.extend(ORIGIN + times)
    np.save(screen / "timestamps.npy", np.array(flips))
    (screen / "combined_meta.json").write_text(json.dumps(trials))
    return folder


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    """A working folder with two sessions in recordings/."""
    monkeypatch.chdir(tmp_path)
    write_session(tmp_path / "recordings" / "7-1-1", seed=1)
    write_session(tmp_path / "recordings" / "8-1-1", seed=2)
    return tmp_path / "recordings"


def run(*arguments):
    return CliRunner().invoke(app, list(arguments))


def test_without_arguments_recordings_become_shards(recordings):
    result = run()
    assert result.exit_code == 0, result.stderr
    assert "taking recordings/ (default)" in result.stderr
    assert "writing to shards/ (default)" in result.stderr
    assert result.stderr.endswith("next: omnimouse train shards\n")
    for text in ("7-1-1", "8-1-1", "3,600", "train 0.23, test 0.13", "margins", "2 written"):
        assert text in result.stdout
    assert sorted(path.name for path in (recordings.parent / "shards").iterdir()) == [
        "7-1-1.safetensors",
        "8-1-1.safetensors",
        "catalogue.json",
    ]
    assert "0 written, 2 up to date" in run().stdout


def test_json_is_one_document_and_nothing_else(recordings):
    result = run("recordings", "--out", "elsewhere", "--json", "--quiet", "--dtype", "bfloat16")
    content = json.loads(result.stdout)
    assert result.stderr == ""
    assert content["format"] == "omnimouse-preprocess"
    assert [s["session"] for s in content["sessions"]] == ["7-1-1", "8-1-1"]
    first = content["sessions"][0]
    assert (first["state"], first["dtype"], first["tokens"]) == ("written", "BF16", 3600)
    assert first["tiers"] == pytest.approx({"train": 14 / 60, "test": 8 / 60})
    assert first["modalities"] == ["responses", "screen", "treadmill"]
    assert content["totals"]["tokens"] == 7200
    assert content["failed"] == []


def test_tasks_of_an_array_job_convert_shares_into_one_folder(recordings):
    shards = recordings.parent / "shards"
    for task, sessions in (("2/2", {"8-1-1"}), ("1/2", {"7-1-1"}), ("3/3", set())):
        result = run("--task", task, "--json")
        assert result.exit_code == 0, result.stderr
        assert {row["session"] for row in json.loads(result.stdout)["sessions"]} == sessions
    catalogue = json.loads((shards / "catalogue.json").read_text())
    assert [entry["session"] for entry in catalogue["sessions"]] == ["7-1-1", "8-1-1"]
    assert "--task 3/2: tasks are numbered" in run("--task", "3/2").stderr


def test_a_bad_recording_is_an_error_after_the_others_are_done(recordings):
    data = recordings / "7-1-1" / "responses" / "data.mem"
    data.write_bytes(data.read_bytes()[:-40])
    result = run("--json")
    assert result.exit_code == 1
    content = json.loads(result.stdout)
    assert [s["session"] for s in content["sessions"]] == ["8-1-1"]
    assert content["failed"][0]["recording"] == "7-1-1"
    assert "error: " in result.stderr
    assert str(data.relative_to(recordings.parent)) in result.stderr
    assert "Traceback" not in result.stderr


def test_two_bad_recordings_are_both_named(recordings):
    for name in ("7-1-1", "8-1-1"):
        values = np.fromfile(recordings / name / "responses" / "data.mem", dtype=np.float32)
        values[1000] = np.nan
        values.tofile(recordings / name / "responses" / "data.mem")
    result = run()
    assert result.exit_code == 1
    assert "2 of 2 recordings cannot be used" in result.stderr
    assert "7-1-1: responses must be finite" in result.stderr
    assert "8-1-1: responses must be finite" in result.stderr
    assert run("--allow-gaps").exit_code == 0


def test_each_bad_recording_has_its_hint(recordings):
    (recordings / "a.nwb").write_bytes(b"version https://git-lfs")
    (recordings / "b.zip").write_bytes(b"PK")
    result = run("recordings")
    assert result.exit_code == 1
    assert "2 of 4 recordings cannot be used" in result.stderr
    assert "\n    hint: this is a placeholder of git" in result.stderr
    assert "\n    hint: download or copy it again" in result.stderr
    assert len(list((recordings.parent / "shards").glob("*.safetensors"))) == 2


def test_two_sessions_with_one_key_are_refused(recordings):
    meta = json.dumps({"data_key": "7-1-1"})
    for name in ("7-1-1", "8-1-1"):
        (recordings / name / "meta.json").write_text(meta)
    result = run()
    assert result.exit_code == 1
    assert "have the same session key: 7-1-1" in result.stderr
    assert not (recordings.parent / "shards").exists()


def test_a_key_names_a_single_recording_and_is_recorded(recordings):
    run("recordings/7-1-1")
    result = run("recordings/7-1-1", "--key", "17-1-1", "--json")
    assert result.exit_code == 0, result.stderr
    (session,) = json.loads(result.stdout)["sessions"]
    assert (session["session"], session["animal"]) == ("17-1-1", "17")
    assert "session: the key 17-1-1 was given with --key; animal 17" in session["notes"]
    assert "7-1-1.safetensors holds the recording of session 17-1-1" in result.stderr
    assert run("recordings/7-1-1", "--key", "17-1-1", "--json").stdout.count('"kept"') == 1
    several = run("recordings", "--key", "17-1-1")
    assert several.exit_code == 1
    assert "error: --key is the key of one session, and recordings holds 2" in several.stderr
    wrong = run("recordings/7-1-1", "--key", "../7")
    assert wrong.exit_code == 2
    assert "must be usable as a file name" in " ".join(wrong.stderr.replace("│", " ").split())


def test_another_recording_does_not_replace_a_shard_of_the_same_key(recordings):
    run("recordings/7-1-1")
    shard = recordings.parent / "shards" / "7-1-1.safetensors"
    before = shard.read_bytes()
    write_session(recordings.parent / "other" / "7-1-1", seed=5)
    result = run("other")
    assert result.exit_code == 1
    assert "and other/7-1-1 has the same session key: 7-1-1" in result.stderr
    assert "another key with --key KEY" in result.stderr
    assert shard.read_bytes() == before
    assert run("other", "--key", "7-1-2").exit_code == 0
    assert run("other", "--force").exit_code == 0
    assert shard.read_bytes() != before
    # The same recording at another place, as after a move.
    shutil.move(recordings / "7-1-1", recordings.parent / "moved")
    assert run("moved", "--key", "9-1-1").exit_code == 0
    shutil.move(recordings.parent / "moved", recordings / "new")
    (recordings / "new" / "extra").write_text("")
    assert run("recordings/new", "--key", "9-1-1").exit_code == 0


def test_nothing_to_preprocess_is_an_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run().exit_code == 1
    (tmp_path / "empty").mkdir()
    for place in ("nowhere", "empty"):
        result = run(place)
        assert result.exit_code == 1
        assert result.stderr.startswith(f"error: {place} ")
        assert "\n\nhint: " in result.stderr


def test_an_unknown_dtype_is_wrong_usage(recordings):
    assert run("--dtype", "float8").exit_code == 2


def test_the_kind_of_the_responses_can_be_said(recordings):
    run("--response-kind", "unknown")
    content = json.loads((recordings.parent / "shards" / "catalogue.json").read_text())
    assert {s["response_kind"] for s in content["sessions"]} == {"unknown"}


def test_what_was_left_out_is_told(recordings):
    shutil.rmtree(recordings / "8-1-1")
    treadmill = recordings / "7-1-1" / "treadmill" / "data.mem"
    np.full(24 * 50, np.nan, dtype=np.float32).tofile(treadmill)
    result = run()
    assert result.exit_code == 0
    assert "7-1-1: treadmill is dropped: none of its samples has a value" in result.stderr


def write_arrays(folder, *, seconds=60, neurons=3):
    """Responses alone: no stimulus, no tiers."""
    folder.mkdir(parents=True)
    values = np.random.default_rng(3).gamma(1.0, 1.0, (seconds * 10, neurons))
    np.save(folder / "responses.npy", values.astype(np.float32))
    (folder / "session.json").write_text(json.dumps({"session": "9-1-1", "rate_hz": 10.0}))
    return folder


def test_formats_lie_side_by_side_and_what_is_skipped_is_named(recordings):
    write_arrays(recordings / "mouse9" / "day1")
    for name in ("a.mat", "b.mat", "notes.txt"):
        (recordings / "mouse9" / name).write_text("")
    result = run("--json")
    assert result.exit_code == 0, result.stderr
    assert (
        "skipped recordings/mouse9/a.mat, recordings/mouse9/b.mat: a MATLAB file" in result.stderr
    )
    assert "9-1-1: arrays, responses responses.npy, tiers by time" in result.stderr
    content = json.loads(result.stdout)
    facts = {s["session"]: (s["format"], s["split"]) for s in content["sessions"]}
    assert facts == {
        "7-1-1": ("experanto", "file"),
        "8-1-1": ("experanto", "file"),
        "9-1-1": ("arrays", "time"),
    }
    assert [entry["path"] for entry in content["skipped"]] == [
        "recordings/mouse9/a.mat",
        "recordings/mouse9/b.mat",
    ]


def test_a_path_without_a_recording_is_an_error_after_the_others_are_done(recordings):
    (recordings.parent / "empty").mkdir()
    result = run("recordings", "empty", "--json")
    assert result.exit_code == 1
    content = json.loads(result.stdout)
    assert [s["session"] for s in content["sessions"]] == ["7-1-1", "8-1-1"]
    assert [failure["recording"] for failure in content["failed"]] == ["empty"]
    assert "error: empty is no recording" in result.stderr


def test_options_of_raw_files_are_part_of_the_fingerprint(recordings):
    write_arrays(recordings / "9-1-1")
    run("recordings/9-1-1")
    assert "0 written, 1 up to date" in run("recordings/9-1-1").stdout
    result = run("recordings/9-1-1", "--licence", "CC-BY-4.0", "--json")
    (session,) = json.loads(result.stdout)["sessions"]
    assert (session["state"], session["licence"]) == ("written", "CC-BY-4.0")
    for option, value, problem in (
        ("--rate", "0", "0 Hz is no rate of responses; give their rows"),
        ("--split", "bananas", "no split 'bananas'; give one of auto, "),
    ):
        result = run("recordings/9-1-1", option, value)
        assert result.exit_code == 2
        assert problem in " ".join(result.stderr.replace("│", " ").split())


def test_a_policy_that_does_not_fit_is_an_error_with_a_hint(recordings):
    write_arrays(recordings / "9-1-1")
    result = run("recordings", "--split", "conditions")
    assert result.exit_code == 1
    assert "9-1-1 cannot be split by conditions" in result.stderr
    assert "--split auto" in result.stderr
    assert "7-1-1: tiers: those of the files are kept" in result.stderr
    assert "2 written, 0 up to date" in result.stdout


def test_sessions_of_different_kinds_in_one_folder_have_a_warning(recordings):
    assert "different kinds" not in run("recordings/7-1-1").stderr
    result = run("recordings/8-1-1", "--response-kind", "dff")
    assert result.exit_code == 0, result.stderr
    assert "warning: one model cannot be trained on responses of different" in result.stderr
    assert "(dff: 8-1-1; rate: 7-1-1); choose sessions of one kind" in result.stderr
