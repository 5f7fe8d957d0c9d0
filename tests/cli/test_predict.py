"""`omnimouse predict`: what it writes and says, and how it ends."""

import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import typer
from safetensors import safe_open
from safetensors.numpy import load_file
from typer.testing import CliRunner

from omnimouse_cli.cli.app import _with_exit_codes
from omnimouse_cli.cli.predict import command_predict
from omnimouse_cli.probing import predict as predict_module
from omnimouse_cli.probing import predict_job

app = typer.Typer()
app.command()(_with_exit_codes(command_predict))


# A session of the runs that has no shard.
OTHER = "20009-1-1"


@pytest.fixture(scope="module")
def key(small_mouse):
    """The session that has a shard."""
    return small_mouse.sessions[0].key


@pytest.fixture(scope="module")
def runs(small_mouse, key, write_run, tmp_path_factory):
    """Two runs of equal weights that know two sessions."""
    folder = tmp_path_factory.mktemp("runs")

    def add_session(tensors):
        for name, value in list(tensors.items()):
            if name.startswith("tables."):
                tensors[name.replace(key, OTHER)] = value.clone()

    known = small_mouse.sessions[0]
    same = {"animal": known.animal, "neurons": 12, "fingerprint": known.fingerprint}
    facts = [{"session": one, **same} for one in (key, OTHER)]
    return [
        write_run(folder / name, small_mouse, weights=add_session, sessions=facts)
        for name in ("a", "b")
    ]


@pytest.fixture
def film(tmp_path):
    path = tmp_path / "film.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (40, 72, 128), dtype=np.uint8))
    return path


def invoke(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments), "--device", "cpu"])


def error_of(result):
    """Return the sentence and the hint of a command that failed."""
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.stderr
    message, _, hint = result.stderr.partition("error: ")[2].partition("\n\nhint: ")
    assert hint
    return message, hint.strip()


def test_a_movie_gives_a_file_and_a_document_for_each_session(runs, film, tmp_path, small_mouse):
    out = tmp_path / "out" / "film.npz"
    result = invoke(runs[0], "--video", film, "--fps", 60, "--out", out)
    assert result.exit_code == 0, result.output
    assert "shown at 30 Hz by sample-and-hold" in result.stderr
    assert "frames of 72 x 128 are averaged to 36 x 64" in result.stderr
    assert "windows of 2 s begin every" in result.stderr
    assert "behavior stays at its median" in result.stderr
    files = sorted(path.name for path in out.parent.iterdir())
    keys = [small_mouse.sessions[0].key, OTHER]
    assert f"no shard of {OTHER} was found: responses are in standard deviations" in result.stderr
    assert files == sorted(f"film.{key}{end}" for key in keys for end in (".json", ".npz"))
    with np.load(out.with_name(f"film.{keys[0]}.npz"), allow_pickle=False) as arrays:
        assert arrays["responses"].shape == (20, 12)
        assert arrays["responses"].dtype == np.float32
        np.testing.assert_array_equal(arrays["time_seconds"], np.arange(20) / 30)
        np.testing.assert_array_equal(arrays["unit_id"], small_mouse.sessions[0].shard.unit_id)
        assert arrays["position_um"].shape == (12, 3)
        assert "std" not in arrays
    document = json.loads(out.with_name(f"film.{keys[0]}.json").read_text())
    assert document["format"] == "omnimouse-predict"
    assert (document["run"], document["session"], document["units"]) == ("a", keys[0], "rate")
    assert document["movie"]["fps"] == 60
    assert document["movie"]["size"] == [72, 128]
    assert document["movie"]["size_used"] == [36, 64]
    content = np.load(film).tobytes()
    assert document["movie"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert document["context"]["before"] == "grey"
    assert document["behavior"]["rule"] == "behavior stays at its median"
    other = json.loads(out.with_name(f"film.{OTHER}.json").read_text())
    assert (other["units"], other["shards"]) == ("standard deviations", None)
    assert other["behavior"]["rule"] == "behavior stays at its mean"
    assert document["shards"]["fingerprint"] == small_mouse.sessions[0].fingerprint


def test_an_ensemble_in_safetensors_has_the_same_numbers(runs, film, tmp_path, key):
    common = ("--video", film, "--fps", 30, "--session", key, "--stride", 30, "--quiet")
    assert invoke(*runs, *common, "--out", tmp_path / "a.npz").exit_code == 0
    result = invoke(*runs, *common, "--out", tmp_path / "a.safetensors", "--force", "--json")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    document = json.loads(result.stdout)
    assert [run["run"] for run in document["runs"]] == ["a", "b"]
    stored = load_file(tmp_path / "a.safetensors")
    with np.load(tmp_path / "a.npz") as arrays:
        assert "std" in arrays
        for name, values in stored.items():
            np.testing.assert_array_equal(arrays[name], values)
    # Two runs of the same weights.
    assert (stored["std"] == 0).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.json",
        "a.npz",
        "a.safetensors",
        "film.npy",
    ]


