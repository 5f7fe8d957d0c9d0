"""Linear skip connections from responses, stimulus and behavior to the read-outs."""

from omnimouse_cli.model.shortcuts.history import HistoryShortcut, has_history
from omnimouse_cli.model.shortcuts.shortcuts import (
    Contributions,
    Shortcuts,
    is_shortcut_parameter,
)

__all__ = [
    "Contributions",
    "HistoryShortcut",
    "Shortcuts",
    "has_history",
    "is_shortcut_parameter",
]
