"""The examples run, and say what they promise."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.training

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(name, *arguments, folder):
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_scaling_law_is_found_and_a_corner_of_the_grid_is_refused(tmp_path, monkeypatch, capsys):
    source = (EXAMPLES / "scaling_law.py").read_text()
    assert "num_resamples=1000" in source
    shorter = source.replace("num_resamples=1000", "num_resamples=100")
    # The example writes its reports into a new temporary folder.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    exec(compile(shorter, "scaling_law.py", "exec"), {"__name__": "__main__"})
    assert list(tmp_path.glob("*/*/report.html"))
    output = capsys.readouterr().out
    assert "whole grid: data-limited" in output
    assert "a corner of it: undetermined" in output
    assert "to run: N = " in output


@pytest.mark.slow
def test_a_shard_is_read_without_omnimouse(tmp_path):
    output = run("read_a_shard.py", folder=tmp_path)
    assert "40 neurons, 4.0 minutes" in output
    assert "(60, 40)" in output
    assert "video: (60, 36, 64) of uint8" in output
    assert "running: " in output


def test_a_folder_of_arrays_is_written_and_converted(tmp_path):
    output = run("write_arrays.py", "mouse7-1", folder=tmp_path)
    assert "1 written" in output
    assert (tmp_path / "shards/mouse7-1.safetensors").is_file()
    again = subprocess.run(
        [sys.executable, "-m", "omnimouse_cli", "preprocess", "mouse7-1"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert "1 up to date" in again.stdout
