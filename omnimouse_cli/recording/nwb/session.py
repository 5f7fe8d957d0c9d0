"""An NWB file as a recording."""

import dataclasses
from collections import Counter
from pathlib import Path

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.nwb.behavior import open_behavior
from omnimouse_cli.recording.nwb.contents import list_contents
from omnimouse_cli.recording.nwb.metadata import read_keys, read_origin, read_provenance
from omnimouse_cli.recording.nwb.population import Population, open_population
from omnimouse_cli.recording.nwb.profiles import Profile, find_profile, is_version_1
from omnimouse_cli.recording.nwb.responses import Choice, choose_responses, describe
from omnimouse_cli.recording.nwb.rois import depth_um, plane_areas, positions, unit_ids
from omnimouse_cli.recording.nwb.roles import kind_of
from omnimouse_cli.recording.nwb.series import is_epoch_time
from omnimouse_cli.recording.nwb.stimulus import open_stimulus
from omnimouse_cli.recording.nwb.tree import Node, open_tree
from omnimouse_cli.recording.options import OpenOptions
from omnimouse_cli.recording.recording import Neurons, Recording
from omnimouse_cli.text import pluralize

MARKERS = "a file NAME.nwb or a folder NAME.nwb.zarr (NWB)"

# Rates that differ less are one.
_RATE_TOLERANCE = 1e-6
_STORE_FILES = (".zgroup", "zarr.json")


def is_session(path: Path) -> bool:
    """Return whether a path looks like an NWB file or store, even a damaged one."""
    if path.name.startswith("."):
        return False
    if path.name.endswith(".nwb.zarr"):
        return path.is_dir()
    if path.suffix == ".zarr":
        return (path / "session_start_time").is_dir() and (path / "general").is_dir()
    if path.suffix != ".nwb":
        return False
    return path.is_file() or any((path / name).is_file() for name in _STORE_FILES)


def open_session(path: Path, options: OpenOptions) -> Recording:
    """Open an NWB file; rows and frames stay on disk.

    Second 0 of the recording is second 0 of the file.

    Args:
        path: The file, or the folder of a Zarr store.
        options: What the user says about the file.

    Raises:
        RecordingError: The file is damaged, holds no responses, or contradicts itself.
    """
    with open_tree(path) as root:
        return _open(root, path, options)


def _open(root: Node, path: Path, options: OpenOptions) -> Recording:
    if "nwb_version" not in root.attributes and not is_version_1(root):
        raise RecordingError(
            f"{path} is no NWB: it has no `nwb_version`",
            hint="NWB files are made by pynwb, MatNWB or neuroconv",
        )
    profile = find_profile(root)
    choice = choose_responses(root, options.series, options.rate_hz)
    population = open_population(choice.planes, options.rate_hz)
    own_session, animal = read_keys(root, profile)
    session = options.key or own_session
    origin, origin_notes = read_origin(root)
    if is_epoch_time(population.times):
        origin = 0.0
        origin_notes = ["times of the file count from 1970, not from the start of the session"]
    neurons, excluded, neuron_notes = _neurons(choice, population, profile, own_session)
    behavior = open_behavior(root, options, profile)
    stimulus = open_stimulus(root, options, response_seconds=population.times)
    series = ", ".join(plane.node.path for plane in choice.planes)
    provenance, provenance_notes = read_provenance(root, series=series, excluded=dict(excluded))
    rate_hz = population.signal.clock.rate_hz
    if options.rate_hz is not None and abs(options.rate_hz / rate_hz - 1) > _RATE_TOLERANCE:
        origin_notes.append(f"--rate is not used: by the times of the file it is {rate_hz:.4f} Hz")
    notes = (
        describe(choice), *choice.notes, *population.notes, *neuron_notes, *behavior.notes,
        *stimulus.notes, *origin_notes, *provenance_notes, *root.problems,
    )  # fmt: skip
    return Recording(
        path=path,
        session=session,
        animal=animal,
        origin_seconds=origin,
        responses=population.signal,
        neurons=neurons,
        trials=stimulus.trials,
        screen=stimulus.screen,
        behavior=behavior.signals,
        native_rate_hz=rate_hz,
        notes=tuple(dict.fromkeys(notes)),
        response_kind=None if choice.role is None else kind_of(choice.role),
        gaps=population.gaps,
        provenance=provenance,
        contents=list_contents(root, choice, behavior.uses, stimulus.contents),
    )


def _neurons(
    choice: Choice, population: Population, profile: Profile, session: str
) -> tuple[Neurons, Counter[str], list[str]]:
    """Return the kept neurons, the number of excluded ROIs by reason, and notes."""
    rois = [
        dataclasses.replace(plane.rois, is_kept=is_kept)
        for plane, is_kept in zip(choice.planes, population.kept, strict=True)
    ]
    ids, namespace, notes = unit_ids(rois, profile, session)
    excluded: Counter[str] = sum((plane.excluded for plane in rois), Counter[str]())
    if population.num_silent:
        excluded["no finite value"] += population.num_silent
    num_neurons = population.signal.num_channels
    if excluded:
        reasons = ", ".join(f"{number} ({reason})" for reason, number in excluded.items())
        notes.append(
            f"{pluralize(num_neurons, 'ROI is a neuron', 'ROIs are neurons')}; excluded: {reasons}"
        )
    depths = {depth for plane in rois if plane.plane and (depth := depth_um(plane.plane))}
    position = positions(rois)
    if position is None and depths:
        text = ", ".join(f"{depth:g}" for depth in sorted(depths))
        notes.append(f"positions of neurons are unknown; depth of the planes: {text} um")
    neurons = Neurons(
        num_neurons=num_neurons,
        unit_id=ids,
        position_um=position,
        id_namespace=namespace,
        delay_seconds=population.delay_seconds,
        area=plane_areas(rois),
    )
    return neurons, excluded, notes
