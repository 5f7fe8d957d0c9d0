"""NWB files of predictions: of a movie, or of recorded windows beside what was measured."""

import importlib
import json
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.config.data import RESPONSE_RATE_HZ
from omnimouse_cli.files import (
    PARTIAL_SUFFIX,
    partial_name,
    sync_folder,
    to_json_value,
    translate_full_disk,
)

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Arrays = Mapping[str, NDArray[Any]]
# pynwb is optional and has no types.
NwbObject = Any
# Processing module of the responses to a movie, and of the table of neurons.
MODULE = "predictions"
# Of behavior without a known unit: NWB wants one.
UNKNOWN_UNIT = "unknown"
# How recorded windows stand in the file, for the JSON document.
LAYOUT = (
    "each prediction is a processing module with the series `predicted`, `measured`, `scored` and, "
    "of an ensemble, `std`; behavior has one of each for every channel, as `predicted_pupil_x`. "
    "The times of a series ascend: windows that overlap the last window of a series are in the "
    "next one, as `predicted#2`. Row N of the table `windows` says in which samples of `predicted` "
    "window N is; the other series have the same samples"
)
_ARRAYS = ("predicted", "measured", "std", "scored", "time_seconds", "window")
_TEXTS = {
    "predicted": "what the model predicts; of an ensemble the mean over its runs",
    "measured": "what was recorded; NaN where it was lost or is an input of the model",
    "std": "standard deviation of the prediction over runs",
}


def module_name(prediction: str) -> str:
    """Return the processing module of a prediction; NWB allows no `/` and no `:` in names.

    Example:
        >>> module_name("population-16/responses/draw-0")
        'population-16.responses.draw-0'
    """
    return prediction.replace("/", ".").replace(":", ".")


def number_series(time_seconds: F64, num_windows: int) -> I64:
    """Return for each window the first series whose last sample is before the window.

    Args:
        time_seconds: float64 `(time,)`: samples of one window after the other.
        num_windows: Windows, of equal length and in the order of their start.

    Returns:
        int64 `(windows,)`: numbers of series, from 0 on.

    Example:
        >>> number_series(np.array([0.0, 1, 1, 2, 2, 3]), 3)
        array([0, 1, 0])
    """
    ends: list[float] = []
    numbers = np.zeros(num_windows, np.int64)
    for window, times in enumerate(time_seconds.reshape(num_windows, -1)):
        number = next((one for one, end in enumerate(ends) if end < times[0]), len(ends))
        ends[number : number + 1] = [times[-1]]
        numbers[window] = number
    return numbers


def write_nwb(path: Path, arrays: Arrays, document: Mapping[str, Any]) -> None:
    """Write predictions and the neurons of a session as an NWB file, atomically.

    Args:
        path: The file.
        arrays: Numbers and texts by name, which may be memory-mapped.
        document: The JSON document of the prediction, which the file holds as its notes.

    Raises:
        OmniMouseError: The disk is full.
    """
    pynwb = importlib.import_module("pynwb")
    subject, start = _describe_clock(document)
    file = pynwb.NWBFile(
        session_description=f"predicted responses of session {document['session']} to {subject}",
        identifier=f"{document['run']}/{document['session']}/{path.stem}",
        session_start_time=start,
        source_script=f"omnimouse {document['omnimouse']}",
        source_script_file_name="omnimouse predict",
        notes=json.dumps(to_json_value(document)),
    )
    module = file.create_processing_module(MODULE, "what a trained model predicts")
    neurons = _neuron_table(arrays)
    module.add(neurons)
    if "movie" in document:
        _add_movie(pynwb, module, arrays, document["units"])
    for one in document.get("predictions", ()):
        of_one = file.create_processing_module(
            module_name(one["name"]), f"{one['target']} in recorded windows: {one['name']}"
        )
        _add_prediction(pynwb, of_one, one, arrays, neurons)
    with tempfile.TemporaryDirectory(
        dir=path.parent, prefix=f"{partial_name(path)}.", suffix=PARTIAL_SUFFIX
    ) as folder:
        partial = Path(folder) / path.name
        with translate_full_disk(path), pynwb.NWBHDF5IO(partial, "w") as target:
            target.write(file)
        partial.replace(path)
    sync_folder(path.parent)


def _describe_clock(document: Mapping[str, Any]) -> tuple[str, datetime]:
    """Return what was predicted, with the meaning of second 0, and its absolute time."""
    if "movie" in document:
        return f"{document['movie']['source']}; second 0 is the first frame", datetime.now(UTC)
    seconds = document["origin_seconds"]
    text = f"recorded windows; second 0 is the recording's origin, {seconds} s after 1970"
    try:
        return text, datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        # Clocks of some recordings count in other units; no date is as far as that.
        return text, datetime.fromtimestamp(0, UTC)


