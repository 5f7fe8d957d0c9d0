"""Speed and memory of the reader of NWB files, compared with h5py alone.

    python benchmarks/nwb.py [--quick] [--folder FOLDER] [--device cpu]

Speed: files of several layouts are converted to shards as `preprocess` converts them (opened, read,
rounded, summarized, written with checksums), and read by h5py alone, which reads the same chunks in
the same blocks and does nothing with them; both from a warm page cache, in turns. Memory:
`omnimouse preprocess` converts a file with 2 GB of responses in chunks that were never written, so
that the file is small on disk.
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from machine import benchmark_parser, chosen_device, print_rows, write_result
from preprocess import PEAK

from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.shard.convert import Storage, convert

RATE_HZ = 30.0
SEGMENTATION = "processing/ophys/ImageSegmentation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the responses of a file are stored.

    Args:
        name: Name in the table of results.
        planes: Number of series.
        dtype: Type of the values.
        conversion: Factor of the stored values.
        is_permuted: Whether rows of the table of ROIs stand in another order, and a tenth of the
            ROIs is no cell.
        is_transposed: Whether data are `(roi, time)`.
        chunks: Rows and columns of a chunk.
    """

    name: str
    planes: int = 1
    dtype: str = "float32"
    conversion: float = 1.0
    is_permuted: bool = False
    is_transposed: bool = False
    chunks: tuple[int, int] = (375, 32)


