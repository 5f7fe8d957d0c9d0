"""A second run writes missing shards; killed runs and bad recordings leave the others intact."""

import re
import runpy
import signal as signals
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from omnimouse_cli.errors import LaterVersionError, RecordingError, ShardError
from omnimouse_cli.reporter import Silent
from omnimouse_cli.shard import open_catalogue, open_shard
from omnimouse_cli.shard.convert import Storage
from omnimouse_cli.shard.preprocess import PreprocessOptions, preprocess, shard_name
from omnimouse_cli.shard.verify import verify_shards

CONFTEST = Path(__file__).with_name("conftest.py")
SMALL_BLOCK = 600


@pytest.fixture
def out(tmp_path):
    return tmp_path / "shards"


def run(recordings, out, *, force=False, reporter=None, **storage):
    options = PreprocessOptions(storage=Storage(**storage), force=force)
    return preprocess(recordings, out, options, reporter or Silent())


def identity(path):
    return path.stat().st_ino, path.stat().st_mtime_ns


def test_what_is_up_to_date_is_kept_and_what_is_missing_is_done(make_recording, out):
    first, second = make_recording(session="7-1-1"), make_recording(session="7-1-2")
    assert run([first], out).written == ("7-1-1",)
    before = identity(out / "7-1-1.safetensors")
    result = run([first, second], out)
    assert (result.written, result.kept) == (("7-1-2",), ("7-1-1",))
    assert identity(out / "7-1-1.safetensors") == before
    assert [entry.session for entry in open_catalogue(out).entries] == ["7-1-1", "7-1-2"]
    assert result.catalogue == open_catalogue(out)


def test_force_options_and_changed_files_bring_a_new_shard(make_recording, out):
    recording = make_recording()
    run([recording], out)
    assert run([recording], out).written == ()
    assert run([recording], out, force=True).written == ("7-1-2",)
    assert run([recording], out, dtype="float32").written == ("7-1-2",)
    assert open_shard(out / "7-1-2.safetensors").response_dtype == "F32"
    assert open_catalogue(out).entries[0].dtype == "F32"
    assert run([recording], out, dtype="float32").written == ()
    (recording.path / "data.mem").write_text("longer than before")
    assert run([recording], out, dtype="float32").written == ("7-1-2",)
    (recording.path / "another").write_text("")
    assert run([recording], out, dtype="float32").written == ("7-1-2",)


def test_the_same_recording_gives_the_same_bytes(make_recording, out):
    recording = make_recording()
    run([recording], out)
    first = (out / "7-1-2.safetensors").read_bytes()
    run([recording], out, force=True)
    assert (out / "7-1-2.safetensors").read_bytes() == first


def test_two_recordings_with_one_session_key_are_refused_before_any_work(make_recording, out):
    first = make_recording()
    second = replace(first, path=first.path.with_name("copy"))
    with pytest.raises(RecordingError, match=r"7-1-2 and .*copy have the same session key: 7-1-2"):
        run([make_recording(session="7-1-1"), first, second], out)
    assert not out.exists()


def test_session_keys_become_file_names_that_every_system_takes():
    assert shard_name("17797-4-7") == "17797-4-7.safetensors"
    assert re.fullmatch(r"_a_b_c_d-[0-9a-f]{8}\.safetensors", shard_name("../a b/c:d"))
    assert len(shard_name("x" * 300)) < 255 - len(".partial")
    assert len({shard_name(key) for key in ("ä", "ö", "_", "x" * 300, "x" * 301)}) == 5


def test_a_bad_recording_does_not_stop_the_others(make_recording, out):
    missing = np.random.default_rng(0).gamma(1.0, 1.0, (900, 6)).astype(np.float32)
    missing[400] = np.nan
    recordings = [
        make_recording(session="7-1-1", responses=missing),
        make_recording(session="7-1-2"),
    ]
    result = run(recordings, out)
    assert result.written == ("7-1-2",)
    assert [failure.session for failure in result.failed] == ["7-1-1"]
    assert "must be finite" in result.failed[0].error.message
    assert sorted(path.name for path in out.iterdir()) == ["7-1-2.safetensors", "catalogue.json"]


def test_a_recording_that_fails_leaves_its_older_shard_alone(make_recording, out):
    recording = make_recording()
    run([recording], out)
    before = (out / "7-1-2.safetensors").read_bytes()
    missing = make_recording(responses=np.full((900, 6), np.nan, dtype=np.float32))
    assert len(run([missing], out, force=True).failed) == 1
    assert (out / "7-1-2.safetensors").read_bytes() == before


