"""The ROIs of a series: rows of the table, which of them are cells, their ids and positions."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.nwb.profiles import Profile, microns_unit_ids
from omnimouse_cli.recording.nwb.tree import Node

ALLEN_CELLS = "allen_cell_specimen_id"
# Columns that say which ROIs are cells; the first that a table has decides, the others must agree.
_CELL_COLUMNS = ("iscell", "is_cell", "accepted", "Accepted", "valid_roi", "is_valid")
_REJECTED_COLUMNS = ("rejected", "Rejected")
_ALLEN_COLUMNS = ("cell_specimen_id", "global_roi_id", "cell_specimen_ids")
_SOMA = "soma"
# Masks of more bytes are not read for positions.
_MAX_MASK_BYTES = 64 * 2**20
_MICROMETRES = {
    "m": 1e6, "meter": 1e6, "meters": 1e6, "metre": 1e6, "metres": 1e6,
    "mm": 1e3, "millimeters": 1e3, "um": 1.0, "\u00b5m": 1.0, "\u03bcm": 1.0,
    "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "micrometers": 1.0, "micrometre": 1.0,
    "micrometres": 1.0,
}  # fmt: skip
_UNKNOWN = ("", "unknown", "none", "n/a", "na")
_DEPTH = re.compile(r"([\d.]+)\s*(microns?|um|\u00b5m|\u03bcm|micromet(?:er|re)s?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rois:
    """The ROIs of the columns of one series.

    Args:
        table: The table of ROIs; None if the file has none.
        rows: int64 `(columns,)`: row of the table of each column of the data.
        is_kept: bool `(columns,)`: whether the column is a cell.
        excluded: Number of excluded ROIs by reason.
        plane: The imaging plane; None if unknown.
        notes: One sentence for each thing that was assumed, repaired or left out.
    """

    table: Node | None
    rows: NDArray[np.int64]
    is_kept: NDArray[np.bool_]
    excluded: Counter[str]
    plane: Node | None
    notes: tuple[str, ...]


def find_rois(series: Node, num_columns: int) -> Rois:
    """Resolve the ROIs of a series and find which of them are cells.

    Args:
        series: The series.
        num_columns: Number of columns of its data.

    Raises:
        RecordingError: The ROIs do not fit the columns or the table.
    """
    rows, table, notes = _resolve(series, num_columns)
    is_kept, excluded = np.ones(num_columns, dtype=np.bool_), Counter[str]()
    plane = None
    if table is not None:
        is_kept, excluded, cell_notes = _find_cells(table, rows)
        notes += cell_notes
        plane = table.get("imaging_plane")
    if plane is None:
        # In NWB 1 the imaging plane has the name of the series.
        plane = series.get(f"/general/optophysiology/{series.name}")
    return Rois(
        table=table, rows=rows, is_kept=is_kept, excluded=excluded, plane=plane, notes=tuple(notes)
    )


def num_rois(series: Node) -> int | None:
    """Return the number of ROIs of a series, if the file says it apart from the data."""
    rois = series.get("rois")
    if rois is not None and rois.shape:
        return rois.shape[0]
    names = series.get("roi_names")
    return None if names is None or not names.shape else names.shape[0]


def _resolve(series: Node, num_columns: int) -> tuple[NDArray[np.int64], Node | None, list[str]]:
    rois = series.get("rois")
    if rois is None:
        table = _version_1_table(series, num_columns)
        return np.arange(num_columns), table, []
    table = rois.reference("table")
    if not np.issubdtype(rois.dtype, np.integer):
        note = f"{rois.path} is no list of rows, so that no ROI has an id and none is excluded"
        return np.arange(num_columns), None, [note]
    rows = np.asarray(rois.read(), dtype=np.int64).ravel()
    if len(rows) != num_columns:
        raise RecordingError(
            f"{rois.where} has {len(rows)} ROIs, but the data have {num_columns} columns",
            hint="every column of `data` needs one row of the table of ROIs; correct the file, or "
            "name another series: --series",
        )
    if table is None:
        note = f"{rois.path}: its table of ROIs is missing, so that no ROI is excluded"
        return rows, None, [note]
    num_rows = table_length(table)
    if num_rows is not None and rows.size and (rows.max() >= num_rows or rows.min() < 0):
        raise RecordingError(
            f"{rois.where} names row {rows.max() if rows.min() >= 0 else rows.min()} of a table "
            f"of {num_rows} ROIs ({table.path})",
            hint="the table belongs to other responses; correct the file",
        )
    return rows, table, []


def _version_1_table(series: Node, num_columns: int) -> Node | None:
    """Return the segmentation of a series of NWB 1, whose columns are its ROIs in order."""
    module = series.get(f"{series.path.rsplit('/', 2)[0]}/ImageSegmentation")
    if module is None:
        return None
    ids = module.get("cell_specimen_ids")
    return module if ids is not None and ids.shape == (num_columns,) else None


def table_length(table: Node) -> int | None:
    """Return the number of rows of a table, by its `id`, else its columns; None without any."""
    for name in ("id", *np.atleast_1d(table.attributes.get("colnames", ()))):
        column = table.get(str(name))
        if column is not None and column.shape and table.get(f"{name}_index") is None:
            return column.shape[0]
    return None


def _find_cells(
    table: Node, rows: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], Counter[str], list[str]]:
    is_kept = np.ones(len(rows), dtype=np.bool_)
    excluded: Counter[str] = Counter()
    notes: list[str] = []
    for reason, is_cell in _criteria(table, rows):
        kept_now = is_kept & is_cell
        if not kept_now.any():
            notes.append(
                f"{table.path}: {reason} excludes every ROI, as if no ROI had been judged yet: it "
                "is not applied"
            )
            continue
        num_excluded = int(is_kept.sum() - kept_now.sum())
        if num_excluded:
            excluded[reason] += num_excluded
        is_kept = kept_now
    return is_kept, excluded, notes


def _criteria(table: Node, rows: NDArray[np.int64]) -> list[tuple[str, NDArray[np.bool_]]]:
    """Return for each column that says which ROIs are cells a reason, and bool `(rows,)`."""
    criteria = []
    names = [name for name in _CELL_COLUMNS if _column(table, name) is not None]
    # Tables that say both say the same.
    names = names or [name for name in _REJECTED_COLUMNS if _column(table, name) is not None]
    for name in names:
        values = _column(table, name)
        assert values is not None
        # suite2p stores the decision and its probability.
        decision = values.reshape(len(values), -1)[rows, 0]
        is_true = _as_bool(decision)
        is_rejected = name in _REJECTED_COLUMNS
        reason = f"`{name}` is {'true' if is_rejected else 'false'}"
        criteria.append((reason, ~is_true if is_rejected else is_true))
    mask_type = _column(table, "mask_type")
    if mask_type is not None:
        types = np.array([str(value).lower() for value in mask_type.ravel()[rows]])
        criteria.append((f"`mask_type` is not {_SOMA}", types == _SOMA))
    return criteria


def _as_bool(values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype.kind in "OU":
        return np.array([str(value).strip().lower() in ("true", "1", "yes") for value in values])
    return np.asarray(values, dtype=np.float64) >= 0.5


def _column(table: Node, name: str) -> NDArray[Any] | None:
    """Return a column with one value (or one row of values) per ROI; None if there is none.

    Raises:
        RecordingError: It has another length than the table.
    """
    column = table.get(name)
    if column is None or not column.is_dataset or table.get(f"{name}_index") is not None:
        return None
    num_rows = table_length(table)
    if not column.shape or num_rows is None:
        return None
    if column.shape[0] != num_rows:
        raise RecordingError(
            f"{column.where} has {column.shape[0]} rows, but its table has {num_rows} ROIs",
            hint="every ROI needs a value; correct the table",
        )
    return column.read()


def unit_ids(
    rois: list[Rois], profile: Profile, session: str
) -> tuple[NDArray[np.int64] | None, str | None, list[str]]:
    """Return the ids of the kept neurons of all planes, and what they count.

    Args:
        rois: The ROIs of each plane.
        profile: The data set.
        session: The session's key.

    Returns:
        int64 `(neurons,)`, None without ids; their namespace, None if ids are of this recording
        alone; and notes for the user.
    """
    cells = [_allen_ids(plane) for plane in rois]
    notes: list[str] = []
    if all(ids is not None for ids in cells):
        merged = np.concatenate([ids for ids in cells if ids is not None])
        if len(np.unique(merged)) == len(merged) and (merged > 0).all():
            return merged, ALLEN_CELLS, []
        notes.append(
            "cell specimen ids are missing or not unique; the ids of the table of ROIs are used"
        )
    tables = [_table_ids(plane) for plane in rois]
    if any(ids is None for ids in tables):
        return None, None, notes
    present = [ids for ids in tables if ids is not None]
    if profile.is_microns:
        present = [
            microns_unit_ids("" if plane.table is None else plane.table.name, number, ids)
            for number, (plane, ids) in enumerate(zip(rois, present, strict=True), start=1)
        ]
        # Masks are counted anew in every scan.
        return np.concatenate(present), f"microns {session} field*10000+mask", notes
    merged = np.concatenate(present)
    if len(np.unique(merged)) == len(merged):
        return merged, None, notes
    # Every plane counts its ROIs from 0.
    step = 10 ** len(str(int(merged.max())))
    merged = np.concatenate([number * step + ids for number, ids in enumerate(present)])
    if len(np.unique(merged)) != len(merged) or (merged < 0).any():
        return None, None, [*notes, "ids of ROIs are not unique: neurons have no ids"]
    return merged, None, [*notes, f"unit ids are plane*{step} + id of the ROI in its plane"]


def _allen_ids(rois: Rois) -> NDArray[np.int64] | None:
    if rois.table is None:
        return None
    for name in _ALLEN_COLUMNS:
        column = rois.table.get(name)
        if column is None or not column.is_dataset or len(column.shape) != 1:
            continue
        if not np.issubdtype(column.dtype, np.number):
            continue
        values = np.asarray(column.read(), dtype=np.float64)
        if len(values) > rois.rows.max(initial=-1) and np.isfinite(values[rois.rows]).all():
            return column.read()[rois.rows[rois.is_kept]].astype(np.int64)
    return None


def _table_ids(rois: Rois) -> NDArray[np.int64] | None:
    ids = None if rois.table is None else rois.table.get("id")
    if ids is None or not np.issubdtype(ids.dtype, np.integer):
        return None
    return ids.read().astype(np.int64)[rois.rows[rois.is_kept]]


def positions(rois: list[Rois]) -> NDArray[np.float32] | None:
    """Return the positions of the kept neurons of all planes.

    A position is the centre of the ROI's mask in its plane (`grid_spacing`, `origin_coords`), with
    the depth of the plane.

    Returns:
        float32 `(neurons, 3)`: x, y, z in micrometres; None where masks, pixel size or depth of any
        plane are unknown.
    """
    parts = []
    for plane in rois:
        centres = _centres(plane)
        spacing = None if plane.plane is None else _micrometres(plane.plane, "grid_spacing")
        depth = None if plane.plane is None else depth_um(plane.plane)
        if centres is None or spacing is None or len(spacing) < 2 or depth is None:
            return None
        assert plane.plane is not None
        origin = _micrometres(plane.plane, "origin_coords")
        corner = np.zeros(2) if origin is None else origin[:2]
        x_y = corner + centres * spacing[:2]
        parts.append(np.column_stack((x_y, np.full(len(x_y), depth))))
    merged = np.concatenate(parts)
    return merged.astype(np.float32) if np.isfinite(merged).all() else None


def plane_areas(rois: list[Rois]) -> NDArray[np.str_] | None:
    """Return the location of each kept ROI's plane; None if the file says no location."""
    texts = [(one.plane.child_text("location") or "") if one.plane else "" for one in rois]
    known = ["" if text.strip().lower() in _UNKNOWN else text.strip() for text in texts]
    counts = [int(one.is_kept.sum()) for one in rois]
    return np.repeat(np.array(known, np.str_), counts) if any(known) else None


