"""What the tables that frozen functions are read from cost in accuracy, told and kept."""

from typing import Any

from omnimouse_cli.config.dendrite import DendriteConfig
from omnimouse_cli.model.feed_forward import table_error
from omnimouse_cli.model.omnimouse import OmniMouse
from omnimouse_cli.reporter import Reporter


def tell_table_error(core: OmniMouse, config: DendriteConfig, reporter: Reporter) -> None:
    """Say how far the worst table is from its function, if functions are read from tables."""
    error = table_error(core)
    if error is None:
        return
    reach = config.table_range
    reporter.say(
        f"frozen functions are read from tables of {config.table} x {config.table} cells, off by "
        f"{100 * error.rms:.2g} % of their standard deviation (root mean square, normal "
        f"arguments); at most {100 * error.largest:.2g} % for arguments up to {reach:g}, "
        f"{100 * error.beyond:.2g} % up to {2 * reach:g}"
    )


def table_fields(core: OmniMouse, config: DendriteConfig) -> dict[str, Any] | None:
    """Give grid and errors as plain values for `summary.json`; None without a table."""
    error = table_error(core)
    if error is None:
        return None
    return {"cells": config.table, "range": config.table_range, "error": error._asdict()}
