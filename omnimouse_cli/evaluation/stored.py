"""The stored evaluations of a run: which there are, and their arrays."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.recording.arrays.npy import ZIP_ERRORS
from omnimouse_cli.run.folder import EVAL, EVALUATE_AGAIN, EVALUATIONS


def find_evaluations(run: Path) -> list[Path]:
    """Return the eval.json of each complete evaluation of a run, the newest last."""
    found = run.glob(f"{EVALUATIONS}/*/{EVAL}")
    return sorted(found, key=lambda path: (path.stat().st_mtime, path))


def load_arrays(path: Path, prefix: str = "") -> dict[str, NDArray[Any]]:
    """Read the arrays of a `.npz` file of an evaluation whose names begin with a prefix.

    Returns:
        The arrays by the rest of their names; none where the file does not exist, as earlier
        versions wrote fewer files.

    Raises:
        OmniMouseError: The file is damaged.
    """
    if not path.is_file():
        return {}
    try:
        # A damaged file that NumPy has opened itself stays open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            chosen = [name for name in stored.files if name.startswith(prefix)]
            return {name.removeprefix(prefix): stored[name] for name in chosen}
    except (OSError, ValueError, EOFError, *ZIP_ERRORS) as error:
        raise OmniMouseError(f"{path} is damaged: {error}", hint=EVALUATE_AGAIN) from error
