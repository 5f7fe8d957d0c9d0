"""The files of a probe: probe.csv and probe.json, and probe.npz with curves and maps too."""

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.files import write_atomically, write_document, write_text
from omnimouse_cli.probing.behavior_state import describe_state
from omnimouse_cli.probing.session_probe import PROPERTIES, SessionProbe

F64 = NDArray[np.float64]
UNITS = {
    "receptive_field.center_px": "row and column of the screen in pixels, from the top left pixel",
    "receptive_field.center_deg": "degrees of visual angle right of and above the screen's center",
    "receptive_field.size": "standard deviations along the long and the short axis in pixels",
    "receptive_field.orientation": "long axis in degrees, counter-clockwise from horizontal",
    "orientation.preferred_deg": "bars, counter-clockwise from horizontal",
    "orientation.direction_deg": "motion, counter-clockwise from rightward",
    "size.preferred": "diameter in pixels",
    "contrast.half": "Michelson contrast",
}
TABLE, DOCUMENT, ARRAYS = "probe.csv", "probe.json", "probe.npz"


def write_tables(found: SessionProbe, folder: Path) -> tuple[Path, ...]:
    """Write the tables of a session and return their paths; existing files are replaced."""
    table, document, arrays = (folder / name for name in (TABLE, DOCUMENT, ARRAYS))
    write_text(table, _format_csv(found))
    stored: dict[str, Any] = dict(probe_arrays(found))
    with write_atomically(arrays) as stream:
        np.savez_compressed(stream, **stored)
    write_document(document, "probe", probe_document(found))
    return table, document, arrays


def probe_document(found: SessionProbe) -> dict[str, Any]:
    """Return the content of probe.json: settings, and one object per neuron.

    Unknown numbers are NaN, which JSON files have as null.
    """
    columns = property_columns(found)
    neurons = []
    for row in range(len(found.neuron)):
        entry: dict[str, Any] = {
            "session": found.session,
            "neuron": int(found.neuron[row]),
            "unit_id": None if found.unit_id is None else int(found.unit_id[row]),
            "score": float(found.score[row]),
            "reliable": bool(found.reliable[row]),
            "state": found.state.name,
        }
        for name, values in columns.items():
            group, _, number = name.partition(".")
            entry.setdefault(group, {})[number] = values[row]
        neurons.append(entry)
    return {
        "session": found.session,
        "runs": list(found.runs),
        "state": {
            "name": found.state.name,
            "z_scores": found.state.values,
            "text": describe_state(found.state),
        },
        "unit": found.unit,
        "units": UNITS,
        "frame": {"height": found.frame_shape[0], "width": found.frame_shape[1]},
        "mean_grey": found.mean_grey,
        "degrees_per_pixel": found.degrees_per_pixel,
        "score_source": found.score_source,
        "receptive_field_by": found.receptive_field.reported,
        "reliability_between": found.reliability_source,
        "options": asdict(found.options),
        "notes": list(found.notes),
        "neurons": neurons,
    }


def property_columns(found: SessionProbe) -> dict[str, NDArray[Any]]:
    """Return the numbers of all neurons by `property.number`; NaN where one is unknown.

    Lengths are in pixels, and in degrees of visual angle as well where the monitor is known.
    """
    columns: dict[str, NDArray[Any]] = {}
    for method, fit in found.receptive_field.fits.items():
        prefix = (
            "receptive_field" if method == found.receptive_field.reported else f"{method}_field"
        )
        columns |= {
            f"{prefix}.center_px": fit.center_px,
            f"{prefix}.size": fit.size_px,
            f"{prefix}.orientation": fit.orientation_deg,
            f"{prefix}.snr": fit.snr,
            f"{prefix}.explained": fit.explained,
        }
        if found.degrees_per_pixel is not None:
            middle = (np.array(found.frame_shape) - 1) / 2
            up_right = (fit.center_px - middle)[:, ::-1] * [1, -1]
            columns[f"{prefix}.center_deg"] = up_right * found.degrees_per_pixel
            columns[f"{prefix}.size_deg"] = fit.size_px * found.degrees_per_pixel
    tuning = found.orientation
    columns |= {
        "orientation.preferred_deg": tuning.orientation_deg,
        "orientation.direction_deg": tuning.direction_deg,
        "orientation.osi": tuning.osi,
        "orientation.osi_ratio": tuning.osi_ratio,
        "orientation.dsi": tuning.dsi,
        "orientation.dsi_vector": tuning.dsi_vector,
        "orientation.width_deg": tuning.width_deg,
        "orientation.in_disc": _known_flags(found.in_disc, tuning.orientation_deg),
    }
    columns |= _frequency_columns(found)
    columns |= {
        "size.preferred": found.size.preferred_px,
        "size.suppression": found.size.suppression,
    }
    if found.degrees_per_pixel is not None:
        columns["size.preferred_deg"] = found.size.preferred_px * found.degrees_per_pixel
    columns |= {
        "contrast.half": found.contrast.half,
        "contrast.exponent": found.contrast.exponent,
        "contrast.explained": found.contrast.explained,
    }
    columns |= {f"{name}.reliability": found.reliability[name] for name in PROPERTIES}
    return columns


