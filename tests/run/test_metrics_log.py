"""metrics.jsonl: its fields, and the lines that stay when training goes on from a checkpoint."""

import json
import math
from pathlib import Path

import pytest

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.run.metrics_log import MetricsLog, Progress, Rates, StepMetrics, read_metrics


def _line(step: int, loss: float | None = 0.5) -> StepMetrics:
    return StepMetrics(
        progress=Progress(step=step, epoch=step / 10, windows=8 * step, tokens=100 * step),
        loss=loss,
        losses={"neural": loss, "behavior": None},
        learning_rate=1e-3,
        gradient_norm=math.inf,
        rates=Rates(
            windows_per_second=3.0,
            tokens_per_second=300.0,
            flops_per_second=1e12,
            mfu=None,
            wait_seconds=0.25,
            validation_seconds=0.0,
            checkpoint_seconds=0.5,
            peak_memory_bytes=2**30,
            peak_reserved_bytes=None,
        ),
        strategy="forecast",
        shortcuts_only=False,
    )


def test_a_step_has_the_fields_of_the_contract(tmp_path: Path):
    log = MetricsLog(tmp_path, step=0)
    log.log_step(_line(1))
    (line,) = read_metrics(tmp_path)
    assert line == {
        "step": 1,
        "epoch": 0.1,
        "windows": 8,
        "tokens": 100,
        "loss": 0.5,
        "losses": {"neural": 0.5, "behavior": None},
        "learning_rate": 1e-3,
        "gradient_norm": None,
        "windows_per_second": 3.0,
        "tokens_per_second": 300.0,
        "flops_per_second": 1e12,
        "mfu": None,
        "wait_seconds": 0.25,
        "validation_seconds": 0.0,
        "checkpoint_seconds": 0.5,
        "peak_memory_bytes": 2**30,
        "peak_reserved_bytes": None,
        "strategy": "forecast",
        "shortcuts_only": False,
    }


def test_a_validation_has_a_line_for_each_record(tmp_path: Path):
    records = [{"strategy": "predict", "value": 1.0}, {"strategy": "forecast", "value": 2.0}]
    log = MetricsLog(tmp_path, step=0)
    log.log_validation(Progress(step=4, epoch=0.4, windows=32, tokens=400), records)
    lines = read_metrics(tmp_path)
    assert [line["validation"] for line in lines] == records
    assert {line["step"] for line in lines} == {4}


def test_lines_after_the_checkpoint_are_dropped_when_training_goes_on(tmp_path: Path):
    log = MetricsLog(tmp_path, step=0)
    for step in (1, 2, 3, 4):
        log.log_step(_line(step))
    log = MetricsLog(tmp_path, step=2)
    log.log_step(_line(3, loss=0.25))
    lines = read_metrics(tmp_path)
    assert [(line["step"], line["loss"]) for line in lines] == [(1, 0.5), (2, 0.5), (3, 0.25)]


def test_a_line_that_a_kill_cut_short_is_dropped(tmp_path: Path):
    log = MetricsLog(tmp_path, step=0)
    log.log_step(_line(1))
    path = tmp_path / "metrics.jsonl"
    whole = path.read_text()
    path.write_text(whole + whole[: len(whole) // 2])
    assert [line["step"] for line in read_metrics(tmp_path)] == [1]
    log = MetricsLog(tmp_path, step=9)
    log.log_step(_line(2))
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2]


def test_a_loss_that_nothing_asked_for_is_null(tmp_path: Path):
    log = MetricsLog(tmp_path, step=0)
    log.log_step(_line(1, loss=None))
    assert read_metrics(tmp_path)[0]["loss"] is None


@pytest.mark.parametrize("end", [b"\x00" * 64, b'{"step": 2, "lo', b"[1]", b'{"loss": 1.0}'])
def test_a_damaged_last_line_is_dropped(tmp_path: Path, end: bytes):
    log = MetricsLog(tmp_path, step=0)
    log.log_step(_line(1))
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes() + end + b"\n")
    assert [line["step"] for line in read_metrics(tmp_path)] == [1]


def test_a_damaged_line_before_the_last_is_named(tmp_path: Path):
    log = MetricsLog(tmp_path, step=0)
    log.log_step(_line(1))
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"{\n" + path.read_bytes())
    with pytest.raises(OmniMouseError, match=r"line 1 of .*metrics\.jsonl is damaged"):
        read_metrics(tmp_path)
