"""How well a run predicts each neuron, from the evaluations in its folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.evaluation.stored import find_evaluations, load_arrays
from omnimouse_cli.files import read_document
from omnimouse_cli.run.folder import EVALUATE_AGAIN, NEURONS

F64 = NDArray[np.float64]
STRATEGY = "predict"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NeuronScores:
    """Prediction scores of all neurons of a session.

    Args:
        values: float64 `(neurons,)`: single-trial correlation of the strategy `predict`; NaN where
            a neuron was not scored. Of an ensemble, the mean over its runs.
        source: What the scores are, and their files.
    """

    values: F64
    source: str


def find_scores(runs: Sequence[Path], session: str, num_neurons: int) -> NeuronScores | None:
    """Read the newest evaluations that scored `predict` in a session.

    Scores of an ensemble are those of its own evaluation, or else the mean over its runs.

    Args:
        runs: Folders of the runs.
        session: Session key.
        num_neurons: Number of neurons of the session.

    Returns:
        None if there is no such evaluation, or not of every run.

    Raises:
        OmniMouseError: A file is damaged.
    """
    prefix = f"{session}/{STRATEGY}/neurons/"
    together = newest_scores(runs, prefix) if len(runs) > 1 else None
    found = [together] if together else [newest_scores([run], prefix) for run in runs]
    known = [one for one in found if one is not None]
    if len(known) < len(found):
        return None
    scores = [_scatter(file, arrays, session, num_neurons) for file, arrays in known]
    files = ", ".join(str(file) for file, _ in known)
    text = f"single-trial correlation of {STRATEGY}, {files}"
    return NeuronScores(values=np.mean(scores, axis=0), source=text)


def newest_scores(runs: Sequence[Path], prefix: str) -> tuple[Path, dict[str, NDArray[Any]]] | None:
    """Return the newest `neurons.npz` that has arrays with a prefix, and these arrays.

    Args:
        runs: Folder of a run, or of each run of an ensemble. Evaluations of an ensemble are in the
            folder of its first run and name all of them.
        prefix: Start of names: `<session>/`, or with a strategy.

    Returns:
        The file, and the arrays by the rest of their names; None if there is no such file.

    Raises:
        OmniMouseError: A file is damaged.
    """
    names = [run.resolve().name for run in runs] if len(runs) > 1 else None
    for document in reversed(find_evaluations(runs[0])):
        content = read_document(document, "eval")
        shards = content.get("options", {}).get("shards") or {}
        if content.get("runs") != names or shards.get("other_data"):
            continue
        file = document.with_name(NEURONS)
        arrays = load_arrays(file, prefix)
        if arrays:
            return file, arrays
    return None


def _scatter(file: Path, arrays: Mapping[str, NDArray[Any]], session: str, num_neurons: int) -> F64:
    """Return the scores of all neurons; NaN where one was not scored."""
    index = arrays["index"].astype(np.int64)
    if len(index) and index.max() >= num_neurons:
        raise OmniMouseError(
            f"{file} scores neuron {index.max()} of session {session}, which has {num_neurons}",
            hint=EVALUATE_AGAIN,
        )
    scores = np.full(num_neurons, np.nan)
    scores[index] = arrays["model"]
    return scores
