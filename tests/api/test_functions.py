"""The functions of the package: results, quiet by default, errors of the commands as exceptions."""

import shutil

import numpy as np
import pytest

import omnimouse_cli as om
from omnimouse_cli.api import progress
from omnimouse_cli.api.progress import choose_reporter
from omnimouse_cli.reporter import Silent


@pytest.fixture
def work(api_folder, tmp_path, monkeypatch):
    """A copy of the working folder."""
    folder = shutil.copytree(api_folder, tmp_path / "work")
    monkeypatch.chdir(folder)
    return folder


def test_recordings_become_shards_in_silence(work, capsys):
    done = om.preprocess(out="other", dtype="float32")
    assert capsys.readouterr() == ("", "")
    assert (done.written, done.kept, done.failed) == (("20001-1-1",), (), ())
    assert (done.sessions[0].dtype, done.recordings[0].format) == ("F32", "experanto")
    assert om.preprocess(out="other", dtype="float32", progress=True).kept == ("20001-1-1",)
    assert "taking recordings/ (default)" in capsys.readouterr().err
    session = om.open_shards(done.shards)["20001-1-1"]
    np.testing.assert_allclose(
        om.open_shards()["20001-1-1"].responses(20, 21), session.responses(20, 21), atol=1e-2
    )


def test_a_recording_that_cannot_be_used_raises_after_the_others(work):
    shutil.copytree(work / "recordings/20001-1-1", work / "recordings/broken")
    (work / "recordings/broken/responses/meta.yml").write_text("modality: sequence\n")
    with pytest.raises(om.OmniMouseError, match="broken"):
        om.preprocess("recordings", out="other")
    assert list(om.open_shards("other")) == ["20001-1-1"]


def test_an_evaluation_has_scores_by_name(work):
    found = om.evaluate(regime="forecast", tier="validation", baselines=["persistence"])
    names = ["eval.json", "neurons.npz", "neurons.csv", "traces.npz", "resamples.npz", "eval.png"]
    assert [path.name for path in found.files] == names
    records = {
        (one.strategy, one.predictor): one.value
        for one in found.evaluation.records
        if (one.metric, one.target) == ("single_trial_correlation", "neurons")
    }
    assert found.score("forecast") == records["forecast", "model"]
    persistence = records["forecast", "persistence"]
    assert found.score("forecast", predictor="persistence") == persistence
    with pytest.raises(om.OmniMouseError, match="has no single_trial_correlation of gaze by model"):
        found.score("forecast", target="gaze")


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("preprocess", {"dtype": "int8"}, "`dtype` must be one of float16, bfloat16, float32"),
        ("preprocess", {"split": "random"}, "`split` must be one of auto"),
        ("preprocess", {"jobs": 0}, "`jobs` must be a whole number of at least 1: 0"),
        ("preprocess", {"recordings": "nothing"}, "nothing"),
        ("train", {"steps": 1, "minutes": 1}, "only one of --steps, --epochs and --minutes"),
        ("train", {"steps": 0}, "`steps` must be a whole number of at least 1: 0"),
        ("train", {"model": "mini"}, "there is no model size 'mini'"),
        ("train", {"set": {"model.layerz": 1}}, "layerz"),
        ("train", {"set": ["model.layers=0"]}, "layers"),
        ("train", {"sessions": ["20001-9-9"], "steps": 1}, "shards has no session 20001-9-9"),
        ("train", {"out": "runs/demo"}, "runs/demo exists already: it is a finished run"),
        ("train", {"gpus": 99}, "99 GPUs were requested"),
        ("evaluate", {"run": "none"}, "none is not a run folder"),
        ("evaluate", {"regime": "forcast"}, "there is no regime or strategy forcast"),
        ("evaluate", {"stride": 0}, "`stride_samples` must be positive: 0"),
        ("evaluate", {"name": "a/b"}, "must be that of a single folder: 'a/b'"),
        ("probe", {"directions": 3}, "`directions` must be even and at least 4: 3"),
        ("probe", {"session": "20001-9-9"}, "runs/demo has no session 20001-9-9"),
        ("most_exciting", {"neurons": "worst:3"}, "neither a list of columns nor best:N"),
        ("most_exciting", {"kind": "sound"}, "kind"),
        ("scaling_report", {"runs": "runs", "table": "x.csv"}, "give `runs` or `table`, not both"),
        ("scaling_report", {"columns": {"loss": "a"}}, "`columns` goes with `table`"),
        ("scaling_report", {"where": "split"}, "--where takes column==value"),
        ("simulate", {"out": "new", "neurons": 0}, "`neurons` must be at least 1: 0"),
        ("simulate", {"out": "new", "sessions": 1, "animals": 2}, "`animals` must not exceed"),
    ],
)
def test_bad_input_raises_the_sentence_of_the_command(work, function, arguments, message):
    before = sorted(path.name for path in work.rglob("*"))
    with pytest.raises(om.OmniMouseError, match=message):
        getattr(om, function)(**arguments)
    assert sorted(path.name for path in work.rglob("*")) == before


def test_an_interruption_says_what_was_kept(work, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("omnimouse_cli.evaluation.evaluate.evaluate", interrupt)
    with pytest.raises(KeyboardInterrupt, match="nothing was written for runs/demo"):
        om.evaluate("runs/demo")


@pytest.mark.parametrize(
    ("function", "work_of_it"), [("most_exciting", "mei.most_exciting"), ("probe", "probe.probe")]
)
def test_an_interruption_before_any_file_says_so(work, monkeypatch, function, work_of_it):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"omnimouse_cli.probing.{work_of_it}", interrupt)
    before = sorted(work.rglob("*"))
    with pytest.raises(KeyboardInterrupt, match="nothing was written; run the same"):
        getattr(om, function)("runs/demo", neurons=[0], progress=Silent())
    assert sorted(work.rglob("*")) == before


def test_a_loaded_run_keeps_its_shards_and_device(work):
    run = om.load_run("runs/demo", device="cpu")
    with pytest.raises(om.OmniMouseError, match="the run is loaded already"):
        om.probe(run, device="cpu")


def test_progress_writes_a_line_every_ten_seconds(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    reporter = choose_reporter(True)
    reporter.start("training", 1.0)
    for second in range(21):
        now[0] = float(second)
        reporter.advance("training", 0.04, note="loss 0.5")
    reporter.say("done")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "training: 44 %, 14 s left · loss 0.5",
        "training: 84 %, 4 s left · loss 0.5",
        "done",
    ]


def test_without_a_terminal_a_line_appears_every_minute_and_later_every_five(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    lines = progress.ProgressLines()
    lines.start("training", 1.0)
    # A training that is continued at half of its length.
    lines.advance("training", 0.5, "")
    minutes = []
    for now[0] in range(1, 1801):
        line = lines.advance("training", 0.25 / 1800, "step 3")
        if line is not None:
            minutes.append(now[0] / 60)
            last = line
    assert minutes == [*range(1, 11), 15, 20, 25, 30]
    assert last == "training: 75 %, 30 min left · step 3"


@pytest.mark.parametrize("shows", [True, False])
def test_warnings_are_those_of_python(shows):
    with pytest.warns(UserWarning, match="no shards were found"):
        choose_reporter(shows).warn("no shards were found")
