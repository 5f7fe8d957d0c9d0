"""Scaling laws of runs: `om.scaling_report`, the function of `omnimouse scaling-report`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from omnimouse_cli.api.arguments import (
    PathLike,
    as_path,
    as_paths,
    require_at_least,
    require_choice,
)
from omnimouse_cli.api.folders import all_runs, folder
from omnimouse_cli.api.libraries import require_libraries
from omnimouse_cli.api.progress import choose_reporter
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import explain_file_errors
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.text import pluralize

if TYPE_CHECKING:
    from omnimouse_cli.report.analysis import ScalingReport
    from omnimouse_cli.report.table import RunTable

DEFAULT_FOLDER = Path("scaling-report")


@explain_file_errors()
def scaling_report(
    runs: PathLike | Sequence[PathLike] | None = None,
    *,
    table: PathLike | None = None,
    columns: str | Mapping[str, str] | None = None,
    where: str | Sequence[str] = (),
    out: PathLike = DEFAULT_FOLDER,
    parameters: Literal["core", "total"] = "core",
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool | Reporter = False,
) -> "ScalingReport":
    """Fit scaling laws to finished runs, and write `report.html` and `report.json`.

    The joint law is E + A / N^alpha + B / D^beta, of N parameters and D unique tokens.

    Args:
        runs: Run folders, or folders of them; by default all of runs/.
        table: A CSV file instead of runs.
        columns: Its names, as `{"loss": "c4_loss"}` or "loss=c4_loss,...".
        where: Which rows: "column==value" or "column!=value"; all must hold.
        out: Folder of the report.
        parameters: What counts in runs: `core` (shared) or `total`.
        bootstrap: Number of resamples of whole runs.
        seed: Seed of starts and resamples.
        progress: Whether lines about the progress are written on stderr; or a reporter.

    Returns:
        Rows, joint law with intervals, alternatives, verdict, and `warnings`: the limits of the
        data and of the fit.

    Raises:
        OmniMouseError: No run can be used, an argument is wrong, or scipy or Matplotlib is missing.

    Example:
        >>> import omnimouse_cli as om
        >>> report = om.scaling_report("runs", bootstrap=10)
        >>> report.verdict.limit, len(report.table.rows) >= 1
        ('undetermined', True)
    """
    require_choice("parameters", parameters, ("core", "total"))
    require_at_least(10, bootstrap=bootstrap)
    folders = as_paths(runs)
    if table is not None and folders:
        raise OmniMouseError("give `runs` or `table`, not both")
    if table is None and columns:
        raise OmniMouseError("`columns` goes with `table`", hint="name a CSV file as `table`")
    require_libraries("scaling-report", "scipy", "matplotlib")
    from omnimouse_cli.report.analysis import analyze
    from omnimouse_cli.report.page import write_report

    reporter = choose_reporter(progress)
    conditions = (where,) if isinstance(where, str) else tuple(where)
    path = as_path(table)
    if path is not None:
        rows = _read_csv(path, columns, conditions)
    else:
        rows = _read_runs(folders, conditions, count=parameters, reporter=reporter)
    report = analyze(rows, num_resamples=bootstrap, seed=seed, reporter=reporter)
    page, document = write_report(report, Path(out))
    reporter.say(f"wrote {page} and {document}")
    return report


def _read_csv(
    table: Path, columns: str | Mapping[str, str] | None, where: Sequence[str]
) -> "RunTable":
    from omnimouse_cli.report.csv_table import parse_columns, read_csv_table
    from omnimouse_cli.report.table import parse_condition

    if isinstance(columns, Mapping):
        columns = ",".join(f"{ours}={theirs}" for ours, theirs in columns.items())
    return read_csv_table(
        table,
        columns=parse_columns(columns or ""),
        where=[parse_condition(text) for text in where],
    )


def _read_runs(
    folders: list[Path],
    where: Sequence[str],
    *,
    count: Literal["core", "total"],
    reporter: Reporter,
) -> "RunTable":
    from omnimouse_cli.report.runs import read_run_table
    from omnimouse_cli.report.table import parse_condition

    if not folders:
        folders = all_runs()
        if not folders:
            raise OmniMouseError(
                f"no run was named and there is none in {folder('runs')}/",
                hint="train some: omnimouse sweep; or read a CSV file: --table FILE.csv",
            )
        reporter.say(f"taking {pluralize(len(folders), 'run')} of {folder('runs')}/ (default)")
    return read_run_table(folders, count=count, where=[parse_condition(text) for text in where])
