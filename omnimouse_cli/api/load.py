"""Loading of trained runs: `om.load_run`."""

from collections.abc import Sequence
from pathlib import Path

from omnimouse_cli.api.arguments import PathLike, as_path, as_paths
from omnimouse_cli.api.folders import find_run, newest_finished_run
from omnimouse_cli.api.progress import choose_reporter
from omnimouse_cli.api.run import Run
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import explain_file_errors
from omnimouse_cli.reporter import Reporter


def load_run(
    run: PathLike | Sequence[PathLike],
    *,
    shards: PathLike | None = None,
    allow_other_data: bool = False,
    device: str = "auto",
) -> Run:
    """Load a finished run, or several runs of other seeds as an ensemble.

    Args:
        run: Folder of the run, or its name in the runs folder; or several, whose predictions are
            averaged.
        shards: Folder of the shards; None takes that of the training if it is still there. Without
            shards, responses are in standard deviations and neurons have no ids.
        allow_other_data: Whether the shards may hold other data of a session than those of the
            training; a warning names the session.
        device: `cpu`, `cuda` or `auto` (cuda where there is one).

    Raises:
        CheckpointError: A folder is no run, has not finished or is damaged; or the shards have
            none of its sessions, or hold other data of one.
        OmniMouseError: No run was named, there is no such device, or the runs of an ensemble differ
            in more than their seed.

    Example:
        >>> import omnimouse_cli as om
        >>> run = om.load_run("runs/demo", device="cpu")
        >>> run.sessions, run.frame_shape
        (('20001-1-1',), (36, 64))
    """
    folders = as_paths(run)
    if not folders:
        raise OmniMouseError("no run was named", hint="name the folder of a run, or several")
    return _load(folders, as_path(shards), device, choose_reporter(False), allow_other_data)


@explain_file_errors()
def _load(
    folders: Sequence[Path],
    shards: Path | None,
    device: str,
    reporter: Reporter,
    allow_other_data: bool,  # noqa: FBT001 - by position
) -> Run:
    from omnimouse_cli.probing.session_model import find_shards
    from omnimouse_cli.run.load import load_run
    from omnimouse_cli.training.parallel.world import select_device

    target = select_device(device)
    loaded = tuple(load_run(find_run(folder, reporter)) for folder in folders)
    found = find_shards(loaded[0], shards, reporter, allow_other_data=allow_other_data)
    return Run(loaded, found, target)


def as_run(
    run: Run | PathLike | Sequence[PathLike] | None,
    *,
    shards: PathLike | None,
    device: str,
    reporter: Reporter,
    allow_other_data: bool = False,
) -> Run:
    """Return a run that is loaded already, or load it; None loads the newest finished one.

    Args:
        run: The run, its folder, or several folders.
        shards: Folder of the shards.
        device: `cpu`, `cuda` or `auto`.
        reporter: Receives which run was taken, and warnings about its shards.
        allow_other_data: Whether the shards may hold other data than those of the training.

    Raises:
        OmniMouseError: Shards or a device are named for a run that is loaded, or as `load_run`.
    """
    if isinstance(run, Run):
        if shards is not None or device != "auto":
            raise OmniMouseError(
                "the run is loaded already, with its shards and on its device",
                hint="name them there: om.load_run(RUN, shards=FOLDER, device=DEVICE)",
            )
        return run
    folders = list(dict.fromkeys(as_paths(run)))
    if not folders:
        folders = [newest_finished_run()]
        reporter.say(f"taking {folders[0]} (the newest finished run)")
    return _load(folders, as_path(shards), device, reporter, allow_other_data)