def _neuron_table(arrays: Arrays) -> NwbObject:
    common = importlib.import_module("hdmf.common")
    columns = [
        common.VectorData(name=name, description=name.replace("_", " "), data=arrays[name])
        for name in ("unit_id", "position_um", "area", "layer")
        if name in arrays
    ]
    return common.DynamicTable(
        name="neurons",
        description="the neurons, in the order of the columns of the recording",
        id=arrays["neuron"],
        columns=columns,
    )


def _add_movie(pynwb: NwbObject, module: NwbObject, arrays: Arrays, unit: str) -> None:
    series = {"responses": "mean over runs", "std": "standard deviation over runs"}
    for name, text in series.items():
        if name in arrays:
            module.add(
                pynwb.TimeSeries(
                    name=name,
                    description=f"predicted responses (time, neurons), {text}",
                    data=arrays[name],
                    unit=unit,
                    rate=RESPONSE_RATE_HZ,
                    starting_time=0.0,
                )
            )


def _add_prediction(
    pynwb: NwbObject,
    module: NwbObject,
    prediction: Mapping[str, Any],
    arrays: Arrays,
    neurons: NwbObject,
) -> None:
    """Add the series, the windows and the neurons of a prediction for recorded windows."""
    name = prediction["name"]
    of_prediction = {key: arrays[f"{name}/{key}"] for key in _ARRAYS if f"{name}/{key}" in arrays}
    times, window = of_prediction["time_seconds"], of_prediction["window"]
    numbers = number_series(times, int(window[-1]) + 1)
    series = []
    for number in range(int(numbers.max()) + 1):
        rows = np.flatnonzero(numbers[window] == number)
        suffix = "" if number == 0 else f"#{number + 1}"
        made = _make_series(pynwb, prediction, of_prediction, rows, suffix)
        module.add(made)
        # References to all series, 15 for five channels, would take nearly as long as all else.
        series.append(made[: len(prediction["channels"] or ("responses",))])
    count = len(times) // len(numbers)
    windows = pynwb.epoch.TimeIntervals(
        name="windows",
        description="times of the first and the last predicted sample of each window, and where "
        "they are",
    )
    used = [0] * len(series)
    for number, of_window in zip(numbers, times.reshape(-1, count), strict=True):
        windows.add_row(
            start_time=float(of_window[0]),
            stop_time=float(of_window[-1]),
            timeseries=[
                pynwb.base.TimeSeriesReference(used[number], count, one) for one in series[number]
            ],
        )
        used[number] += count
    module.add(windows)
    if prediction["channels"] is None:
        module.add(_column_table(arrays[f"{name}/neuron"], neurons))


def _make_series(
    pynwb: NwbObject, prediction: Mapping[str, Any], arrays: Arrays, rows: I64, suffix: str
) -> list[NwbObject]:
    """Return series of some samples, whose times ascend: of all neurons, or of each channel."""
    channels, unit = prediction["channels"], prediction["units"]
    outputs: list[tuple[str, int | slice, str, str]] = [("", slice(None), unit, "(time, neurons)")]
    if channels is not None:
        outputs = [
            (f"_{module_name(channel)}", place, unit[place] or UNKNOWN_UNIT, channel)
            for place, channel in enumerate(channels)
        ]
    made: list[NwbObject] = []

    def add(name: str, values: NDArray[Any], unit: str, text: str) -> None:
        data = values if len(rows) == len(values) else values[rows]
        # All series have the times of the first one, which are stored once.
        timestamps = made[0] if made else arrays["time_seconds"][rows]
        made.append(
            pynwb.TimeSeries(
                name=name + suffix, description=text, data=data, unit=unit, timestamps=timestamps
            )
        )

    for key, text in _TEXTS.items():
        if key in arrays:
            for output, column, unit, what in outputs:
                add(key + output, arrays[key][:, column], unit, f"{what}: {text}")
    add("scored", arrays["scored"], "boolean", "whether an evaluation scores the sample")
    return made


def _column_table(columns: I64, neurons: NwbObject) -> NwbObject:
    common = importlib.import_module("hdmf.common")
    region = common.DynamicTableRegion(
        name="neuron", description="row of the table of neurons", data=columns, table=neurons
    )
    return common.DynamicTable(
        name="columns",
        description="neurons in the order of the columns of the series",
        columns=[region],
    )