def test_recorded_windows_are_written_beside_what_was_measured(runs, tmp_path, key):
    result = invoke(
        runs[0], "--tier", "test", "--regime", "population", "--session", key,
        "--out", tmp_path / "test.npz", "--draws", 2,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "test.json").read_text())
    names = [one["name"] for one in document["predictions"]]
    assert "population-6/responses/draw-1" in names
    with np.load(tmp_path / "test.npz") as arrays:
        for name in names:
            shape = arrays[f"{name}/predicted"].shape
            assert arrays[f"{name}/measured"].shape == shape
            assert arrays[f"{name}/neuron"].shape == shape[1:]
            assert arrays[f"{name}/scored"].dtype == np.bool_
            assert arrays[f"{name}/time_seconds"].shape == shape[:1]
    assert "population-6+stimulus/responses/draw-0" in result.stdout


def test_decoded_behavior_is_written_with_its_channels(runs, tmp_path, key):
    options = ("--tier", "test", "--regime", "decode", "--stride", 300, "--quiet", "--scaled")
    result = invoke(*runs, *options, "--out", tmp_path / "a.safetensors", "--json")
    assert result.exit_code == 0, result.output
    assert f"sessions without a shard are left out: {OTHER}" in result.stderr
    (one,) = json.loads(result.stdout)["predictions"]
    assert (one["name"], one["target"]) == ("decode/behavior", "behavior")
    assert one["units"] == ["z-score"] * len(one["channels"])
    arrays = load_file(tmp_path / "a.safetensors")
    assert arrays["decode/behavior/predicted"].shape == (one["samples"], len(one["channels"]))
    assert (arrays["decode/behavior/std"] == 0).all()
    with safe_open(tmp_path / "a.safetensors", "np") as stored:
        assert json.loads(stored.metadata()["decode/behavior/channel"]) == one["channels"]


def test_without_out_the_file_lies_in_the_run(film, runs, tmp_path, key):
    run = shutil.copytree(runs[0], tmp_path / "run")
    result = invoke(run, "--video", film, "--session", key, "--format", "safetensors", "--quiet")
    assert result.exit_code == 0, result.output
    assert (run / "predict" / "film.safetensors").is_file()
    assert (run / "predict" / "film.json").is_file()


