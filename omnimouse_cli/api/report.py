"""The page of runs: `om.run_report`, the function of `omnimouse report`."""

import os
from collections.abc import Sequence
from pathlib import Path

from omnimouse_cli.api.arguments import PathLike, as_paths
from omnimouse_cli.api.folders import find_run, newest_finished_run
from omnimouse_cli.api.libraries import require_libraries
from omnimouse_cli.api.progress import choose_reporter
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import explain_file_errors
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.folder import find_runs

PAGE = "report.html"


@explain_file_errors()
def run_report(
    runs: PathLike | Sequence[PathLike] | None = None,
    *,
    out: PathLike | None = None,
    progress: bool | Reporter = False,
) -> Path:
    """Write one HTML page about runs: data, learning curves, scores, neurons, traces.

    Only files that runs wrote are read: neither shards nor weights are needed.

    Args:
        runs: Run folders, or folders of them; by default the newest finished run.
        out: The HTML file; None is `report.html` in the run's folder, or of several runs in the
            folder that holds all of them.
        progress: Whether lines about the progress are written on stderr; or a reporter.

    Returns:
        The file.

    Raises:
        OmniMouseError: There is no run, its files are damaged, or Matplotlib is missing.

    Example:
        >>> import omnimouse_cli as om
        >>> om.run_report("runs/demo", out="demo.html").name
        'demo.html'
    """
    require_libraries("report", "matplotlib")
    from omnimouse_cli.report.run_files import read_runs
    from omnimouse_cli.report.run_page import write_run_page

    reporter = choose_reporter(progress)
    folders = [find_run(folder, reporter) for folder in as_paths(runs)]
    if not folders:
        folders = [newest_finished_run()]
        reporter.say(f"taking {folders[0]} (the newest finished run)")
    found = list(dict.fromkeys(run for folder in folders for run in _find_runs(folder)))
    page = _page_of(found) if out is None else Path(out)
    if page.is_dir():
        raise OmniMouseError(
            f"--out must be a file, and {page} is a folder", hint=f"for example {page / PAGE}"
        )
    if page.suffix.lower() not in (".html", ".htm"):
        raise OmniMouseError(
            f"{page} is no HTML file: its name must end in .html",
            hint=f"for example {page.with_suffix('.html')}",
        )
    write_run_page(read_runs(found, reporter), page, reporter)
    return page


def _find_runs(folder: Path) -> list[Path]:
    runs = find_runs(folder)
    if not runs:
        raise OmniMouseError(
            f"{folder} is neither a run nor a folder of runs",
            hint="train one: omnimouse train; omnimouse runs lists them",
        )
    return runs


def _page_of(runs: Sequence[Path]) -> Path:
    """Return the page of a run in its folder, that of several in the folder of all of them."""
    if len(runs) == 1:
        return runs[0] / PAGE
    return Path(os.path.commonpath([run.resolve().parent for run in runs])) / PAGE
