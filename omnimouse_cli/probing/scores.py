"""How well a run predicts each neuron, from the evaluations in its folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import read_document
from omnimouse_cli.run.folder import EVALUATIONS

F64 = NDArray[np.float64]
FILE, DOCUMENT = "neurons.npz", "eval.json"
STRATEGY = "predict"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NeuronScores:
    """Prediction scores of all neurons of a session.

    Args:
        values: float64 `(neurons,)`: single-trial correlation of the strategy `predict`; NaN where
            a neuron was not scored. Of an ensemble, the mean over its runs.
        source: Where they were read, in words.
    """

    values: F64
    source: str


def find_scores(runs: Sequence[Path], session: str, num_neurons: int) -> NeuronScores | None:
    """Read the newest evaluations that scored `predict` in a session.

    Of an ensemble it is the evaluation of the ensemble, where there is one, or else the mean of
    those of its runs.

    Args:
        runs: Folders of the runs.
        session: Session key.
        num_neurons: Number of neurons of the session.

    Returns:
        None if there is no such evaluation, or not of every run.

    Raises:
        OmniMouseError: A file is damaged.
    """
    names = [run.resolve().name for run in runs]
    together = _newest(runs[0], names, session, num_neurons) if len(runs) > 1 else None
    found = [together] if together else [_newest(run, None, session, num_neurons) for run in runs]
    known = [one for one in found if one is not None]
    if len(known) < len(found):
        return None
    files = ", ".join(str(file) for file, _ in known)
    text = f"single-trial correlation of {STRATEGY}, {files}"
    return NeuronScores(values=np.mean([scores for _, scores in known], axis=0), source=text)


def _newest(
    run: Path, ensemble: list[str] | None, session: str, num_neurons: int
) -> tuple[Path, F64] | None:
    """Return the newest file with scores of a run, or of the ensemble of named runs; None if none.

    Evaluations of an ensemble are in the folder of its first run and name all of them.
    """
    files = sorted((run / EVALUATIONS).glob(f"*/{FILE}"), key=lambda one: -one.stat().st_mtime)
    for file in files:
        document = file.with_name(DOCUMENT)
        content = read_document(document, "eval") if document.is_file() else {}
        if content.get("runs") != ensemble:
            continue
        scores = _read(file, session, num_neurons)
        if scores is not None:
            return file, scores
    return None


def _read(file: Path, session: str, num_neurons: int) -> F64 | None:
    folder = f"{session}/{STRATEGY}/neurons"
    try:
        with np.load(file) as arrays:
            if f"{folder}/model" not in arrays:
                return None
            index, model = arrays[f"{folder}/index"], arrays[f"{folder}/model"]
    except (OSError, ValueError, EOFError) as error:
        raise OmniMouseError(
            f"{file} is damaged: {error}", hint="evaluate the run again: omnimouse eval RUN"
        ) from error
    if len(index) and index.max() >= num_neurons:
        raise OmniMouseError(
            f"{file} scores neuron {index.max()} of session {session}, which has {num_neurons}",
            hint="evaluate the run again: omnimouse eval RUN",
        )
    scores = np.full(num_neurons, np.nan)
    scores[index] = model
    return scores