def _frequency_columns(found: SessionProbe) -> dict[str, NDArray[Any]]:
    spatial, temporal = found.spatial_frequency, found.temporal_frequency
    columns: dict[str, NDArray[Any]] = {
        "spatial_frequency.preferred_cycles_per_px": spatial.preferred,
        "spatial_frequency.at_end": _known_flags(spatial.at_end, spatial.preferred),
        "temporal_frequency.preferred_hz": temporal.preferred,
        "temporal_frequency.at_end": _known_flags(temporal.at_end, temporal.preferred),
        "size.at_end": _known_flags(found.size.at_end, found.size.preferred_px),
    }
    if found.degrees_per_pixel is not None:
        columns["spatial_frequency.preferred_cycles_per_deg"] = (
            spatial.preferred / found.degrees_per_pixel
        )
    return columns


def _known_flags(flags: NDArray[np.bool_], numbers: F64) -> NDArray[Any]:
    """Return flags as objects, None where the number that they are about is unknown."""
    known = flags.astype(object)
    known[~np.isfinite(numbers)] = None
    return known


def probe_arrays(found: SessionProbe) -> Mapping[str, NDArray[Any]]:
    """Return the arrays of probe.npz: numbers, flags, curves with their axes, and maps."""
    arrays: dict[str, NDArray[Any]] = {
        "neuron": found.neuron,
        "score": found.score,
        "reliable": found.reliable,
        "state": found.state.values,
        "grey_response": found.grey_response,
        "directions_deg": np.array(found.options.directions_deg),
        "orientation.curve": found.orientation.curve,
        "spatial_frequency.axis": found.spatial_frequency.axis,
        "spatial_frequency.curve": found.spatial_frequency.curve,
        "temporal_frequency.axis": found.temporal_frequency.axis,
        "temporal_frequency.curve": found.temporal_frequency.curve,
        "size.diameter_px": found.size.diameter_px,
        "size.curve": found.size.curve,
        "size.inner_px": found.size.inner_px,
        "size.annulus_curve": found.size.annulus_curve,
        "contrast.axis": found.contrast.contrast,
        "contrast.curve": found.contrast.curve,
    }
    if found.unit_id is not None:
        arrays["unit_id"] = found.unit_id
    arrays |= {f"{name}.known": known for name, known in found.known.items()}
    for method, one in found.receptive_field.maps.items():
        arrays[f"{method}_map"] = one.values.astype(np.float32)
        arrays[f"{method}_map.row_px"] = one.row_px
        arrays[f"{method}_map.column_px"] = one.column_px
    numbers = property_columns(found).items()
    return arrays | {name: values for name, values in numbers if values.dtype != object}


def _format_csv(found: SessionProbe) -> str:
    """Return the CSV: an empty cell is an unknown number."""
    columns: dict[str, NDArray[Any]] = {
        "session": np.full(len(found.neuron), found.session),
        "neuron": found.neuron,
        "unit_id": np.full(len(found.neuron), "") if found.unit_id is None else found.unit_id,
        "score": found.score,
        "reliable": found.reliable,
        "state": np.full(len(found.neuron), found.state.name),
    }
    for name, values in property_columns(found).items():
        if values.ndim == 1:
            columns[name] = values
        else:
            parts = ("long", "short") if ".size" in name else ("row", "column")
            if name.endswith("center_deg"):
                parts = ("right", "up")
            columns |= {f"{name}.{part}": values[:, i] for i, part in enumerate(parts)}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in range(len(found.neuron)):
        writer.writerow([_format_cell(values[row]) for values in columns.values()])
    return text.getvalue()


def _format_cell(value: Any) -> str:  # noqa: ANN401 - a number, a flag or a text
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return ""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
