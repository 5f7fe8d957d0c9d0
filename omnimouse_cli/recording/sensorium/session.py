"""A Sensorium set as a recording: its trials on one time axis, with what is known of the data."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.options import OpenOptions
from omnimouse_cli.recording.recording import Content, Neurons, Provenance, Recording
from omnimouse_cli.recording.sensorium.layout import (
    IMAGES,
    RESPONSES,
    VIDEOS,
    Layout,
    place_trials,
)
from omnimouse_cli.recording.sensorium.rows import (
    BEHAVIOR,
    PUPIL_CENTER,
    open_behavior,
    open_responses,
)
from omnimouse_cli.recording.sensorium.screen import open_screen
from omnimouse_cli.recording.sensorium.store import TIERS, Store, is_set, open_store
from omnimouse_cli.recording.session_key import choose_session_key
from omnimouse_cli.text import pluralize

__all__ = ["MARKERS", "is_set", "open_set"]

MARKERS = "meta/trials/tiers.npy (a Sensorium set, as a folder or a zip archive)"

_SCAN_IN_NAME = re.compile(r"(?:dynamic|static)(\d+-\d+-\d+)")
# The competition's sets end in these hashes of their preprocessing.
_KNOWN_SETS = {
    "94c6ff995dac583098847cfecd43e7b6": (
        "Willeke et al. (2022), The Sensorium competition on predicting large-scale mouse primary "
        "visual cortex activity, arXiv:2206.08666"
    ),
    "8744edeac3b4d1ce16b680916b5267ce": (
        "Turishcheva et al. (2023), The Dynamic Sensorium competition for predicting large-scale "
        "mouse visual cortex activity from videos, arXiv:2305.19654"
    ),
}
_KNOWN_SETS["9b4f6a1a067fe51e15306b9628efea20"] = _KNOWN_SETS["8744edeac3b4d1ce16b680916b5267ce"]
_LICENCE = "CC-BY-NC-ND-4.0"
_NEURONS = "meta/neurons"


def open_set(path: Path, options: OpenOptions) -> Recording:
    """Open a Sensorium set of videos (2023), or of images (2022) with `options.static`.

    The trials of a set have no times. They are laid one after the other, without gaps, and no
    window reaches from one into the next. A video trial has the rows of its video at 30 Hz. An
    image has one number per neuron and no time course: it becomes a trial of two seconds, the
    length of a window, with one frame and one row of each signal, which is held. So a window is
    one image, and there is nothing to forecast.

    Statistics of the set (meta/statistics) are not used: they are over trials at each frame.

    Args:
        path: A folder, or a zip archive, which is read where it lies.
        options: `static` and `licence` are used.

    Raises:
        RecordingError: A file is missing, damaged or contradicts another one, or the set is static
            and `options.static` is False.
    """
    store = open_store(path)
    is_static = not store.variable(VIDEOS) and bool(store.variable(IMAGES))
    if is_static and not options.static:
        raise RecordingError(
            f"{path} is a static set: one number per neuron and image, without a time course",
            hint="open it with --static: each image becomes a trial of two seconds with constant "
            "responses, and forecasts do not exist",
        )
    stimuli = store.variable(IMAGES if is_static else VIDEOS)
    if not stimuli:
        raise RecordingError(
            f"{path} has no stimulus: neither data/videos nor data/images was found",
            hint="download it again; the competition's sets have one of the two",
        )
    layout = place_trials(store, is_static=is_static)
    screen, trials, screen_notes = open_screen(store, stimuli, layout, is_static=is_static)
    behavior, behavior_notes = open_behavior(store, layout)
    neurons, neuron_notes = _read_neurons(store, layout.num_neurons)
    provenance, licence_notes = _provenance(store, options)
    session = _session_key(store, options.key)
    return Recording(
        path=path,
        session=session,
        animal=session.split("-", 1)[0] or session,
        origin_seconds=0.0,
        responses=open_responses(store, layout),
        neurons=neurons,
        trials=trials,
        screen=screen,
        behavior=behavior,
        notes=(
            *_time_notes(is_static=is_static),
            *layout.notes,
            *screen_notes,
            *behavior_notes,
            *neuron_notes,
            *licence_notes,
        ),
        gaps=layout.gaps,
        windows_within_trials=True,
        provenance=provenance,
        contents=_contents(store, layout, is_static=is_static),
    )


def _time_notes(*, is_static: bool) -> list[str]:
    notes = ["the set has no date and no clock: trials lie one after the other from second 0 on"]
    if is_static:
        notes.append(
            "a static set has no time course: each image is a trial of 2 s with the constant "
            "response and behavior that the set has for it, so that a window is one image"
        )
    return notes


def _session_key(store: Store, stated: str | None) -> str:
    """Return the key that the user states, else animal, session and scan in the set's name.

    Raises:
        RecordingError: The name cannot be used as a file name.
    """
    match = _SCAN_IN_NAME.match(store.name)
    key = match[1] if match else store.name
    return choose_session_key(key, stated, source=str(store.path), hint="rename the folder")


def _read_neurons(store: Store, num_neurons: int) -> tuple[Neurons, list[str]]:
    notes: list[str] = []
    unit_id = _read_property(store, "unit_ids", (num_neurons,), notes)
    position = _read_property(store, "cell_motor_coordinates", (num_neurons, 3), notes)
    neurons = Neurons(
        num_neurons=num_neurons,
        unit_id=None if unit_id is None else unit_id.astype(np.int64),
        position_um=None if position is None else position.astype(np.float32),
        area=_read_texts(store, "area", num_neurons, notes),
        layer=_read_texts(store, "layer", num_neurons, notes),
    )
    return neurons, notes


def _read_property(
    store: Store, name: str, shape: tuple[int, ...], notes: list[str]
) -> NDArray[np.generic] | None:
    file = f"{_NEURONS}/{name}.npy"
    if file not in store.files:
        return None
    try:
        values = store.read_array(file)
    except RecordingError as error:
        notes.append(f"not used: {error.message}")
        return None
    if values.shape != shape or values.dtype.kind not in "iuf":
        notes.append(f"not used: {file} is {values.dtype} of shape {values.shape}, not {shape}")
        return None
    return values


def _read_texts(
    store: Store, name: str, num_neurons: int, notes: list[str]
) -> NDArray[np.str_] | None:
    file = f"{_NEURONS}/{name}.npy"
    texts = store.read_texts(file, num_neurons, notes) if file in store.files else None
    return None if texts is None else np.array(texts, np.str_)


def _provenance(store: Store, options: OpenOptions) -> tuple[Provenance, list[str]]:
    citation = next((text for end, text in _KNOWN_SETS.items() if store.name.endswith(end)), None)
    licence = options.licence or (None if citation is None else _LICENCE)
    notes = []
    if licence == _LICENCE:
        notes.append(f"the licence of the set is {licence}: shards made from it must not be shared")
    return Provenance(series=f"data/{RESPONSES}", licence=licence, citation=citation), notes


def _contents(store: Store, layout: Layout, *, is_static: bool) -> tuple[Content, ...]:
    uses = {
        RESPONSES: "responses",
        IMAGES if is_static else VIDEOS: "stimulus",
        BEHAVIOR: "behavior",
        PUPIL_CENTER: "gaze",
    }
    rows = []
    for variable, use in uses.items():
        files = store.variable(variable)
        if files:
            file = next(iter(files.values()))
            header = store.read_header(file)
            what = f"{pluralize(len(files), 'trial')}, {header.dtype} of shape {header.shape}"
            rows.append(Content(path=file.rsplit("/", 1)[0], what=what, use=use))
    taken = {row.path for row in rows}
    rows += [
        Content(
            path=f"data/{name}",
            what=pluralize(len(files), "trial"),
            use="not taken: unknown variable",
        )
        for name, files in store.trial_files.items()
        if f"data/{name}" not in taken
    ]
    tiers = Counter(trial.tier for trial in layout.trials)
    rows.append(Content(path=TIERS, what=_counts(tiers), use="tiers"))
    for name, use in (("unit_ids", "unit ids"), ("cell_motor_coordinates", "positions in um")):
        file = f"{_NEURONS}/{name}.npy"
        if file in store.files:
            rows.append(Content(path=file, what=f"{store.files[file]:,} bytes", use=use))
    for name, use in (("area", "visual areas"), ("layer", "cortical layers")):
        texts = _read_texts(store, name, layout.num_neurons, [])
        if texts is not None:
            what = _counts(Counter(texts.tolist()))
            rows.append(Content(path=f"{_NEURONS}/{name}.npy", what=what, use=use))
    if any(file.startswith("meta/statistics/") for file in store.files):
        use = "not taken: they are over trials at each frame; statistics are computed from the rows"
        rows.append(Content(path="meta/statistics", what="means and others", use=use))
    return tuple(rows)


def _counts(names: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in names.items())
