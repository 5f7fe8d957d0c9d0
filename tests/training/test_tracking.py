"""Experiment trackers hold the numbers of metrics.jsonl, each step once, over kills and resumes."""

import math
import struct
import time

import pytest

from omnimouse_cli.config.load import load_config
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import read_document
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.metrics_log import MetricsLog, Progress, Rates, StepMetrics, read_metrics
from omnimouse_cli.training import trackers, tracking
from omnimouse_cli.training.tracking import track_run, tracked_values
from tests.reporter import MessageReporter

CONFIG = load_config()


def progress(step):
    return Progress(step=step, epoch=step / 10, windows=8 * step, tokens=100 * step)


def step_metrics(step):
    return StepMetrics(
        progress=progress(step), loss=1 / step, losses={"neural": 1 / step, "behavior": None},
        learning_rate=1e-3, gradient_norm=math.inf,
        rates=Rates(
            windows_per_second=3.0, tokens_per_second=300.0, flops_per_second=None, mfu=None,
            wait_seconds=0.25, validation_seconds=0.0, checkpoint_seconds=0.0,
            peak_memory_bytes=2**30, peak_reserved_bytes=None,
        ),
        strategy="forecast", shortcuts_only=False,
    )  # fmt: skip


def records(step):
    common = {"target": "neurons", "metric": "loss", "predictor": "model"}
    for strategy, value in (("predict", 2.0 / step), ("forecast", 4.0 / step)):
        for session in ("1-1-1", "overall"):
            yield {"strategy": strategy, "session": session, "value": value, **common}


class Killed(Exception):  # noqa: N818 - no error of ours
    """Stands for a process that was killed."""


def train(run, name, first, last, *, reporter=None, kill=False):
    """Log steps `first` to `last`, and a validation at every fourth, as a training does."""
    log = MetricsLog(run, step=first - 1)
    names = [name] if name else []
    with track_run(log, run, CONFIG, names, reporter or Silent()):
        for step in range(first, last + 1):
            log.log_step(step_metrics(step))
            if step % 4 == 0:
                log.log_validation(progress(step), list(records(step)))
        if kill:
            raise Killed


def train_with_a_kill(run, name):
    """Steps 1 to 6 until a kill, the checkpoint of step 3, steps 4 to 8."""
    with pytest.raises(Killed):
        train(run, name, 1, 6, kill=True)
    train(run, None, 4, 8)


def expected(run):
    """Return the numbers of metrics.jsonl by step."""
    merged = {}
    for step, values in tracked_values(read_metrics(run), set()):
        merged.setdefault(step, {}).update(values)
    return merged


class Kept:
    """A tracker that keeps what it gets; every opening begins anew, as those of libraries do."""

    opened: list = []  # noqa: RUF012 - cleared by the fixture

    def __init__(self, run):
        self.view = "less points"
        self.run, self.points, self.is_closed = run, [], False
        Kept.opened.append(self)

    def log(self, step, values):
        self.points.append((step, dict(values)))

    def close(self):
        self.is_closed = True


@pytest.fixture
def kept(monkeypatch):
    Kept.opened = []
    monkeypatch.setitem(trackers.TRACKERS, "json", Kept)
    return Kept.opened


def test_after_a_kill_and_a_resume_every_step_is_there_once_with_its_numbers(kept, tmp_path):
    train_with_a_kill(tmp_path, "json")
    first, second = kept
    assert (
        first.run.id == second.run.id == read_document(tmp_path / "tracking.json", "tracking")["id"]
    )
    assert [step for step, _ in second.points] == [1, 2, 3, 4, 4, 5, 6, 7, 8, 8]
    merged = {}
    for step, values in second.points:
        merged.setdefault(step, {}).update(values)
    assert merged == expected(tmp_path)
    assert merged[8]["training/losses/neural"] == 1 / 8
    assert merged[8]["validation/forecast/neurons/loss"] == 0.5
    assert merged[8]["validation/neural_loss"] == 0.375
    # Infinite and missing numbers are no points.
    assert not {"training/gradient_norm", "training/losses/behavior"} & set(merged[8])
    assert first.is_closed
    assert second.is_closed


def test_a_validation_that_is_repeated_at_the_end_is_there_once(kept, tmp_path):
    train(tmp_path, "json", 1, 4)
    log = MetricsLog(tmp_path, step=4)
    with track_run(log, tmp_path, CONFIG, (), Silent()):
        log.log_validation(progress(4), list(records(4)))
    assert [step for step, _ in kept[1].points] == [1, 2, 3, 4, 4]


def test_none_ends_the_tracking_of_a_run(kept, tmp_path):
    train(tmp_path, "json", 1, 2)
    train(tmp_path, "none", 3, 3)
    train(tmp_path, None, 4, 4)
    assert len(kept) == 1


