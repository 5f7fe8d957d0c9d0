"""Writes report.json and report.html into a folder."""

from pathlib import Path

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import write_document, write_text
from omnimouse_cli.report.analysis import ScalingReport
from omnimouse_cli.report.document import content
from omnimouse_cli.report.figures import draw_all
from omnimouse_cli.report.page import page


def write_report(report: ScalingReport, folder: Path) -> tuple[Path, Path]:
    """Write both files, each whole or not at all.

    Args:
        report: What to write.
        folder: Where; it is made when it does not exist.

    Returns:
        The paths of report.html and report.json.

    Raises:
        OmniMouseError: The folder is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise OmniMouseError(f"--out must be a folder, and {folder} is a file")
    document_path, page_path = folder / "report.json", folder / "report.html"
    write_document(document_path, "scaling-report", content(report))
    write_text(page_path, page(report, draw_all(report)))
    return page_path, document_path
