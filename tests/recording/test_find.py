"""Recordings are found at any depth, each once, and what is skipped is named with its reason."""

import os
import zipfile

import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.find import MAX_DEPTH, find_recordings


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "recordings"
    folder.mkdir()
    return folder


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def make_session(path):
    touch(path / "responses/meta.yml")
    touch(path / "screen/meta.yml")
    return path


def reasons(found):
    return {entry.path.name: entry.reason for entry in found.skipped}


def test_a_folder_of_sessions_is_searched_in_the_order_of_names(root):
    names = ["30-1-1", "4-1-1", "100-2-1"]
    paths = {name: make_session(root / name) for name in names}
    touch(root / "readme.txt")
    (root / "notes").mkdir()
    found = find_recordings([root])
    assert found.recordings == tuple(paths[name] for name in sorted(names))
    assert (found.skipped, found.failed) == ((), ())


def test_sessions_at_several_depths_are_all_found(root):
    paths = [make_session(root / name) for name in ("7-1-1", "mouse2/8-1-1", "mouse3/day1/a/9-1-1")]
    assert find_recordings([root]).recordings == tuple(paths)


def test_a_recording_named_twice_is_found_once(root):
    first, second = make_session(root / "1-1-1"), make_session(root / "2-1-1")
    assert find_recordings([second, root, second]).recordings == (second, first)


def test_a_recordings_own_folders_are_not_searched(root):
    session = make_session(root / "7-1-1")
    make_session(session / "responses/backup")
    assert find_recordings([root]).recordings == (session,)


def test_a_session_without_its_meta_yml_is_found_rather_than_skipped(root):
    touch(root / "7-1-1/responses/data.mem")
    assert find_recordings([root]).recordings == (root / "7-1-1",)


def test_links_to_folders_are_followed_once(root, tmp_path):
    session = make_session(tmp_path / "other disk/mouse/7-1-1")
    (root / "a").symlink_to(tmp_path / "other disk")
    (root / "b").symlink_to(tmp_path / "other disk")
    (tmp_path / "other disk/loop").symlink_to(root)
    found = find_recordings([root])
    assert [path.resolve() for path in found.recordings] == [session]


def test_links_to_themselves_and_pipes_are_not_opened(root):
    session = make_session(root / "7-1-1")
    (root / "loop").symlink_to(root / "loop")
    (root / "loop.nwb").symlink_to(root / "loop.nwb")
    for suffix in ("zip", "npz", "nwb"):
        os.mkfifo(root / f"pipe.{suffix}")
    found = find_recordings([root])
    assert found.recordings == (session,)
    assert "loop.nwb" in reasons(found)


def test_hidden_folders_are_not_searched(root):
    make_session(root / ".trash/7-1-1")
    session = make_session(root / "8-1-1")
    found = find_recordings([root])
    assert (found.recordings, found.skipped) == ((session,), ())


def test_folders_deeper_than_the_bound_are_named(root):
    deep = root.joinpath(*"abcdefghij"[: MAX_DEPTH + 1])
    make_session(deep / "7-1-1")
    session = make_session(root / "8-1-1")
    found = find_recordings([root])
    assert found.recordings == (session,)
    assert list(reasons(found)) == [deep.name]
    assert find_recordings([deep]).recordings == (deep / "7-1-1",)


def test_what_looks_like_data_is_named_with_its_reason(root):
    make_session(root / "7-1-1")
    for name in ("a.tar.gz", "b.mat", "c.tif", "d.nwb.part", "e.pkl", "notes.txt", "f.csv"):
        touch(root / "other" / name)
    (root / "g.nwb").symlink_to(root / ".git/annex/g.nwb")
    touch(root / "h.zarr/0.0")
    with zipfile.ZipFile(root / "i.zip", "w") as archive:
        archive.writestr("session/data.mem", b"")
    found = reasons(find_recordings([root]))
    words = {
        "a.tar.gz": "unpack it first",
        "b.mat": "responses.npy",
        "c.tif": "extract",
        "d.nwb.part": "unfinished download",
        "e.pkl": "never opened",
        "g.nwb": "a file that is not here",
        "h.zarr": "not NWB",
        "i.zip": "a zip archive of session and no Sensorium set; unpack it",
    }
    assert found.keys() == words.keys()
    assert all(words[name] in reason for name, reason in found.items()), found


def test_a_path_that_leads_to_nothing_does_not_stop_the_others(root, tmp_path):
    session = make_session(root / "7-1-1")
    empty = tmp_path / "empty"
    empty.mkdir()
    found = find_recordings([empty, root, tmp_path / "nowhere"])
    assert found.recordings == (session,)
    assert [path for path, _ in found.failed] == [empty, tmp_path / "nowhere"]
    assert "looked for responses/meta.yml" in found.failed[0][1].message
    assert "does not exist" in found.failed[1][1].message


def test_if_nothing_is_found_the_error_names_what_is_there(root):
    touch(root / "downloads/7-1-1.tar")
    touch(root / "downloads/8-1-1.tar")
    with pytest.raises(RecordingError, match=r"holds no recording: downloads/7-1-1\.tar") as caught:
        find_recordings([root])
    assert "is an archive; unpack it first (1 more beside it)" in caught.value.message
    assert "experanto, nwb, " in caught.value.hint


def test_what_the_error_names_is_not_listed_as_skipped(root, tmp_path):
    make_session(root / "7-1-1")
    touch(tmp_path / "lab/a.mat")
    found = find_recordings([root, tmp_path / "lab"])
    assert found.skipped == ()
    ((_, error),) = found.failed
    assert "lab holds no recording: a.mat is a MATLAB file" in error.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(root):
    session = make_session(root / "7-1-1")
    locked = root / "locked"
    locked.mkdir(mode=0)
    found = find_recordings([root])
    assert found.recordings == (session,)
    assert reasons(found) == {"locked": "cannot be read: Permission denied"}


def test_plain_files_are_told_by_their_name_alone(root, monkeypatch):
    for number in range(2000):
        touch(root / f"frames/{number:04d}.png")
    session = make_session(root / "7-1-1")
    looked_at = []
    monkeypatch.setattr(
        "omnimouse_cli.recording.find.is_recording",
        lambda path: looked_at.append(path) or path == session,
    )
    assert find_recordings([root]).recordings == (session,)
    assert looked_at == [root, session, root / "frames"]


def test_a_search_ends_after_so_many_folders_and_names_the_first_that_is_left(root, monkeypatch):
    monkeypatch.setattr("omnimouse_cli.recording.find.MAX_FOLDERS", 4)
    make_session(root / "a" / "session")
    for name in ("b", "c", "d", "e"):
        (root / name).mkdir()
    found = find_recordings([root])
    assert found.recordings == (root / "a" / "session",)
    assert [one.path for one in found.skipped] == [root / "d"]
    assert "name a folder nearer to the recordings" in found.skipped[0].reason
