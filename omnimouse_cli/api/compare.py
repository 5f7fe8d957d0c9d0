"""Runs compared: `om.compare`, the function of `omnimouse compare`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from omnimouse_cli.api.arguments import PathLike, as_paths
from omnimouse_cli.api.folders import find_run
from omnimouse_cli.api.progress import choose_reporter
from omnimouse_cli.files import explain_file_errors
from omnimouse_cli.reporter import Reporter

if TYPE_CHECKING:
    from omnimouse_cli.report.comparison import Comparison


@explain_file_errors()
def compare(runs: Sequence[PathLike], *, progress: bool | Reporter = False) -> "Comparison":
    """Compare runs with the first of them: paired differences of scores, and configurations.

    The scores are those of kept evaluations, on the windows that two runs share.

    Args:
        runs: Run folders, or names of runs; at least two.
        progress: Whether lines about the progress are written on stderr; or a reporter.

    Returns:
        `differences` with intervals, `configuration` (the keys that differ), and `unpaired` (what
        cannot be compared, and the command that makes it comparable).

    Raises:
        OmniMouseError: There are fewer runs, one does not exist, or a file is damaged.

    Example:
        >>> import omnimouse_cli as om
        >>> try:
        ...     om.compare(["runs/demo", "runs/demo"])
        ... except om.OmniMouseError as error:
        ...     print(error.message)
        a comparison needs two different runs
    """
    from omnimouse_cli.report.comparison import compare_runs

    reporter = choose_reporter(progress)
    return compare_runs([find_run(run, reporter) for run in as_paths(runs)])
