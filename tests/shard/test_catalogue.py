"""The catalogue says what the shards say, and mends itself."""

import errno
import fcntl
import json
import multiprocessing
import os
import shutil
import stat

import numpy as np
import pytest
from safetensors.numpy import save_file

from omnimouse_cli.errors import ShardError
from omnimouse_cli.reporter import Silent
from omnimouse_cli.shard import open_catalogue, open_shard
from omnimouse_cli.shard.catalogue import refresh_catalogue
from tests.reporter import MessageReporter


@pytest.fixture
def folder(make_recording, converted, tmp_path):
    for number in range(3):
        converted(make_recording(session=f"7-1-{number}", native_rate_hz=7.5, seed=number))
    refresh_catalogue(tmp_path, Silent())
    return tmp_path


def test_an_entry_counts_tokens_hours_and_minutes(folder):
    entry = open_catalogue(folder).entries[0]
    assert (entry.session, entry.animal, entry.neurons) == ("7-1-0", "7", 6)
    samples = int(32.5 * 30)
    assert entry.samples == samples
    assert entry.tokens == 6 * samples
    assert entry.native_tokens == 6 * round(samples / 30 * 7.5)
    assert entry.hours == pytest.approx(samples / 30 / 3600)
    # The responses start 0.2 s after the first trial.
    minutes = {"train": 16.3 / 60, "validation": 6.0 / 60, "test": 6.0 / 60}
    assert entry.tiers == pytest.approx(minutes)
    assert entry.modalities == ("responses", "screen", "eye_tracker", "treadmill")
    assert entry.bytes == (folder / entry.file).stat().st_size
    usable = 60 * (60 * entry.hours - sum(entry.dropped.values()))
    assert entry.valid_fraction == pytest.approx(usable / (samples / 30), abs=2e-3)


def test_a_catalogue_of_an_earlier_release_is_read(folder):
    expected = open_catalogue(folder)
    path = folder / "catalogue.json"
    content = json.loads(path.read_text())
    for entry in content["sessions"]:
        for name in ("missing_rows", "format", "split", "licence"):
            entry.pop(name)
    path.write_text(json.dumps(content))
    assert open_catalogue(folder) == expected
    content["sessions"][0].pop("tokens")
    path.write_text(json.dumps(content))
    with pytest.raises(ShardError, match="is damaged: `sessions` lacks `tokens`"):
        open_catalogue(folder)


def test_without_a_catalogue_the_shards_are_read(folder):
    expected = open_catalogue(folder)
    (folder / "catalogue.json").unlink()
    assert open_catalogue(folder) == expected


def test_a_shard_that_the_catalogue_does_not_list_yet_is_found(folder):
    expected = open_catalogue(folder)
    path = folder / "catalogue.json"
    content = json.loads(path.read_text())
    for keep in (1, 0):
        path.write_text(json.dumps({**content, "sessions": content["sessions"][:keep]}))
        assert open_catalogue(folder) == expected


def test_what_a_killed_process_left_of_a_catalogue_is_removed(folder):
    (folder / ".catalogue.json.abc.partial").write_text("{")
    refresh_catalogue(folder, Silent())
    assert not (folder / ".catalogue.json.abc.partial").exists()


def test_the_document_is_the_contracts(folder):
    content = json.loads((folder / "catalogue.json").read_text())
    assert content["format"] == "omnimouse-catalogue"
    assert content["version"] == 1
    assert [item["session"] for item in content["sessions"]] == ["7-1-0", "7-1-1", "7-1-2"]


def test_a_shard_that_is_gone_is_named(folder):
    (folder / "7-1-1.safetensors").unlink()
    with pytest.raises(ShardError, match=r"7-1-1.safetensors is missing: .* session 7-1-1"):
        open_catalogue(folder)
    assert len(refresh_catalogue(folder, Silent()).entries) == 2
    assert len(open_catalogue(folder).entries) == 2


def test_a_stale_catalogue_is_corrected_by_the_shards_and_told(folder):
    expected = open_catalogue(folder)
    path = folder / "catalogue.json"
    content = json.loads(path.read_text())
    content["sessions"][1] |= {"neurons": 5000, "tiers": {"train": 900.0}, "session": "9-9-9"}
    path.write_text(json.dumps(content))
    catalogue = open_catalogue(folder)
    assert catalogue.entries == expected.entries
    (note,) = catalogue.notes
    assert "misstates session, neurons of 7-1-1.safetensors" in note
    refresh_catalogue(folder, Silent())
    assert open_catalogue(folder) == expected


def test_a_path_out_of_the_folder_is_not_followed(folder):
    path = folder / "catalogue.json"
    content = json.loads(path.read_text())
    outside = shutil.copytree(folder, folder.parent / f"{folder.name}-outside")
    content["sessions"][0]["file"] = f"../{outside.name}/7-1-0.safetensors"
    (folder / "7-1-0.safetensors").unlink()
    path.write_text(json.dumps(content))
    with pytest.raises(ShardError, match=r"is missing: catalogue\.json lists it"):
        open_catalogue(folder)


