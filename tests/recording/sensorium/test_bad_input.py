"""What cannot be read is one sentence that names the file, and nothing is run or written."""

import zipfile

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.recording.options import OpenOptions


class Trap:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def refusal(path, **options):
    with pytest.raises(RecordingError) as caught:
        recording = open_recording(path, OpenOptions(**options))
        recording.responses.read_rows(0, recording.responses.clock.num_samples)
        for number in range(len(recording.trials)):
            recording.read_trial(number)
        for signal in recording.behavior:
            signal.read_rows(0, 10)
    assert "\n" not in caught.value.message
    return f"{caught.value.message} | {caught.value.hint}"


@pytest.mark.parametrize("zipped", [False, True])
def test_python_objects_are_refused_and_not_run(make_set, tmp_path, zipped):
    trap = np.array([Trap(tmp_path / "run")] * 6, dtype=object)
    message = refusal(make_set({"meta/trials/tiers.npy": trap}, zipped=zipped).path)
    assert "tiers.npy holds Python objects" in message
    assert not (tmp_path / "run").exists()


BAD_FILES = [
    ("meta/trials/tiers.npy", np.arange(6), "tiers.npy must hold one text per trial"),
    ("data/videos/1.npy", np.zeros((9, 16)), "1.npy must hold numbers of shape"),
    ("data/videos/1.npy", np.full((9, 16, 70), 300.0), "from 0 to 255: found 300"),
    ("data/responses/3.npy", np.ones((4, 70)), "must hold numbers of 5 neurons"),
    ("data/responses/3.npy", np.full((5, 70), "a"), "must hold numbers of 5 neurons"),
    ("data/behavior/0.npy", np.ones((3, 70)), "must hold numbers in 2 rows"),
    ("data/videos/1.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr'", "cannot be read"),
    ("data/videos/1.npy", b"", "cannot be read"),
    ("data/responses/1.npy", b"PK\x03\x04 not an array at all", "cannot be read"),
    ("config.json", b"{", "config.json is no JSON"),
    ("config.json", {"links": {"responses": "../../elsewhere"}}, "must be the name of a folder"),
    ("config.json", {"links": {"responses": ".."}}, "must be the name of a folder"),
    ("config.json", {"links": {"responses": "a", "a": "responses"}}, "form a circle"),
]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(("file", "content", "expected"), BAD_FILES)
def test_a_bad_file_is_named(make_set, zipped, file, content, expected):
    message = refusal(make_set({file: content}, zipped=zipped).path)
    assert expected in message
    assert file in message


def test_a_header_that_promises_more_than_the_file_has_is_refused(make_set):
    made = make_set()
    path = made.path / "data/videos/1.npy"
    path.write_bytes(path.read_bytes().replace(b"(9, 16, 70)", b"(9,16,7**9) "))
    assert "cannot be read" in refusal(made.path)
    path.write_bytes(path.read_bytes()[:200])
    assert "1.npy cannot be read" in refusal(made.path)


def test_a_zip_that_is_cut_short(make_set):
    path = make_set(zipped=True).path
    path.write_bytes(path.read_bytes()[:-100])
    assert f"{path} cannot be read as a zip archive" in refusal(path)
    path = path.rename(path.with_name("download.zip"))
    assert "cannot be read as a zip archive" in refusal(path)


def test_a_zip_with_a_damaged_member(make_set):
    path = make_set(zipped=True).path
    with zipfile.ZipFile(path) as archive:
        (member,) = [one for one in archive.infolist() if one.filename.endswith("responses/3.npy")]
    data = bytearray(path.read_bytes())
    at = member.header_offset + 400
    data[at : at + 50] = bytes(50)
    path.write_bytes(data)
    assert "responses/3.npy cannot be read" in refusal(path)


def test_an_encrypted_zip(make_set):
    path = make_set(zipped=True).path
    data = bytearray(path.read_bytes())
    # Bit 0 of the flags in every entry of the directory at the end: offset 8 of PK\x01\x02.
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        data[at + 8] |= 1
        at = data.find(b"PK\x01\x02", at + 1)
    path.write_bytes(data)
    message = refusal(path)
    assert "is encrypted" in message
    assert "password" in message


def test_a_zip_of_something_else_and_of_two_sets(make_set, tmp_path):
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("notes.txt", "hello")
    assert "is no recording" in refusal(other)
    named = other.rename(tmp_path / "dynamic1-2-3-x.zip")
    assert "must hold one Sensorium set" in refusal(named)
    first = make_set(zipped=True).path
    with zipfile.ZipFile(first, "a") as archive:
        archive.writestr("second/meta/trials/tiers.npy", b"")
    assert "must hold one Sensorium set" in refusal(first)


def test_a_zip_whose_members_lie_outside_writes_nothing(make_set, tmp_path):
    path = make_set(zipped=True).path
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../outside.npy", b"x")
        archive.writestr("/outside.npy", b"x")
    before = sorted(tmp_path.rglob("*"))
    open_recording(path).responses.read_rows(0, 10)
    assert sorted(tmp_path.rglob("*")) == before
    assert not (tmp_path.parent / "outside.npy").exists()


def test_a_set_without_responses_or_stimulus_or_usable_tier(make_set):
    names = list(make_set().arrays)
    no_responses = {name: None for name in names if name.startswith("data/responses/")}
    made = make_set(no_responses, zipped=True)
    assert "has no responses" in refusal(made.path)
    no_videos = {name: None for name in names if name.startswith("data/videos/")}
    assert "has no stimulus" in refusal(make_set(no_videos, zipped=True).path)
    tiers = {"meta/trials/tiers.npy": np.array(["none"] * 6)}
    assert "no trial that can be used" in refusal(make_set(tiers, zipped=True).path)
    empty = {name: np.full((9, 16, 70), np.nan) for name in no_videos}
    assert "no trial that can be used" in refusal(make_set(empty, zipped=True).path)


def test_a_read_only_folder_is_read(make_set):
    made = make_set()
    folders = [made.path, *(path for path in made.path.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert open_recording(made.path).read_trial(0).shape == (70, 9, 16)
    finally:
        for folder in folders:
            folder.chmod(0o755)
