"""Loading of trained runs: `om.load_run`."""

from collections.abc import Sequence

from omnimouse_cli.api.arguments import PathLike, as_path, as_paths
from omnimouse_cli.api.run import Run
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import explain_file_errors


@explain_file_errors()
def load_run(
    run: PathLike | Sequence[PathLike], *, shards: PathLike | None = None, device: str = "auto"
) -> Run:
    """Load a finished run, or several runs of other seeds as an ensemble.

    Args:
        run: Folder of the run; or several, whose predictions are averaged.
        shards: Folder of the shards; None takes that of the training if it is still there. Without
            shards, responses are in standard deviations and neurons have no ids.
        device: `cpu`, `cuda` or `auto` (cuda where there is one).

    Raises:
        CheckpointError: A folder is no run, has not finished or is damaged; or the shards have
            none of its sessions.
        OmniMouseError: No run was named, there is no such device, or the runs of an ensemble differ
            in more than their seed.

    Example:
        >>> import omnimouse_cli as om
        >>> run = om.load_run("runs/demo", device="cpu")
        >>> run.sessions, run.frame_shape
        (('20001-1-1',), (36, 64))
    """
    from omnimouse_cli.probe.session_model import find_shards
    from omnimouse_cli.run.load import load_run
    from omnimouse_cli.train.parallel.world import select_device

    folders = as_paths(run)
    if not folders:
        raise OmniMouseError("no run was named", hint="name the folder of a run, or several")
    target = select_device(device)
    loaded = tuple(load_run(folder) for folder in folders)
    return Run(loaded, find_shards(loaded[0], as_path(shards)), target)
