"""Simulates a set of recordings; complete ones are skipped when the command is run again."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from omnimouse_cli.errors import OmniMouseError, RecordingError
from omnimouse_cli.files import read_document, sync_folder, translate_full_disk
from omnimouse_cli.recording.simulated.ceilings import Ceilings, measure_ceilings
from omnimouse_cli.recording.simulated.session import write_session
from omnimouse_cli.recording.simulated.settings import SimulationConfig
from omnimouse_cli.recording.simulated.truth import TRUTH_FOLDER, has_truth
from omnimouse_cli.reporter import Reporter

# Readers search one level of folders, so that they do not find incomplete sessions in here.
STAGING_FOLDER = ".partial"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedSession:
    """One simulated session.

    Args:
        path: Folder of the session.
        session: Session key.
        animal: The animal in the session key.
        neurons: Number of neurons.
        minutes: Duration.
        ceilings: Upper bounds of the scores on its test tier.
    """

    path: Path
    session: str
    animal: str
    neurons: int
    minutes: float
    ceilings: Ceilings


def _is_complete(path: Path, identity: dict[str, float | int]) -> bool:
    """Return whether `path` holds the simulation with this identity.

    Raises:
        RecordingError: It holds something else.
    """
    if not path.exists():
        return False
    if not has_truth(path):
        raise RecordingError(
            f"{path} exists and is no simulated recording",
            hint="choose another folder; --force replaces simulated recordings only",
        )
    try:
        found = read_document(path / TRUTH_FOLDER / "truth.json", "truth").get("identity")
    except OmniMouseError:
        found = None
    if found != identity:
        raise RecordingError(
            f"{path} holds another simulation: {found} instead of {identity}",
            hint="choose another folder, or replace it with --force",
        )
    return True


def _simulate_session(
    folder: Path, config: SimulationConfig, number: int, *, force: bool, reporter: Reporter
) -> SimulatedSession:
    key = config.session_key(number)
    path = folder / key
    replace = force and has_truth(path)
    if not replace and _is_complete(path, config.identity(number)):
        reporter.say(f"{path} is complete: skipped")
    else:
        staging = folder / STAGING_FOLDER / key
        shutil.rmtree(staging.parent, ignore_errors=True)
        reporter.start(key, config.minutes * 60.0)
        with translate_full_disk(path):
            staging.mkdir(parents=True)
            write_session(staging, config, number, reporter)
            if replace:
                # Renamed before it is deleted: a killed process leaves no half of it in place.
                path.rename(staging.with_name(f"{key}.replaced"))
            staging.rename(path)
            sync_folder(folder)
        reporter.finish(key)
    return SimulatedSession(
        path=path,
        session=key,
        animal=str(config.animal(number)),
        neurons=config.neurons,
        minutes=config.minutes,
        ceilings=measure_ceilings(path),
    )


def simulate(
    folder: Path, config: SimulationConfig, *, force: bool = False, reporter: Reporter
) -> list[SimulatedSession]:
    """Simulate recordings with ground truth, as experanto session folders.

    Args:
        folder: Receives one folder per session; complete sessions in it are kept.
        config: The configuration.
        force: Whether simulated sessions in `folder` are replaced.
        reporter: Receives the progress of each session.

    Raises:
        RecordingError: A session's folder holds something else.
        OmniMouseError: The disk is full.
    """
    if folder.exists() and not folder.is_dir():
        raise RecordingError(f"{folder} is a file, and the recordings need a folder")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return [
            _simulate_session(folder, config, number, force=force, reporter=reporter)
            for number in range(config.sessions)
        ]
    finally:
        shutil.rmtree(folder / STAGING_FOLDER, ignore_errors=True)