def test_a_tracker_that_fails_is_named_and_the_training_goes_on(monkeypatch, tmp_path):
    class Broken(Kept):
        def log(self, *_):
            raise RuntimeError("no space in the sky")

    monkeypatch.setitem(trackers.TRACKERS, "json", Broken)
    reporter = MessageReporter()
    train(tmp_path, "json", 1, 3, reporter=reporter)
    (warning,) = reporter.warnings
    assert "json has failed" in warning
    assert "no space in the sky" in warning
    assert len(read_metrics(tmp_path)) == 3


def test_a_resume_where_the_library_is_missing_goes_on_with_a_warning(kept, monkeypatch, tmp_path):
    train(tmp_path, "json", 1, 2)
    monkeypatch.setattr(tracking, "is_installed", lambda _name: False)
    reporter = MessageReporter()
    train(tmp_path, None, 3, 3, reporter=reporter)
    assert "pip install 'omnimouse[json]'" in reporter.warnings[0]


def test_unknown_trackers_and_missing_libraries_are_refused(monkeypatch):
    with pytest.raises(OmniMouseError, match="--track must be") as unknown:
        trackers.require_trackers(["tensorbord"])
    assert unknown.value.hint == "did you mean `tensorboard`?"
    monkeypatch.setattr(trackers, "is_installed", lambda _name: False)
    with pytest.raises(OmniMouseError, match="wandb, which is not installed") as missing:
        trackers.require_trackers(["wandb"])
    assert missing.value.hint == "install the extra: pip install 'omnimouse[wandb]'"
    trackers.require_trackers(["none"])


@pytest.mark.filterwarnings("ignore")
def test_event_files_of_tensorboard_have_the_numbers_of_the_log(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train_with_a_kill(tmp_path, "tensorboard")
    read = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    found = {}
    for name in read.Tags()["scalars"]:
        for event in read.Scalars(name):
            assert name not in found.setdefault(event.step, {})
            found[event.step][name] = event.value
    wanted = expected(tmp_path)
    assert {step: set(values) for step, values in found.items()} == {
        step: set(values) for step, values in wanted.items()
    }
    for step, values in wanted.items():
        assert found[step] == pytest.approx(values, rel=1e-6)
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1


@pytest.mark.filterwarnings("ignore")
def test_offline_runs_of_wandb_have_the_numbers_of_the_log(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    import json

    from wandb.proto.wandb_internal_pb2 import Record

    monkeypatch.delenv("WANDB_MODE", raising=False)
    train_with_a_kill(tmp_path, "wandb")
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    identity = read_document(tmp_path / "tracking.json", "tracking")["id"]
    assert folder.name.endswith(identity)
    kept = []
    # The process of wandb that writes the file ends after ours has closed the run.
    for _ in range(300):
        data = (folder / f"run-{identity}.wandb").read_bytes()
        kept = [Record.FromString(one) for one in leveldb_records(data)]
        if kept and kept[-1].HasField("exit"):
            break
        time.sleep(0.1)
    found = {}
    for record in kept:
        if not record.HasField("history"):
            continue
        items = record.history.item
        row = {"/".join(one.nested_key) or one.key: json.loads(one.value_json) for one in items}
        assert row["_step"] not in found
        found[row["_step"]] = {name: v for name, v in row.items() if not name.startswith("_")}
    assert found == expected(tmp_path)


def leveldb_records(data, block_bytes=32768, header_bytes=7):
    """Yield the records of a log in LevelDB's format, in which wandb keeps a run."""
    position, parts = header_bytes, []
    while position + 7 <= len(data):
        if block_bytes - position % block_bytes < 7:
            position += block_bytes - position % block_bytes
            continue
        length, kind = struct.unpack("<HB", data[position + 4 : position + 7])
        parts.append(data[position + 7 : position + 7 + length])
        position += 7 + length
        # Whole records and last parts.
        if kind in (1, 4):
            yield b"".join(parts)
            parts = []


@pytest.mark.filterwarnings("ignore")
def test_trackio_has_the_numbers_of_the_log(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    trackio = pytest.importorskip("trackio")
    from trackio.sqlite_storage import SQLiteStorage

    train_with_a_kill(tmp_path, "trackio")
    (run,) = trackio.Api().runs(trackers.PROJECT)
    identity = read_document(tmp_path / "tracking.json", "tracking")["id"]
    assert run.name.endswith(identity)
    found = {}
    for row in SQLiteStorage.get_logs(trackers.PROJECT, run.name):
        values = {name: v for name, v in row.items() if "/" in name}
        assert not set(values) & set(found.setdefault(row["step"], {}))
        found[row["step"]] |= values
    assert found == expected(tmp_path)
    assert capsys.readouterr().out == ""
