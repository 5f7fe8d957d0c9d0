"""Fixtures of the recording tests: fields of a device are edited in place."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray


@pytest.fixture
def edit_meta() -> Callable[..., None]:
    """`edit_meta(session, device, key=value, ...)` changes fields of meta.yml; None removes one."""

    def edit(session: Path, device: str, **fields: Any) -> None:
        path = session / device / "meta.yml"
        meta = {**yaml.safe_load(path.read_text()), **fields}
        kept = {key: value for key, value in meta.items() if value is not None}
        path.write_text(yaml.safe_dump(kept))

    return edit


@pytest.fixture
def write_side_files() -> Callable[..., dict[str, NDArray[Any]]]:
    """`write_side_files(folder)` writes what may stand beside responses; returns the truth.

    Of 30 s: frames 0 to 19 are a clip, 20 to 39 another, 40 is grey. From 2 s on, clips of 2 s at
    10 Hz with a second of grey between them. Gaze and pupil at 20 Hz from .5 s on, running at 25
    Hz in m/s.
    """

    def write(folder: Path) -> dict[str, NDArray[Any]]:
        generator = np.random.default_rng(3)
        frames = generator.integers(0, 256, (41, 6, 8)).astype(np.uint8)
        frames[40] = 128
        (folder / "stimulus").mkdir(parents=True, exist_ok=True)
        np.save(folder / "stimulus/frames.npy", frames)
        flips, trials = [], ["start_seconds,end_seconds,stimulus"]
        for number in range(9):
            start, first = 2 + 3 * number, (0, 20)[number % 3 == 0]
            flips += [(start + n / 10, first + n) for n in range(20)] + [(start + 2, 40)]
            trials.append(f"{start},{start + 2},clip{first // 20}")
        rows = [f"{seconds:.6f},{frame}" for seconds, frame in flips]
        (folder / "stimulus/flips.csv").write_text("\n".join(["seconds,frame", *rows]))
        (folder / "trials.csv").write_text("\n".join(trials))
        times = 0.5 + np.arange(580) / 20
        eye = generator.normal(20, 3, (580, 3)).round(3)
        rows = [",".join(f"{v:.3f}" for v in (t, *row)) for t, row in zip(times, eye, strict=True)]
        rows[7] = f"{times[7]:.3f},,,"
        eye[7] = np.nan
        (folder / "pupil.csv").write_text("\n".join(["seconds,x_px,y_px,diameter_px", *rows]))
        speed = generator.normal(0.1, 0.05, 750).round(4)
        rows = [f"{n / 25:.2f},{v:.4f}" for n, v in enumerate(speed)]
        (folder / "running.csv").write_text("\n".join(["time_s,speed_m_s", *rows]))
        (folder / "session.json").write_text(
            '{"session": "m1-1", "animal": "m1", "start": "2024-03-05T10:00:00+00:00"}'
        )
        return {"frames": frames, "eye": eye, "speed_cm_s": speed * 100}

    return write