def depth_um(plane: Node) -> float | None:
    """Return the depth of an imaging plane in micrometres; None if the file does not say it."""
    origin = _micrometres(plane, "origin_coords")
    if origin is not None and len(origin) == 3:
        return float(origin[2])
    for name in ("imaging depth", "imaging_depth", "description"):
        match = _DEPTH.search(plane.child_text(name) or "")
        if match:
            return float(match[1])
    return None


def _micrometres(plane: Node, name: str) -> NDArray[np.float64] | None:
    node = plane.get(name)
    if node is None or not np.issubdtype(node.dtype, np.number):
        return None
    unit = str(node.attributes.get("unit", "meters")).lower()
    values = node.numbers().ravel()
    if unit not in _MICROMETRES or not np.isfinite(values).all():
        return None
    return values * _MICROMETRES[unit]


def _centres(rois: Rois) -> NDArray[np.float64] | None:
    """Return the centre of each kept ROI in pixels, float64 `(kept, 2)`: x, y."""
    table = rois.table
    if table is None:
        return None
    kept = rois.rows[rois.is_kept]
    pixels, index = table.get("pixel_mask"), table.get("pixel_mask_index")
    num_rows = table_length(table)
    if pixels is not None and index is not None and pixels.dtype.names is not None:
        values, ends = pixels.read(), index.numbers().astype(np.int64)
        starts = np.concatenate(([0], ends[:-1]))
        if len(ends) != num_rows or not {"x", "y", "weight"} <= set(pixels.dtype.names):
            return None
        return np.array([_pixel_centre(values[starts[row] : ends[row]]) for row in kept])
    masks = table.get("image_mask")
    if masks is None or len(masks.shape) != 3 or masks.dtype.kind not in "fiub":
        return None
    num_bytes = int(np.prod(masks.shape)) * masks.dtype.itemsize
    if masks.shape[0] != num_rows or num_bytes > _MAX_MASK_BYTES:
        return None
    return np.array([_mask_centre(np.asarray(masks[int(row)])) for row in kept])


def _pixel_centre(pixels: NDArray[Any]) -> tuple[float, float]:
    weights = np.asarray(pixels["weight"], dtype=np.float64)
    if not weights.sum() > 0:
        weights = np.ones(len(pixels))
    if len(pixels) == 0:
        return (np.nan, np.nan)
    x, y = (float(np.average(pixels[axis], weights=weights)) for axis in ("x", "y"))
    return (x, y)


def _mask_centre(mask: NDArray[Any]) -> tuple[float, float]:
    x, y = np.nonzero(mask > 0)
    return (float(x.mean()), float(y.mean())) if len(x) else (np.nan, np.nan)
