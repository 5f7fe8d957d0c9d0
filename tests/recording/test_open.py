"""Recordings are found and opened, and other paths are refused."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.find import find_recordings
from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.recording.options import OpenOptions


@pytest.mark.parametrize("find", [lambda path: find_recordings([path]), open_recording])
def test_a_path_that_does_not_exist_is_named(find, tmp_path):
    with pytest.raises(RecordingError, match="nowhere does not exist") as caught:
        find(tmp_path / "nowhere")
    assert caught.value.hint


@pytest.mark.parametrize("find", [lambda path: find_recordings([path]), open_recording])
def test_a_folder_that_is_no_recording_says_what_was_looked_for(find, tmp_path):
    with pytest.raises(RecordingError, match=r"is no recording: looked for responses/meta\.yml"):
        find(tmp_path)


def test_a_device_folder_leads_to_the_session_around_it(experanto_session):
    path = experanto_session(seconds=6)
    with pytest.raises(RecordingError) as caught:
        open_recording(path / "treadmill")
    assert str(path) in caught.value.hint


def test_an_archive_has_to_be_unpacked_first(tmp_path):
    archive = tmp_path / "session.tar"
    archive.write_bytes(b"")
    with pytest.raises(RecordingError) as caught:
        open_recording(archive)
    assert "unpack" in caught.value.hint


def test_a_link_to_a_file_that_is_not_here_is_named(tmp_path):
    link = tmp_path / "session.nwb"
    link.symlink_to(".git/annex/objects/session.nwb")
    with pytest.raises(RecordingError, match="link to something that is not here") as caught:
        open_recording(link)
    assert "datalad get" in caught.value.hint


def test_licence_and_citation_can_be_stated(experanto_session):
    options = OpenOptions(licence="CC-BY-4.0", citation="Mouse et al.")
    provenance = open_recording(experanto_session(seconds=6), options).provenance
    assert (provenance.licence, provenance.citation) == ("CC-BY-4.0", "Mouse et al.")


def test_a_stated_key_names_session_and_animal_and_is_noted(experanto_session):
    path = experanto_session(data_key="../../etc", seconds=6)
    recording = open_recording(path, OpenOptions(key="17-2-1"))
    assert (recording.session, recording.animal) == ("17-2-1", "17")
    assert "session: the key 17-2-1 was given with --key; animal 17" in recording.notes


def test_an_option_without_effect_is_noted(experanto_session):
    recording = open_recording(experanto_session(seconds=6), OpenOptions(series="F", rate_hz=10.0))
    assert [note for note in recording.notes if "no effect" in note] == [
        f"{option} has no effect on recordings of format experanto"
        for option in ("--series", "--rate")
    ]


@pytest.mark.parametrize(
    "values",
    [{"rate_hz": 0.0}, {"rate_hz": float("nan")}, {"split": "x"}, {"key": "../x"}, {"key": " "}],
)
def test_options_that_cannot_work_are_refused(values):
    with pytest.raises(ValueError, match=f"`{next(iter(values))}` must be"):
        OpenOptions(**values)


def test_a_recording_can_be_sent_to_another_process(experanto_session):
    recording = open_recording(experanto_session(seconds=6))
    copy = pickle.loads(pickle.dumps(recording))
    expected = recording.responses.read_rows(10, 20)
    np.testing.assert_array_equal(copy.responses.read_rows(10, 20), expected)
    np.testing.assert_array_equal(copy.read_trial(0), recording.read_trial(0))


def test_nothing_is_written_into_a_recording(experanto_session):
    path = experanto_session(seconds=6, combined=False)
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    recording = open_recording(path)
    recording.responses.read_rows(0, 10)
    recording.read_trial(0)
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*")} == before


def test_what_the_file_system_refuses_is_named(experanto_session):
    path = experanto_session(seconds=6, combined=False)
    (path / "screen/meta/00000.yml").unlink()
    (path / "screen/meta/00000.yml").mkdir()
    with pytest.raises(RecordingError, match=r"00000\.yml cannot be read: Is a directory"):
        open_recording(path)


@pytest.mark.training
def test_a_recording_is_preprocessed_without_heavy_libraries(experanto_session, tmp_path):
    code = (
        "import sys\n"
        "from omnimouse_cli.cli.app import main\n"
        f"sys.argv = ['omnimouse', 'preprocess', {str(experanto_session())!r}]\n"
        f"sys.argv += ['--out', {str(tmp_path / 'shards')!r}, '--json']\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print(sorted({'torch', 'scipy'} & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.splitlines()[-1:] == ["[]"], run.stderr
    assert (tmp_path / "shards" / "catalogue.json").is_file()


def test_a_pipe_among_the_files_is_named_and_not_waited_for(experanto_session):
    path = experanto_session(seconds=6, combined=False)
    meta = path / "responses" / "meta.yml"
    meta.unlink()
    os.mkfifo(meta)
    with pytest.raises(RecordingError, match=r"responses/meta\.yml is a pipe or a device"):
        open_recording(path)