def test_behavior_needs_the_shard_that_scales_it(runs, film, tmp_path):
    behavior = tmp_path / "behavior.csv"
    behavior.write_text("time_seconds,running\n0,1\n")
    command = (runs[0], "--video", film, "--session", OTHER, "--out", tmp_path / "a.npz")
    message, _ = error_of(invoke(*command, "--behavior", behavior))
    assert "needs the shard of session" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "nothing to predict was named"),
        (("--video", "FILM", "--tier", "test"), "--tier belongs to recorded windows"),
        (("--video", "FILM", "--draws", "2"), "--draws belongs to recorded windows"),
        (("--tier", "test", "--fps", "30"), "--fps belongs to a movie"),
        (("--video", "nowhere.npy"), "nowhere.npy does not exist"),
        (("--video", "FILM", "--fps", "0"), "`fps` must be a positive number: 0"),
        (("--video", "FILM", "--fps", "-2.5"), "`fps` must be a positive number: -2.5"),
        (("--video", "FILM", "--session", "1-1-1"), "has no session 1-1-1"),
        (("--video", "FILM", "--animal", "mouse"), "has no animal mouse"),
        (("--video", "FILM", "--state", "asleep"), "there is no state of behavior 'asleep'"),
        (("--video", "FILM", "--before", "white"), "`before` must be grey, first or a grey level"),
        (("--video", "FILM", "--stride", "31"), "`stride_samples` must lie between 1 and 30: 31"),
        (("--video", "FILM", "--format", "csv"), "--format must be one of"),
        (("--video", "FILM", "--out", "a.csv"), "the name of a prediction ends in .npz"),
        (("--video", "FILM", "--out", "a.npz", "--format", "nwb"), "does not fit the name a.npz"),
        (("--video", "FILM", "--behavior", "nowhere.csv"), "nowhere.csv is not a file"),
        (("--tier", "final"), "no trial has tier final"),
        (("--regime", "forcast"), "there is no regime or strategy forcast"),
    ],
)
def test_bad_input_is_one_sentence_and_a_hint(runs, film, options, message, monkeypatch):
    tmp_path = film.parent
    monkeypatch.chdir(tmp_path)
    out = () if "--out" in options else ("--out", tmp_path / "out" / "a.npz")
    out = out if "--format" not in options else ()
    options = [film if option == "FILM" else option for option in options]
    found, _ = error_of(invoke(runs[0], *options, *out))
    assert message in found
    assert not list(tmp_path.glob("**/*.npz"))


def test_an_array_with_time_as_its_last_axis_is_refused(runs, tmp_path):
    np.save(tmp_path / "turned.npy", np.zeros((36, 64, 70), np.uint8))
    command = (runs[0], "--video", tmp_path / "turned.npy", "--out", tmp_path / "a.npz")
    message, hint = error_of(invoke(*command))
    assert "has the shape (36, 64, 70): the frames must be the first axis" in message
    assert hint.startswith("move the axis: np.moveaxis(video, -1, 0)")
    assert not (tmp_path / "a.npz").exists()


@pytest.mark.parametrize("ending", [".npz", ".nwb"])
def test_the_name_of_a_file_may_be_as_long_as_the_file_system_takes(
    runs, film, tmp_path, key, ending
):
    if ending == ".nwb":
        pytest.importorskip("pynwb")
    # The document beside it has the longest name, of 255 bytes.
    out = tmp_path / f"{'n' * 250}{ending}"
    result = invoke(runs[0], "--video", film, "--session", key, "--stride", 30, "--out", out)
    assert result.exit_code == 0, result.output
    assert out.is_file()


def test_sessions_without_a_screen_are_left_out(runs, film, tmp_path, small_mouse, monkeypatch):
    (info,) = small_mouse.sessions
    blind = replace(small_mouse, sessions=(replace(info, frame_shape=None),))
    monkeypatch.setattr(predict_job, "find_shards", lambda *_, **__: blind)
    command = (runs[0], "--video", film, "--stride", 30, "--out", tmp_path / "a.npz")
    result = invoke(*command)
    assert result.exit_code == 0, result.output
    assert f"sessions without a screen are left out: {info.key}" in result.stderr
    assert json.loads((tmp_path / "a.json").read_text())["session"] == OTHER
    message, _ = error_of(invoke(*command, "--force", "--session", info.key))
    assert message.startswith(f"session {info.key} has no screen")


def test_existing_files_are_kept_unless_forced(runs, film, tmp_path, key):
    command = (runs[0], "--video", film, "--session", key, "--out", tmp_path / "a.npz", "--quiet")
    (tmp_path / "a.json").write_text("mine")
    message, hint = error_of(invoke(*command))
    assert message == f"{tmp_path / 'a.json'} exists and is not overwritten"
    assert "--force" in hint
    assert (tmp_path / "a.json").read_text() == "mine"
    assert invoke(*command, "--force").exit_code == 0
    assert json.loads((tmp_path / "a.json").read_text())["session"] == key


