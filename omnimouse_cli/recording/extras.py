"""Libraries that only some raw formats need, and the error where one is not installed."""

import importlib
from pathlib import Path
from types import ModuleType

from omnimouse_cli.errors import RecordingError


def require_extra(module: str, extra: str, path: Path) -> ModuleType:
    """Import a library that only some raw formats need, and return it.

    Args:
        module: Name by which it is imported, as `h5py`.
        extra: Extra of omnimouse that installs it, as `nwb`.
        path: The recording that needs it.

    Raises:
        RecordingError: The library is not installed.

    Example:
        >>> require_extra("json", "nwb", Path("session.nwb")).dumps(1)
        '1'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # A library that is there and lacks one of its own is broken, which is another error.
        if error.name != module.partition(".")[0]:
            raise
        raise RecordingError(
            f"{path} cannot be read without {module}, which is not installed",
            hint=f"pip install 'omnimouse[{extra}]'",
        ) from error
