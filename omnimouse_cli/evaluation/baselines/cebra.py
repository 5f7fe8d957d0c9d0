"""CEBRA through its own package, and k-nearest neighbors on the embedding: decodes behavior.

Source: Schneider, Lee & Mathis, "Learnable latent embeddings for joint behavioural and neural
analysis" (Nature 617, 2023). The method is patented: nothing of it is copied here, the user
installs the package.

Budget: 2,000 iterations of 512 samples; k is chosen on the validation tier.
"""

import importlib
import importlib.util
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES
from omnimouse_cli.evaluation.baselines.bins import BEHAVIOR_AT_RESPONSES, RESPONSES_AT_BEHAVIOR
from omnimouse_cli.evaluation.baselines.choose import Choice
from omnimouse_cli.evaluation.baselines.network_data import choose_windows
from omnimouse_cli.evaluation.scorer import Piece
from omnimouse_cli.evaluation.session_reader import F32, I64
from omnimouse_cli.evaluation.targets import Targets

PACKAGE = "cebra"
# The package's setting for imaging of tens of milliseconds per sample; other values are its own.
OPTIONS = {
    "model_architecture": "offset10-model",
    "output_dimension": 16,
    "max_iterations": 2000,
    "batch_size": 512,
    "learning_rate": 3e-4,
    "conditional": "time_delta",
    "time_offsets": 10,
    "distance": "cosine",
    "device": "cpu",
    "verbose": False,
}
NEIGHBORS = (4, 16, 64, 256)
SEED = 0


def predict_cebra(targets: Targets, tiers: tuple[str, ...]) -> Iterator[Piece] | str | None:
    """Fit on the training tiers and decode the scored windows.

    Returns:
        The predictions; a reason where the package is missing or the training tiers are too short;
        None where behavior is not decoded from the responses of the window alone.
    """
    if not targets.is_behavior or targets.inputs != ("responses",):
        return None
    if targets.strategy.prefix != (0, NUM_RESPONSE_SAMPLES):
        return None
    for package in (PACKAGE, "sklearn"):
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed: pip install 'omnimouse[cebra]'"
    choice = choose_windows(targets, tiers)
    if isinstance(choice, str):
        return choice
    grid = _tile(choice.training)
    grid = grid[~np.isnan(targets.truth(grid)).any(axis=(1, 2))]
    if len(grid) * NUM_RESPONSE_SAMPLES < 2 * max(NEIGHBORS):
        return "too few training windows have all of their behavior"
    return _fit_and_decode(targets, grid, choice)


def _tile(grid: I64) -> I64:
    """Return windows that follow each other without overlap."""
    kept: list[int] = []
    for first in grid.tolist():
        if not kept or first >= kept[-1] + NUM_RESPONSE_SAMPLES:
            kept.append(first)
    return np.array(kept, np.int64)


def _fit_and_decode(targets: Targets, grid: I64, choice: Choice) -> Iterator[Piece]:
    behavior = targets.truth(grid)[:, BEHAVIOR_AT_RESPONSES]
    responses = _responses(targets, grid)
    labels = behavior.reshape(-1, behavior.shape[2])
    with torch.random.fork_rng(), warnings.catch_warnings():
        # Of libraries that the package uses.
        warnings.simplefilter("ignore")
        torch.manual_seed(SEED)
        np.random.seed(SEED)
        model = importlib.import_module(PACKAGE).CEBRA(**OPTIONS)
        model.fit(responses.reshape(-1, responses.shape[2]), labels)
        embedded = _embed(model, responses)
        validation = _embed(model, _responses(targets, choice.grid))
    decoders = [_fit_decoder(embedded, labels, neighbors) for neighbors in NEIGHBORS]
    scores = [choice.score(_decode(decoder, validation)) for decoder in decoders]
    decoder = decoders[int(np.argmax(scores))]
    for windows in targets.window_slices():
        values = _embed(model, _responses(targets, targets.windows.grid[windows]))
        yield Piece(windows, slice(None), _decode(decoder, values))


def _responses(targets: Targets, grid: I64) -> F32:
    visible = targets.selection.visible[0].numpy()
    return targets.reader.responses(grid, (0, NUM_RESPONSE_SAMPLES), visible)


def _embed(model: Any, responses: F32) -> F32:  # noqa: ANN401 - a class of the package
    """Return the embedding of every sample: float32 `(windows, 60, dimensions)`.

    Windows are embedded one by one: the package's convolution reaches over ten samples.
    """
    return np.stack([model.transform(window) for window in responses]).astype(np.float32)


def _fit_decoder(embedded: F32, labels: F32, neighbors: int) -> Any:  # noqa: ANN401 - of scikit-learn
    from sklearn.neighbors import KNeighborsRegressor

    decoder = KNeighborsRegressor(neighbors, metric="cosine")
    return decoder.fit(embedded.reshape(len(labels), -1), labels)


def _decode(decoder: Any, embedded: F32) -> F32:  # noqa: ANN401 - of scikit-learn
    """Return float32 `(windows, 40, channels)`."""
    at_behavior = embedded[:, RESPONSES_AT_BEHAVIOR]
    values = decoder.predict(at_behavior.reshape(-1, embedded.shape[2]))
    return np.reshape(values, (*at_behavior.shape[:2], -1)).astype(np.float32)
