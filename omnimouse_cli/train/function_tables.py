"""What the tables that frozen functions are read from cost in accuracy, told and kept."""

from typing import Any

from omnimouse_cli.config.dendrite import DendriteConfig
from omnimouse_cli.model.feed_forward import lookup_grid, table_accuracy
from omnimouse_cli.model.omnimouse import OmniMouse
from omnimouse_cli.reporter import Reporter


def tell_table_error(core: OmniMouse, config: DendriteConfig, reporter: Reporter) -> None:
    """Say how far the worst table is from its function, if functions are read from tables."""
    accuracy, grid = table_accuracy(core), lookup_grid(config)
    if accuracy is None or grid is None:
        return
    reporter.say(
        f"frozen functions are read from lookup tables of {grid.cells} x {grid.cells} cells; "
        f"interpolation is off by {100 * accuracy.rms:.2g} % of their standard deviation (root "
        f"mean square, normal arguments); at most {100 * accuracy.largest:.2g} % for arguments up "
        f"to {grid.limit:g}, {100 * accuracy.beyond:.2g} % up to {2 * grid.limit:g}"
    )


def table_fields(core: OmniMouse, config: DendriteConfig) -> dict[str, Any] | None:
    """Give grid and errors as plain values for `summary.json`; None without a table."""
    accuracy, grid = table_accuracy(core), lookup_grid(config)
    if accuracy is None or grid is None:
        return None
    return {"cells": grid.cells, "range": grid.limit, "error": accuracy._asdict()}
