"""Fixtures of all tests: where real recordings are, and small recordings of every kind."""

import importlib.util
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.reporter import Silent
from omnimouse_cli.shard.preprocess import PreprocessOptions, preprocess
from tests.forked import forked_process

# Files that take most time, the longest first, so that workers end together.
LONGEST_FILES = (
    "test_null_device.py", "test_guard.py", "test_notebooks.py", "test_train.py", "test_compile.py",
    "test_readme.py", "test_benchmarks.py", "test_docs.py", "test_sweep.py", "test_evaluate.py",
    "test_eval.py", "test_launch.py", "test_resume.py", "test_benchmark.py",
    "test_small_recordings.py", "test_signals.py", "test_app.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest files first, then others with slow tests; the order in files stays."""
    has_slow = {item.path for item in items if item.get_closest_marker("slow")}

    def place(item: pytest.Item) -> tuple[int, bool]:
        names, name = LONGEST_FILES, item.path.name
        return names.index(name) if name in names else len(names), item.path not in has_slow

    items.sort(key=place)


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_is_handled() -> None:
    """Background jobs of a shell ignore SIGINT, and the processes of tests would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _predictions_are_kept_in_a_folder_of_the_tests(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Commands that tests run would keep predictions of baselines in the user's cache."""
    os.environ["OMNIMOUSE_BASELINES"] = str(tmp_path_factory.mktemp("baselines"))


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """The folder of real data beside the repository, or the one OMNIMOUSE_SHARED names."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    return Path(os.environ.get("OMNIMOUSE_SHARED", beside))


@pytest.fixture(scope="session")
def allen_recording(shared_folder: Path) -> Path:
    """The drifting-grating recording of real mouse V1; skips where it is absent."""
    path = shared_folder / "data" / "recordings" / "allen-v1-drifting-gratings"
    if not path.is_dir():
        pytest.skip(f"{path} is not here")
    return path


class ExperantoBuilder:
    """Writes small experanto session folders; every argument has a value that makes a good one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self,
        name: str = "100-1-1",
        *,
        data_key: str | None = None,
        seed: int = 0,
        start: float = 1_600_000_000.25,
        seconds: float = 30.0,
        neurons: int = 6,
        rate_hz: float = 30.0,
        responses: NDArray[Any] | None = None,
        dtype: str = "float32",
        storage: str = "mem",
        responses_start: float = 2.0,
        eye_tracker: bool = True,
        treadmill: bool = True,
        behavior_start: float = -1.5,
        trials: Sequence[Mapping[str, Any]] | None = None,
        frame_size: tuple[int, int] = (9, 16),
        combined: bool = True,
        ymls: bool = True,
    ) -> Path:
        """Write `folder/name` and return it.

        Responses start `responses_start` seconds after the screen, eye tracker (20 Hz) and
        treadmill (100 Hz) `behavior_start` seconds; all end near `seconds`. `trials` are the fields
        of each trial plus `seconds` (how long a single frame is held) or `frames` (its array).
        """
        session = self.folder / name
        rng = np.random.default_rng(seed)
        _dump_json(session / "meta.json", {"data_key": data_key or name})
        if responses is None:
            rows = round((seconds - responses_start) * rate_hz)
            responses = rng.gamma(0.5, 2.0, (rows, neurons))
        self.sequence(
            session / "responses",
            np.asarray(responses).astype(dtype),
            start=start + responses_start,
            rate_hz=rate_hz,
            storage=storage,
        )
        ids = np.arange(len(responses[0]), dtype=np.int64) + 10
        np.save(session / "responses/meta/unit_ids.npy", ids)
        np.save(
            session / "responses/meta/cell_motor_coordinates.npy",
            rng.uniform(-500, 500, (ids.size, 3)),
        )
        devices = {"eye_tracker": (eye_tracker, 20.0, 4), "treadmill": (treadmill, 100.0, 1)}
        for device, (wanted, device_rate_hz, columns) in devices.items():
            rows = round((seconds - behavior_start) * device_rate_hz)
            values = rng.normal(2.0, 1.0, (rows, columns))
            if device == "eye_tracker":
                values[:, 3] = np.gradient(values[:, 2])
            if wanted:
                self.sequence(
                    session / device,
                    values,
                    start=start + behavior_start,
                    rate_hz=device_rate_hz,
                    storage=storage,
                )
        if trials is None:
            trials = default_trials(seconds, frame_size)
        self.screen(
            session / "screen",
            trials,
            rng=rng,
            start=start,
            frame_size=frame_size,
            combined=combined,
            ymls=ymls,
        )
        return session

    def sequence(
        self,
        folder: Path,
        values: NDArray[Any],
        *,
        start: float,
        rate_hz: float,
        storage: str = "mem",
        **fields: Any,
    ) -> Path:
        """Write a sequence device; `fields` replace those of meta.yml, None removes one."""
        (folder / "meta").mkdir(parents=True, exist_ok=True)
        if storage == "mem":
            values.tofile(folder / "data.mem")
        else:
            np.save(folder / "data.npy", values)
        clean = values.astype(np.float64)
        np.save(folder / "meta/means.npy", np.nanmean(clean, axis=0, keepdims=True))
        np.save(folder / "meta/stds.npy", np.nanstd(clean, axis=0, keepdims=True))
        meta = {
            "modality": "sequence",
            "start_time": start,
            "end_time": start + (len(values) - 1) / rate_hz,
            "sampling_rate": rate_hz,
            "n_signals": values.shape[1],
            "n_timestamps": len(values),
            "dtype": values.dtype.name,
            "is_mem_mapped": storage == "mem",
            "phase_shift_per_signal": False,
            **fields,
        }
        kept = {key: value for key, value in meta.items() if value is not None}
        (folder / "meta.yml").write_text(yaml.safe_dump(kept))
        return folder

    def screen(
        self,
        folder: Path,
        trials: Sequence[Mapping[str, Any]],
        *,
        rng: np.random.Generator,
        start: float,
        frame_size: tuple[int, int] = (9, 16),
        combined: bool = True,
        ymls: bool = True,
    ) -> Path:
        """Write a screen: frames at 30 Hz, `combined_meta.json` and `meta/NNNNN.yml` if wanted."""
        for part in ("meta", "data"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        flips: list[float] = []
        metas: dict[str, Any] = {}
        now = start
        for number, trial in enumerate(trials):
            fields = {"image_size": list(frame_size), "first_frame_idx": len(flips), **trial}
            held = fields.pop("seconds", 0.5)
            frames = fields.pop("frames", None)
            num_frames = fields.get("num_frames", 1) if fields["modality"] == "video" else 1
            if frames is None:
                shape = (num_frames, *frame_size) if fields["modality"] == "video" else frame_size
                frames = rng.integers(0, 256, shape, dtype=np.uint8)
            if fields["modality"] in ("video", "image"):
                np.save(folder / f"data/{number:05d}.npy", frames)
            times = now + np.arange(num_frames) / 30
            now += num_frames / 30 if fields["modality"] == "video" else held
            flips.extend(times.tolist())
            metas[f"{number:05d}"] = fields
        (folder / "meta.yml").write_text("modality: screen\n")
        np.save(folder / "timestamps.npy", np.array(flips))
        if combined:
            _dump_json(folder / "combined_meta.json", metas)
        for number, fields in metas.items() if ymls else ():
            (folder / f"meta/{number}.yml").write_text(yaml.safe_dump(fields))
        return folder


def default_trials(seconds: float, frame_size: tuple[int, int] = (9, 16)) -> list[dict[str, Any]]:
    """Trials of about `seconds`: every tier, a repeated oracle, an image, a blank, an INVALID."""
    repeated = np.random.default_rng(99).integers(0, 256, (60, *frame_size), dtype=np.uint8)
    clip = {"modality": "video", "num_frames": 60, "valid_trial": True}
    cycle: list[dict[str, Any]] = [
        {**clip, "tier": "train"},
        {"modality": "blank", "interleave_value": 127, "seconds": 0.4},
        {**clip, "tier": "train"},
        {**clip, "tier": "validation"},
        {"modality": "image", "tier": "train", "valid_trial": True, "seconds": 0.5},
        {**clip, "tier": "oracle", "frames": repeated},
        {"modality": "INVALID", "interleave_value": 0, "seconds": 1.0},
        {**clip, "tier": "test"},
        {**clip, "tier": "train"},
    ]
    trials: list[dict[str, Any]] = []
    total = 0.0
    while total < seconds:
        trials.append(cycle[len(trials) % len(cycle)])
        total += trials[-1].get("num_frames", 0) / 30 or trials[-1]["seconds"]
    return trials


def _dump_json(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture
def experanto_session(tmp_path: Path) -> ExperantoBuilder:
    """A factory of small experanto sessions below `tmp_path/recordings`."""
    return ExperantoBuilder(tmp_path / "recordings")


@pytest.fixture
def home(experanto_session, tmp_path, monkeypatch) -> Path:
    """A working folder with shards of two sessions."""
    recordings = [
        open_recording(experanto_session(name, neurons=5, seconds=40.0, seed=seed))
        for seed, name in enumerate(("100-1-1", "200-1-1"))
    ]
    home = tmp_path / "home"
    preprocess(recordings, home / "shards", PreprocessOptions(), Silent())
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def forked_ranks(monkeypatch) -> None:
    """Ranks come from the server of processes; what starts them otherwise is tested elsewhere."""
    context = SimpleNamespace(Process=forked_process)
    monkeypatch.setattr(multiprocessing, "get_context", lambda _method: context)


@pytest.fixture(scope="session")
def published_layout():
    """The writer of checkpoints as the published code writes them."""
    return load_helper("published/published_layout.py")


@pytest.fixture(scope="session")
def published_equations():
    """The published model in plain NumPy."""
    return load_helper("published/published_equations.py")


@pytest.fixture(scope="session")
def write_run():
    """The writer of runs with random weights."""
    return load_helper("run/runs.py").write_run


@pytest.fixture(scope="session")
def write_nwb():
    """The writer of a small NWB file into a group of h5py or zarr."""
    return load_helper("test_readme_formats.py").write_nwb


@pytest.fixture(scope="session")
def small_mouse(tmp_path_factory):
    """A data set of one session of a simulated mouse, 12 neurons, two minutes."""
    folder = tmp_path_factory.mktemp("small_mouse")
    return load_helper("run/runs.py").simulated(folder, neurons=12, minutes=2.0, seed=1)


@pytest.fixture(scope="session")
def simulated_data(tmp_path_factory):
    """Two sessions of one simulated mouse, 20 neurons, three minutes each."""
    settings = {"sessions": 2, "animals": 1, "neurons": 20, "minutes": 3.0, "seed": 3}
    return load_helper("run/runs.py").simulated(tmp_path_factory.mktemp("simulated"), **settings)


@pytest.fixture(scope="session")
def simulated_run(simulated_data, write_run, tmp_path_factory) -> Path:
    """An untrained run on the simulated mouse."""
    return write_run(tmp_path_factory.mktemp("run") / "run", simulated_data)


@pytest.fixture(scope="session")
def kept_evaluations():
    """The writer of evaluations without a model."""
    return load_helper("report/kept_evaluations.py")


@pytest.fixture(scope="session")
def run_folders():
    """The writer of run folders with known files; no model is trained."""
    return load_helper("report/run_folders.py")


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A headless Chromium; skips where it is not installed."""
    helper = load_helper("browser.py")
    program = helper.find_browser()
    if program is None:
        pytest.skip("Chromium is not installed: apt-get install chromium-headless-shell")
    found = helper.Browser(program, tmp_path_factory.mktemp("browser"))
    yield found
    found.close()


def load_helper(name: str) -> ModuleType:
    """Import a file of tests/ that is no test."""
    path = Path(__file__).parent / name
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    # Dataclasses look their module up.
    sys.modules[path.stem] = module
    specification.loader.exec_module(module)
    return module