def test_a_session_that_is_not_used_may_be_damaged(folder):
    path = folder / "7-1-1.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    assert [entry.session for entry in open_catalogue(folder).entries] == [
        "7-1-0",
        "7-1-1",
        "7-1-2",
    ]
    with pytest.raises(ShardError, match=r"7-1-1.safetensors is cut short"):
        open_shard(path)


BROKEN = [
    "",
    "{",
    "[]",
    '{"format": "omnimouse-eval", "version": 1}',
    '{"format": "omnimouse-catalogue", "version": 1}',
    '{"format": "omnimouse-catalogue", "version": 1, "sessions": [{}]}',
    '{"format": "omnimouse-catalogue", "version": 2}',
    '{"format": "omnimouse-catalogue", "version": 1, "sessions": [{"session": 7}]}',
    "[" * 100_000,
]


@pytest.mark.parametrize("text", BROKEN)
def test_a_damaged_catalogue_is_an_error_that_says_how_to_go_on(folder, text):
    (folder / "catalogue.json").write_text(text)
    with pytest.raises(ShardError, match=r"catalogue.json") as caught:
        open_catalogue(folder)
    assert caught.value.hint


def test_a_pipe_in_place_of_the_catalogue_is_not_waited_for(folder):
    (folder / "catalogue.json").unlink()
    os.mkfifo(folder / "catalogue.json")
    with pytest.raises(ShardError, match=r"catalogue.json is not a file"):
        open_catalogue(folder)


def test_a_damaged_shard_is_left_out_with_a_warning(folder):
    (folder / "catalogue.json").unlink()
    path = folder / "7-1-1.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    heard = MessageReporter()
    catalogue = refresh_catalogue(folder, heard)
    assert [entry.session for entry in catalogue.entries] == ["7-1-0", "7-1-2"]
    assert "7-1-1.safetensors is cut short" in heard.warnings[0]


def test_a_copy_of_a_shard_is_named_and_not_counted_twice(folder):
    expected = open_catalogue(folder)
    shutil.copy(folder / "7-1-1.safetensors", folder / "7-1-1 (copy).safetensors")
    for exists in (True, False):
        if not exists:
            (folder / "catalogue.json").unlink()
        catalogue = open_catalogue(folder)
        assert catalogue.entries == expected.entries
        assert catalogue.notes == (
            "7-1-1 (copy).safetensors is not used: it has the same session as 7-1-1.safetensors, "
            "7-1-1",
        )
    heard = MessageReporter()
    assert refresh_catalogue(folder, heard).entries == expected.entries
    assert "7-1-1 (copy).safetensors is not used" in heard.warnings[0]


def test_weights_among_the_shards_are_named_and_not_used(folder):
    expected = open_catalogue(folder)
    save_file({"w": np.zeros(300, np.float32)}, folder / "model.safetensors")
    catalogue = open_catalogue(folder)
    assert catalogue.entries == expected.entries
    assert catalogue.notes == ("model.safetensors is not used: it is not an omnimouse shard",)
    heard = MessageReporter()
    refresh_catalogue(folder, heard)
    assert len(heard.warnings) == 1
    assert "model.safetensors is not used" in heard.warnings[0]


def test_a_damaged_shard_is_not_taken_for_a_file_of_another_program(folder):
    (folder / "catalogue.json").unlink()
    (folder / "7-1-1.safetensors").write_bytes(b"")
    with pytest.raises(ShardError, match=r"7-1-1\.safetensors"):
        open_catalogue(folder)


def test_a_file_system_without_locks_and_sync_of_folders_is_told_once(folder, monkeypatch):
    def refuse(*_arguments):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr("omnimouse_cli.shard.catalogue.sync_folder", lambda _folder: False)
    (folder / ".catalogue.json.abc.partial").write_text("{")
    heard = MessageReporter()
    refresh_catalogue(folder, heard)
    assert ["no locks" in heard.warnings[0], "sync folders" in heard.warnings[1]] == [True, True]
    assert len(heard.warnings) == 2
    # Another process may still write it.
    assert (folder / ".catalogue.json.abc.partial").exists()


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_without_shards_is_no_data_set(tmp_path, exists):
    folder = tmp_path / "shards"
    if exists:
        folder.mkdir()
    problem = "is not a folder of shards" if exists else "shards does not exist"
    with pytest.raises(ShardError, match=problem) as caught:
        open_catalogue(folder)
    assert "omnimouse preprocess" in caught.value.hint


def refresh_often(folder):
    for _ in range(10):
        refresh_catalogue(folder, Silent())


@pytest.mark.training
def test_processes_that_write_the_catalogue_together_do_not_disturb_each_other(folder):
    expected = open_catalogue(folder)
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=refresh_often, args=(folder,)) for _ in range(2)]
    for process in processes:
        process.start()
    while any(process.is_alive() for process in processes):
        assert open_catalogue(folder) == expected
    assert [process.exitcode for process in processes] == [0, 0]
    assert np.all([not path.name.startswith(".") for path in folder.iterdir()])


def test_where_folders_cannot_be_locked_a_file_is(folder, monkeypatch):
    """As on NFS."""
    flock = fcntl.flock

    def refuse_folders(descriptor, operation):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", refuse_folders)
    heard = MessageReporter()
    refresh_catalogue(folder, heard)
    assert heard.warnings == []
    with (folder / ".catalogue.lock").open("a") as stream:
        flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