LAYOUTS = (
    Layout(name="one plane"),
    Layout(name="six planes, ROIs permuted", planes=6, is_permuted=True),
    Layout(name="float64, conversion", dtype="float64", conversion=0.5, is_permuted=True),
    Layout(name="ROI x time", is_transposed=True, is_permuted=True),
    Layout(name="a chunk of 10,000 rows per ROI", chunks=(10_000, 1)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Size and number of measurements.

    Args:
        neurons: ROIs of a file.
        rows: Rows of the responses.
        rounds: Number of rounds, in each of which every contestant is timed once.
        sparse_rows: Rows of the file whose memory is measured, with 10,000 ROIs.
    """

    neurons: int = 1200
    rows: int = 30_000
    rounds: int = 5
    sparse_rows: int = 50_000


WHOLE = Settings()
QUICK = Settings(neurons=60, rows=1200, rounds=1, sparse_rows=900)


def write_file(path: Path, layout: Layout, neurons: int, rows: int, *, is_sparse: bool) -> None:
    """Write an NWB file with responses, and a table of trials of 4 s.

    Args:
        path: The file.
        layout: How its responses are stored.
        neurons: ROIs of all planes.
        rows: Rows of the responses.
        is_sparse: Whether no chunk is written; all values are then .5.
    """
    rng = np.random.default_rng(0)
    width = neurons // layout.planes
    with h5py.File(path, "w") as file:
        file.attrs.update(nwb_version="2.7.0", neurodata_type="NWBFile")
        file["session_start_time"] = "2024-03-05T10:00:00+00:00"
        file["general/session_id"] = path.stem
        for plane in range(layout.planes):
            file.create_group(f"general/optophysiology/plane{plane}")
            table = file.create_group(f"{SEGMENTATION}/plane{plane}")
            table.attrs["neurodata_type"] = "PlaneSegmentation"
            table["imaging_plane"] = h5py.SoftLink(f"/general/optophysiology/plane{plane}")
            table["id"] = np.arange(width)
            order = np.arange(width)
            if layout.is_permuted:
                table["accepted"] = rng.random(width) > 0.1
                order = rng.permutation(width)
            series = file.create_group(f"processing/ophys/Deconvolved/plane{plane}")
            series.attrs["neurodata_type"] = "RoiResponseSeries"
            series["starting_time"] = 0.0
            series["starting_time"].attrs["rate"] = RATE_HZ
            series["rois"] = order
            series["rois"].attrs["table"] = table.ref
            _write_data(series, layout, (rows, width), rng, is_sparse=is_sparse)
        start = np.arange(0.0, rows / RATE_HZ - 4.0, 4.0)
        trials = file.create_group("intervals/trials")
        trials.attrs.update(neurodata_type="TimeIntervals", colnames=["start_time", "stop_time"])
        trials["id"] = np.arange(len(start))
        trials["start_time"], trials["stop_time"] = start, start + 4.0


def _write_data(
    series: h5py.Group,
    layout: Layout,
    shape: tuple[int, int],
    rng: np.random.Generator,
    *,
    is_sparse: bool,
) -> None:
    turn = -1 if layout.is_transposed else 1
    chunks = tuple(min(pair) for pair in zip(layout.chunks, shape, strict=True))
    data = series.create_dataset(
        "data",
        shape[::turn],
        layout.dtype,
        chunks=chunks[::turn],
        compression="gzip",
        fillvalue=0.5,
    )
    data.attrs["conversion"] = layout.conversion
    if is_sparse:
        return
    # Values as deconvolved activity has them: most are zero.
    values = rng.gamma(0.3, size=shape).astype(layout.dtype) * (rng.random(shape) < 0.3)
    data[...] = values.T if layout.is_transposed else values


def convert_by_product(path: Path) -> Callable[[], None]:
    """Return a function that opens a file and writes its shard."""

    def read() -> None:
        convert(
            open_recording(path),
            path.with_suffix(".safetensors"),
            storage=Storage(),
            fingerprint="",
            advance=lambda _share: None,
        )

    return read


def read_by_h5py(path: Path, layout: Layout, rows: int) -> Callable[[], None]:
    """Return a function that reads the same chunks with h5py, each once, and keeps nothing."""
    step = layout.chunks[0]

    def read() -> None:
        with h5py.File(path, "r") as file:
            series = file["processing/ophys/Deconvolved"]
            for first in range(0, rows, step):
                for plane in series.values():
                    data = plane["data"]
                    part = slice(first, min(first + step, rows))
                    data[:, part] if layout.is_transposed else data[part]

    return read


def measure_speed(folder: Path, settings: Settings) -> list[dict[str, Any]]:
    """Time conversion and plain reading of every layout, in turns; return medians."""
    found = []
    for layout in LAYOUTS:
        path = folder / "speed.nwb"
        write_file(path, layout, settings.neurons, settings.rows, is_sparse=False)
        readers = {
            "omnimouse": convert_by_product(path),
            "h5py": read_by_h5py(path, layout, settings.rows),
        }
        seconds: dict[str, list[float]] = {name: [] for name in readers}
        for _ in range(settings.rounds):
            for name, read in readers.items():
                start = time.perf_counter()
                read()
                seconds[name].append(time.perf_counter() - start)
        medians = {name: statistics.median(turns) for name, turns in seconds.items()}
        found.append(
            {
                "name": layout.name,
                "h5py_seconds": medians["h5py"],
                "omnimouse_seconds": medians["omnimouse"],
                "speed_ratio": medians["h5py"] / medians["omnimouse"],
                "seconds_rounds": seconds,
            }
        )
        path.unlink()
    return found


def measure_memory(folder: Path, settings: Settings) -> dict[str, Any]:
    """Preprocess a large sparse file with the command; return its size, peak and time."""
    path = folder / "sparse.nwb"
    layout = Layout(name="sparse", chunks=(375, 512))
    write_file(path, layout, 10_000, settings.sparse_rows, is_sparse=True)
    options = ("preprocess", str(path), "--quiet", "--jobs", "1", "--out", str(folder / "out"))
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *options], check=True, capture_output=True, text=True
    )
    seconds = time.perf_counter() - start
    shutil.rmtree(folder / "out")
    return {
        "responses_bytes": 4 * 10_000 * settings.sparse_rows,
        "file_bytes": path.stat().st_size,
        "peak_bytes": 1024 * int(done.stderr.split()[-2]),
        "seconds": seconds,
    }


def main() -> None:
    """Run the benchmark and write its result."""
    parser = benchmark_parser(str(__doc__).partition("\n")[0])
    parser.add_argument("--folder", type=Path, help="where files are written; default: temporary")
    options = parser.parse_args()
    settings = QUICK if options.quick else WHOLE
    folder = Path(tempfile.mkdtemp(prefix="omnimouse-nwb-", dir=options.folder))
    try:
        speed = measure_speed(folder, settings)
        memory = measure_memory(folder, settings)
    finally:
        shutil.rmtree(folder)
    print_rows(
        ("layout", "h5py reads, s", "omnimouse converts, s", "speed ratio"),
        [
            (
                row["name"],
                f"{row['h5py_seconds']:.2f}",
                f"{row['omnimouse_seconds']:.2f}",
                f"{row['speed_ratio']:.2f}",
            )
            for row in speed
        ],
    )
    print_rows(
        ("sparse file", "GB of responses", "peak MB", "seconds"),
        [
            (
                f"{memory['file_bytes'] / 1e6:.1f} MB",
                f"{memory['responses_bytes'] / 1e9:.2f}",
                f"{memory['peak_bytes'] / 1e6:.0f}",
                f"{memory['seconds']:.1f}",
            )
        ],
    )
    content = {"settings": asdict(settings), "speed": speed, "memory": memory}
    write_result(options.out, "nwb", chosen_device(options.device), content)


if __name__ == "__main__":
    main()
