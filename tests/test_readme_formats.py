"""Every command in the README's table of raw formats runs, on the least files of its format."""

import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from omnimouse_cli.recording.simulated.settings import SimulationConfig
from omnimouse_cli.recording.simulated.simulation import simulate
from omnimouse_cli.reporter import Silent

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()
TABLE = README.split("## What can be read")[1].split("\n## ")[0]
COMMANDS = re.findall(r"^\|.*\| `(omnimouse preprocess [^`]+)`.* \|", TABLE, flags=re.MULTILINE)
(RECIPE,) = re.findall(r"```python\n(.*?)```", TABLE, flags=re.DOTALL)

RATE_HZ = 7.5
RESPONSES = np.random.default_rng(0).gamma(0.5, 1.0, (900, 4)).astype(np.float32)


def write_nwb(root) -> None:
    """Write a response series of deconvolved activity; `root` is a group of h5py or of zarr."""
    root.attrs.update({"nwb_version": "2.7.0", "neurodata_type": "NWBFile"})
    container = root.require_group("processing/ophys/Deconvolved")
    container.attrs["neurodata_type"] = "Fluorescence"
    series = container.require_group("Deconvolved")
    series.attrs["neurodata_type"] = "RoiResponseSeries"
    arrays = {
        "session_start_time": np.bytes_("2024-03-05T10:00:00+00:00"),
        "general/session_id": np.bytes_("s1"),
        "general/subject/subject_id": np.bytes_("m1"),
        "processing/ophys/Deconvolved/Deconvolved/data": RESPONSES,
        "processing/ophys/Deconvolved/Deconvolved/timestamps": np.arange(900) / RATE_HZ,
    }
    for name, values in arrays.items():
        group, _, leaf = name.rpartition("/")
        parent = root.require_group(group) if group else root
        create = getattr(parent, "create_array", None) or parent.create_dataset
        create(leaf, data=np.asarray(values))


def write_zip(path: Path, variable: str, num_trials: int) -> None:
    """Write a Sensorium set: videos `(height, width, time)`, or images and one value each."""
    rng = np.random.default_rng(1)
    length = (70,) if variable == "videos" else ()
    arrays = {
        "meta/trials/tiers.npy": np.array(["train", "oracle"] * (num_trials // 2)),
        "meta/neurons/unit_ids.npy": np.arange(4),
    }
    shape = (9, 16, 70) if variable == "videos" else (1, 9, 16)
    for trial in range(num_trials):
        arrays[f"data/{variable}/{trial}.npy"] = rng.integers(0, 256, shape).astype(np.uint8)
        arrays[f"data/responses/{trial}.npy"] = rng.gamma(0.5, 1.0, (4, *length))
    with zipfile.ZipFile(path, "w") as archive:
        for name, values in arrays.items():
            with archive.open(f"set/{name}", "w") as file:
                np.lib.format.write_array(file, values)


@pytest.fixture
def recordings(tmp_path):
    """A working folder with the paths that the table's commands name."""
    h5py, zarr = pytest.importorskip("h5py"), pytest.importorskip("zarr")
    config = SimulationConfig(sessions=1, neurons=8, minutes=2)
    (session,) = simulate(tmp_path / "simulated", config, reporter=Silent())
    session.path.rename(tmp_path / "session")
    with h5py.File(tmp_path / "session.nwb", "w") as file:
        write_nwb(file)
    write_nwb(zarr.open_group(tmp_path / "session.nwb.zarr", mode="w", zarr_format=2))
    write_zip(tmp_path / "dynamic.zip", "videos", 4)
    write_zip(tmp_path / "static.zip", "images", 8)
    plane = tmp_path / "suite2p" / "plane0"
    plane.mkdir(parents=True)
    np.save(plane / "spks.npy", RESPONSES.T)
    np.save(plane / "iscell.npy", np.ones((4, 2)))
    subprocess.run([sys.executable, "-c", RECIPE], cwd=tmp_path, check=True)
    return tmp_path


@pytest.mark.slow
def test_every_command_of_the_table_converts_a_recording(recordings):
    assert len(COMMANDS) == 7
    for number, command in enumerate(COMMANDS):
        arguments = [*shlex.split(command)[1:], "--out", f"shards{number}"]
        done = subprocess.run(
            [sys.executable, "-m", "omnimouse_cli", *arguments],
            cwd=recordings,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert len(list((recordings / f"shards{number}").glob("*.safetensors"))) == 1, command
