"""The output of suite2p as a recording: cells of all planes, and the files beside them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.arrays.session import rows_per_block
from omnimouse_cli.recording.arrays.side_files import (
    ResponseRows,
    ResponseTimes,
    assemble,
    describe_overruled,
    read_times,
)
from omnimouse_cli.recording.arrays.source import Folder
from omnimouse_cli.recording.options import OpenOptions
from omnimouse_cli.recording.recording import Neurons, Recording, ResponseKind
from omnimouse_cli.recording.suite2p.planes import (
    SETTINGS_FILES,
    Plane,
    count_time_points,
    find_plane_folders,
    open_plane,
)
from omnimouse_cli.recording.suite2p.traces import Neuropil, Traces
from omnimouse_cli.recording.times import true_runs
from omnimouse_cli.text import pluralize

MARKERS = "suite2p/plane0 with spks.npy or F.npy (suite2p)"

# File and kind of each series. Conversion makes dF/F of fluorescence.
_SERIES: dict[str, tuple[str, ResponseKind]] = {
    "spks": ("spks.npy", "rate"),
    "f": ("F.npy", "fluorescence"),
    "dff": ("F.npy", "fluorescence"),
}
# Other names of the series, which every format understands.
_ROLES = {"events": "spks", "deconvolved": "spks", "rate": "spks", "fluorescence": "f"}
# Share of the neuropil that suite2p subtracts before deconvolution, unless its settings say so.
_NEUROPIL_COEFFICIENT = 0.7
_UNITS_PER_PLANE = 100_000
_NAMESPACE = "suite2p plane*100000+row"
# Planes may state rates that differ by this share.
_RATE_TOLERANCE = 1e-3


def is_session(path: Path) -> bool:
    """Return whether a path looks like an output of suite2p, even a damaged one.

    It is a session folder, its `suite2p` folder, or one plane folder.
    """
    if any((path / name).is_file() for name in ("spks.npy", "F.npy")):
        return any((path / name).is_file() for name in ("iscell.npy", "stat.npy", "ops.npy"))
    files = ("spks.npy", "F.npy", "iscell.npy", "stat.npy", "ops.npy")
    folders = find_plane_folders(path)
    return any((folder / name).is_file() for folder in folders for name in files)


def open_session(path: Path, options: OpenOptions) -> Recording:
    """Open the output of suite2p; rows and frames stay on disk.

    Args:
        path: A session folder, its `suite2p` folder, or one plane folder.
        options: `series` is `spks` (default), `F` (minus neuropil) or `dff` (minus the deviation of
            the neuropil from its median); `rate_hz` is per plane.

    Raises:
        RecordingError: A file is missing, damaged or contradicts another one.
    """
    notes: list[str] = []
    folders = find_plane_folders(path)
    planes = [plane for folder in folders if (plane := open_plane(folder, notes)) is not None]
    if not planes:
        raise RecordingError(
            f"{path} has no plane with spks.npy or F.npy",
            hint="run suite2p to the end, or copy its folder again",
        )
    source = Folder(path=_session_folder(path, planes[0]))
    series = _choose_series(path, planes, options.series, notes)
    file, kind = _SERIES[series]
    _require_cells(path, planes, notes)
    num_rows = min(plane.num_rows for plane in planes)
    lengths = [plane.num_rows for plane in planes]
    if max(lengths) > num_rows:
        notes.append(
            f"responses: planes have {num_rows} to {max(lengths)} time points; all are cut to "
            f"{num_rows}"
        )
    times = _read_times(source, planes, options, num_rows, notes)
    is_bad = np.any([plane.bad_frames()[:num_rows] for plane in planes], axis=0)
    times = _with_gaps(times, is_bad, notes)
    neuropil = Neuropil(coefficient=0.0, keeps_level=series == "dff")
    if file == "F.npy":
        neuropil = _choose_neuropil(planes, neuropil, notes)
    _note_contents(source, planes, file, kind)
    rows = Traces(planes=tuple(planes), file=file, neuropil=neuropil, regular=times.regular)
    num_neurons = sum(len(plane.cells) for plane in planes)
    num_rois = sum(plane.num_rois for plane in planes)
    return assemble(
        source,
        source.fields(),
        options,
        ResponseRows(
            times=times,
            neurons=_make_neurons(planes, times.regular.clock.rate_hz, notes),
            read_rows=rows.read,
            rows_per_block=rows_per_block(num_neurons),
            kind=kind,
            series=f"{file}{neuropil}",
            excluded={"no cell (iscell)": num_rois - num_neurons} if num_rois > num_neurons else {},
        ),
        default_session=_session_name(path, source),
        notes=notes,
    )


def _session_folder(path: Path, plane: Plane) -> Path:
    """Return the folder in which session.json and the other files are looked for."""
    above = plane.folder.absolute().parent
    if path in (plane.folder, plane.folder.parent) and above.name == "suite2p":
        return above.parent
    # Planes that were copied out of their `suite2p` folder are a session of their own.
    return path


def _session_name(path: Path, source: Folder) -> str:
    """Return the name of the session folder, with the plane where only one of several is taken."""
    name = source.path.resolve().name
    siblings = find_plane_folders(path.parent)
    return f"{name}-{path.name}" if path in siblings and len(siblings) > 1 else name


def _choose_series(path: Path, planes: list[Plane], series: str | None, notes: list[str]) -> str:
    """Return the name of the series in `_SERIES`."""
    name = (series or "spks").removesuffix(".npy").lower()
    name = _ROLES.get(name, name)
    if name not in _SERIES:
        raise RecordingError(
            f"{path} has no series {series}: suite2p has spks, F and dff",
            hint="--series spks (deconvolved, the default), F (F minus neuropil) or dff",
        )
    file, _ = _SERIES[name]
    lacking = [plane.folder.name for plane in planes if file not in plane.traces]
    if not lacking:
        return name
    if series is None and all("F.npy" in plane.traces for plane in planes):
        notes.append(f"responses: {', '.join(lacking)} has no spks.npy; F.npy is taken")
        return "dff"
    raise RecordingError(
        f"{path}: {', '.join(lacking)} has no {file}",
        hint="choose another series with --series, or run suite2p to the end",
    )


def _require_cells(path: Path, planes: list[Plane], notes: list[str]) -> None:
    num_rois = sum(plane.num_rois for plane in planes)
    num_cells = sum(len(plane.cells) for plane in planes)
    if num_cells == 0:
        raise RecordingError(
            f"{path}: none of {num_rois} ROIs is a cell (iscell.npy)",
            hint="curate the ROIs in suite2p, or move iscell.npy away to keep all ROIs",
        )
    if num_cells < num_rois:
        notes.append(f"responses: {num_cells} of {num_rois} ROIs are cells (iscell) and are kept")


def _read_times(
    source: Folder, planes: list[Plane], options: OpenOptions, num_rows: int, notes: list[str]
) -> ResponseTimes:
    """Return the clock from frame_times.npy, or from the rate of the settings or of the user."""
    stored = source.array("frame_times")
    rate_hz, rate_source = options.rate_hz, "--rate"
    if rate_hz is None:
        rate_hz, rate_source = _stated_rate(planes)
        unread = [message for plane in planes for message in plane.unread]
        if rate_hz is None and stored is None and unread:
            raise RecordingError(
                f"{unread[0]}, and no other file states the rate",
                hint="give the rows per second and plane with --rate",
            )
    elif stored is None:
        notes += describe_overruled(rate_hz, planes[0].number_of("fs"), f"{planes[0].folder}: `fs`")
    where = str(source.path / "frame_times.npy") if stored is None else stored.source
    times = None
    if stored is not None:
        times = stored.load().reshape(-1)
        lengths = [plane.num_rows for plane in planes]
        if len(planes) == 1:
            # One plane of several: the times may be those of a longer one.
            lengths = count_time_points(planes[0].folder)
        if times.size == sum(lengths) and len(lengths) > 1:
            times = times[:: len(lengths)]
            notes.append(
                f"frame_times: there is a time for every frame of every plane; those of the first "
                f"of {len(lengths)} planes are the times of the rows"
            )
        elif not min(lengths) <= times.size <= max(lengths):
            raise RecordingError(
                f"{where} has {times.size} times, but the planes have "
                f"{' and '.join(str(length) for length in sorted(set(lengths)))} time points",
                hint="frame_times.npy needs one time for each time point of a plane",
            )
        source.note_content(where, pluralize(stored.shape[0], "time"), "times of the responses")
        times = times[:num_rows]
    return read_times(times, rate_hz, num_rows=num_rows, where=where, rate_source=rate_source)


def _stated_rate(planes: list[Plane]) -> tuple[float | None, str]:
    rates = {
        plane.folder.name: rate for plane in planes if (rate := plane.number_of("fs")) is not None
    }
    if not rates:
        return None, ""
    low, high = min(rates.values()), max(rates.values())
    if high - low > _RATE_TOLERANCE * abs(high):
        raise RecordingError(
            f"{planes[0].folder.parent}: planes state different rates: {low:g} and {high:g} Hz",
            hint="give the rows per second and plane with --rate",
        )
    return next(iter(rates.values())), f"{planes[0].folder}: `fs`"


def _with_gaps(times: ResponseTimes, is_bad: NDArray[np.bool_], notes: list[str]) -> ResponseTimes:
    """Make rows of bad frames rows without a source."""
    if not is_bad.any():
        return times
    regular = times.regular
    source_row = regular.source_row.copy()
    present = source_row >= 0
    source_row[present] = np.where(is_bad[source_row[present]], -1, source_row[present])
    gaps = regular.clock.start_seconds + true_runs(source_row < 0) / regular.clock.rate_hz
    notes.append(
        f"responses: {int(is_bad.sum())} of {is_bad.size} time points are `badframes` of suite2p "
        "and are missing"
    )
    return replace(times, regular=replace(regular, source_row=source_row, gaps=gaps))


def _choose_neuropil(planes: list[Plane], neuropil: Neuropil, notes: list[str]) -> Neuropil:
    """Return which share of Fneu.npy is subtracted from F.npy."""
    if any("Fneu.npy" not in plane.traces for plane in planes):
        notes.append("responses: Fneu.npy is missing; F is used without subtracting neuropil")
        return neuropil
    stated = planes[0].number_of("neucoeff", "extraction.neuropil_coefficient")
    coefficient = _NEUROPIL_COEFFICIENT if stated is None else stated
    chosen = Neuropil(coefficient=coefficient, keeps_level=neuropil.keeps_level)
    notes.append(f"responses: F{chosen} (neuropil) is taken as fluorescence")
    return chosen


def _make_neurons(planes: list[Plane], rate_hz: float, notes: list[str]) -> Neurons:
    """Return ids and delays of the cells; positions in pixels are not micrometres."""
    unit_id = np.concatenate(
        [(plane.number or 0) * _UNITS_PER_PLANE + plane.cells for plane in planes]
    )
    if planes[0].number is None:
        return Neurons(
            num_neurons=len(unit_id), unit_id=unit_id, id_namespace="suite2p combined row"
        )
    if (planes[0].number_of("nrois") or 1) > 1:
        notes.append("neurons: fields of a mesoscope; when each was scanned is not known")
        return Neurons(num_neurons=len(unit_id), unit_id=unit_id, id_namespace=_NAMESPACE)
    stated = planes[0].number_of("nplanes")
    highest = max(plane.number or 0 for plane in planes) + 1
    num_planes = max(highest, int(stated or 0))
    delay = np.concatenate(
        [
            np.full(len(plane.cells), (plane.number or 0) / (num_planes * rate_hz))
            for plane in planes
        ]
    )
    if num_planes > 1:
        notes.append(
            f"neurons: plane p of {num_planes} is scanned p / ({num_planes} x {rate_hz:.4g} Hz) "
            "after the time of its row; the delays are stored"
        )
    return Neurons(
        num_neurons=len(unit_id),
        unit_id=unit_id,
        id_namespace=_NAMESPACE,
        delay_seconds=delay.astype(np.float32),
    )


def _note_contents(source: Folder, planes: list[Plane], file: str, kind: ResponseKind) -> None:
    for plane in planes:
        for name, stored in plane.traces.items():
            shape = f"{stored.shape[0]} ROIs x {stored.shape[1]}, {stored.dtype}"
            use = "not taken: another series was chosen"
            if name == file:
                use = f"responses ({kind}) of {pluralize(len(plane.cells), 'cell')}"
            elif name == "Fneu.npy" and file == "F.npy":
                use = "neuropil, subtracted"
            source.note_content(stored.source, shape, use)
        for name, what, use in (
            ("iscell.npy", "a flag for each ROI", "which ROIs are cells"),
            *((name, "pickled settings", "rate, planes, bad frames") for name in SETTINGS_FILES),
            ("stat.npy", "pickled masks", "not taken: positions in pixels are no micrometres"),
        ):
            if (plane.folder / name).is_file():
                source.note_content(str(plane.folder / name), what, use)
    combined = planes[0].folder.parent / "combined"
    if combined.is_dir() and planes[0].number is not None:
        source.note_content(
            str(combined), "all planes once more", "not taken: it repeats the planes"
        )