def test_a_folder_that_cannot_be_written_is_named_before_work_is_done(
    runs, film, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(predict_job, "iterate_movie", None)
    message, _ = error_of(invoke(runs[0], "--video", film, "--out", tmp_path / "file" / "a.npz"))
    assert str(tmp_path / "file") in message


def test_an_interruption_leaves_nothing_half_written(runs, film, tmp_path, monkeypatch):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(predict_module.SessionModel, "predict_windows", stop)
    result = invoke(runs[0], "--video", film, "--out", tmp_path / "out" / "a.npz")
    assert result.exit_code == 130
    assert "nothing was written; run the same command again" in result.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_a_movie_in_nwb_is_valid(runs, film, tmp_path, key):
    pynwb = pytest.importorskip("pynwb")
    out = tmp_path / "a.nwb"
    result = invoke(runs[0], "--video", film, "--session", key, "--out", out)
    assert result.exit_code == 0, result.output
    assert not pynwb.validate(path=str(out))
    with pynwb.NWBHDF5IO(out, "r") as source:
        module = source.read().processing["predictions"]
        assert module["responses"].data.shape == (40, 12)
        assert module["responses"].rate == 30.0
        assert len(module["neurons"]) == 12


def read_nwb(pynwb, path):
    """Return the arrays of recorded windows in an NWB file, by their names in a `.npz` file."""
    arrays = {}
    with pynwb.NWBHDF5IO(path, "r") as source:
        file = source.read()
        for one in json.loads(file.notes)["predictions"]:
            module = file.processing[one["module"]]
            parts = {}
            for number, row in enumerate(module["windows"]["timeseries"][:]):
                for first, count, series in row:
                    assert (np.diff(series.timestamps[:]) > 0).all()
                    at = slice(first, first + count)
                    rest = series.name.removeprefix("predicted")
                    for kind in ("predicted", "measured", "std"):
                        if f"{kind}{rest}" in module.data_interfaces:
                            values = module[f"{kind}{rest}"].data[at]
                            parts.setdefault(f"{kind}{rest.removesuffix('#2')}", []).append(values)
                scored = module["scored#2" if rest.endswith("#2") else "scored"]
                parts.setdefault("scored", []).append(scored.data[at])
                parts.setdefault("time_seconds", []).append(series.timestamps[at])
                parts.setdefault("window", []).append(np.full(count, number))
            joined = {name: np.concatenate(values) for name, values in parts.items()}
            for channel in one["channels"] or ():
                for name in ("predicted", "measured", "std"):
                    if f"{name}_{channel}" in joined:
                        values = joined.pop(f"{name}_{channel}")[:, None]
                        before = joined.get(name, np.empty((len(values), 0), np.float32))
                        joined[name] = np.concatenate([before, values], axis=1)
            if one["channels"] is None:
                joined["neuron"] = module["columns"]["neuron"].data[:]
                assert module["predicted"].unit == one["units"]
            else:
                joined["channel"] = np.array(one["channels"])
                units = [module[f"predicted_{channel}"].unit for channel in one["channels"]]
                assert units == [unit or "unknown" for unit in one["units"]]
            arrays |= {f"{one['name']}/{name}": values for name, values in joined.items()}
    return arrays


@pytest.mark.parametrize("regime", ["population", "decode"])
def test_recorded_windows_in_nwb_are_valid_and_complete(runs, tmp_path, key, regime, small_mouse):
    pynwb = pytest.importorskip("pynwb")
    # Windows of `decode` overlap.
    chosen = runs if regime == "decode" else runs[:1]
    common = ("--tier", "test", "--regime", regime, "--session", key, "--draws", 2, "--quiet")
    for name in ("a.npz", "b.nwb"):
        result = invoke(*chosen, *common, "--out", tmp_path / name)
        assert result.exit_code == 0, result.output
    assert not pynwb.validate(path=str(tmp_path / "b.nwb"))
    found = read_nwb(pynwb, tmp_path / "b.nwb")
    with np.load(tmp_path / "a.npz") as arrays:
        expected = {name: arrays[name] for name in arrays if "/" in name}
        ids = arrays["unit_id"]
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
    with pynwb.NWBHDF5IO(tmp_path / "b.nwb", "r") as source:
        file = source.read()
        np.testing.assert_array_equal(
            file.processing["predictions"]["neurons"]["unit_id"].data[:], ids
        )
        origin = small_mouse.sessions[0].shard.description.origin_seconds
        assert file.session_start_time.timestamp() == pytest.approx(origin)
    document = json.loads((tmp_path / "b.json").read_text())
    assert "windows that overlap" in document["layout"]
