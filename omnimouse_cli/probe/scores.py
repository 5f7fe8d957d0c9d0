"""How well a run predicts each neuron, from the evaluations in its folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.run.folder import EVALUATIONS

F64 = NDArray[np.float64]
FILE = "neurons.npz"
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
    """Read the newest evaluation of each run that scored `predict` in a session.

    Args:
        runs: Folders of the runs.
        session: Session key.
        num_neurons: Number of neurons of the session.

    Returns:
        None if a run has no such evaluation.

    Raises:
        OmniMouseError: A file is damaged.
    """
    values, sources = [], []
    for run in runs:
        files = sorted(
            (run / EVALUATIONS).glob(f"*/{FILE}"), key=lambda one: one.stat().st_mtime, reverse=True
        )
        found = ((file, _read(file, session, num_neurons)) for file in files)
        source, scores = next((one for one in found if one[1] is not None), (None, None))
        if scores is None:
            return None
        sources.append(str(source))
        values.append(scores)
    text = f"single-trial correlation of {STRATEGY}, {', '.join(sources)}"
    return NeuronScores(values=np.mean(values, axis=0), source=text)


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