def test_a_damaged_shard_is_written_anew(make_recording, out):
    recording = make_recording()
    run([recording], out)
    path = out / "7-1-2.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    assert run([recording], out).written == ("7-1-2",)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((b'"version":"1"', b'"version":"2"'), "7-1-2.safetensors has shard version 2"),
        (
            (b'"checksum":"blake3-128:', b'"checksum":"blake9-128:'),
            "7-1-2.safetensors has a checksum of the kind `blake9-128`",
        ),
    ],
)
def test_a_shard_of_a_later_version_is_never_replaced(make_recording, out, change, message, force):
    recording = make_recording()
    run([recording], out)
    path = out / "7-1-2.safetensors"
    content = path.read_bytes()
    assert change[0] in content
    content = content.replace(*change, 1)
    path.write_bytes(content)
    with pytest.raises(LaterVersionError, match=message):
        run([recording], out, force=force)
    assert path.read_bytes() == content


def test_a_file_cannot_be_the_folder_of_shards(make_recording, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ShardError, match=r"file cannot be a folder of shards: File exists"):
        run([make_recording()], tmp_path / "file")


class Interrupting(Silent):
    """Raises KeyboardInterrupt in the middle of a session."""

    def __init__(self, session):
        self.session = session

    def advance(self, task, amount=1.0, note=""):  # noqa: ARG002 - the reporter's signature
        if task == self.session:
            raise KeyboardInterrupt


def test_an_interruption_says_what_is_kept_and_leaves_nothing_half_written(make_recording, out):
    recordings = [make_recording(session=f"7-1-{number}") for number in range(3)]
    with pytest.raises(KeyboardInterrupt, match=r"sessions in .* kept: 1 of 3"):
        run(recordings, out, reporter=Interrupting("7-1-1"))
    assert sorted(path.name for path in out.iterdir()) == ["7-1-0.safetensors", "catalogue.json"]
    assert run(recordings, out).kept == ("7-1-0",)


def slow_recordings(folder):
    """Three recordings that take about half a second each to read, in 40 pieces."""
    build = runpy.run_path(str(CONFTEST))["build_recording"]
    for number in range(3):
        path = folder / f"7-1-{number}"
        recording = build(path, session=path.name, seed=number)
        read_rows = recording.responses.read_rows

        def slowly(first, last, read_rows=read_rows):
            time.sleep(0.005)
            return read_rows(first, last)

        yield replace(recording, responses=replace(recording.responses, read_rows=slowly))


def preprocess_slowly(folder, out):
    """What the process does that is going to be killed."""
    import omnimouse_cli.shard.blocks

    omnimouse_cli.shard.blocks.BLOCK_BYTES = SMALL_BLOCK
    recordings = list(slow_recordings(folder))
    sys.stdout.write("started\n")
    sys.stdout.flush()
    run(recordings, out, dtype="float32")


def killed_run(folder, out, seconds):
    """Start a process on the recordings, kill it after some time, say whether it was at work."""
    call = f"['preprocess_slowly'](Path({str(folder)!r}), Path({str(out)!r}))"
    code = f"import runpy; from pathlib import Path; runpy.run_path({__file__!r}){call}"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"started\n"
        time.sleep(seconds)
        process.send_signal(signals.SIGKILL)
        return process.wait() == -signals.SIGKILL


@pytest.mark.training
def test_a_run_that_is_killed_at_any_moment_is_finished_by_the_next(tmp_path, monkeypatch):
    # The last bits of a mean depend on the blocks that it was taken in.
    monkeypatch.setattr("omnimouse_cli.shard.blocks.BLOCK_BYTES", SMALL_BLOCK)
    folder, undisturbed, out = (tmp_path / name for name in ("recordings", "undisturbed", "killed"))
    for number in range(3):
        (folder / f"7-1-{number}").mkdir(parents=True)
    run(list(slow_recordings(folder)), undisturbed, dtype="float32")
    expected = {path.name: path.read_bytes() for path in undisturbed.iterdir()}
    rng = np.random.default_rng()
    num_killed = 0
    for _ in range(10):
        num_killed += killed_run(folder, out, rng.uniform(0, 0.5))
        shards = sorted(out.glob("*.safetensors"))
        assert verify_shards(shards, Silent()) == ()
        for shard in shards:
            assert shard.read_bytes() == expected[shard.name]
        if (out / "catalogue.json").exists() and shards:
            for entry in open_catalogue(out).entries:
                assert entry in open_catalogue(undisturbed).entries
        for path in [*shards[:2], out / "catalogue.json"]:
            path.unlink(missing_ok=True)
    assert num_killed >= 5
    run(list(slow_recordings(folder)), out, dtype="float32")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == expected
