"""Fixtures of evaluation tests: data sets of one made-up session, targets and their scores."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from omnimouse_cli.batch.dataset import Dataset, open_dataset
from omnimouse_cli.batch.strategies import regime_strategies
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.evaluation.scorer import Piece, PredictorScores, Scorer
from omnimouse_cli.evaluation.session_reader import SessionReader
from omnimouse_cli.evaluation.targets import Targets, select_targets
from omnimouse_cli.evaluation.windows import evaluation_windows
from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.reporter import Silent
from omnimouse_cli.shard.preprocess import PreprocessOptions, preprocess


def shards_of(recordings, out: Path) -> Dataset:
    """Preprocess some recordings and open them."""
    opened = [open_recording(path) for path in recordings]
    result = preprocess(opened, out, PreprocessOptions(), Silent())
    assert not result.failed, [failure.error.message for failure in result.failed]
    return open_dataset(out)


@pytest.fixture
def make_session(experanto_session, tmp_path):
    """Return a function that makes a data set of one session from responses and trials."""

    def make(responses, trials, *, name="100-1-1", **fields) -> Dataset:
        path = experanto_session(
            name,
            responses=responses,
            trials=trials,
            seconds=len(responses) / 30,
            responses_start=0.0,
            **fields,
        )
        return shards_of([path], tmp_path / "shards")

    return make


@pytest.fixture
def shards_of_paths(tmp_path):
    """Return a function that preprocesses recordings and opens them as a data set."""
    return lambda paths: shards_of(paths, tmp_path / "shards")


def blank(tier: str | None, seconds: float) -> dict[str, object]:
    """A trial of a grey screen that has a tier."""
    trial: dict[str, object] = {
        "modality": "blank",
        "interleave_value": 127,
        "seconds": seconds,
    }
    return trial | ({"tier": tier} if tier else {})


@pytest.fixture
def quiet_trials():
    """Trials of a grey screen: a long train one, a short gap, a test one."""
    return [blank("train", 60.0), blank("none", 2.0), blank("test", 40.0), blank("none", 5.0)]


@pytest.fixture
def moving_average() -> Callable[..., np.ndarray]:
    """Return a function that makes smooth responses which their past predicts linearly."""

    def make(samples=3300, neurons=6, *, keep=0.95, seed=0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        mix = np.linalg.qr(rng.normal(size=(neurons, neurons)))[0] * keep
        values = np.zeros((samples, neurons))
        for row in range(1, samples):
            values[row] = mix @ values[row - 1] + rng.normal(size=neurons)
        return values

    return make


@pytest.fixture(scope="session")
def targets_of():
    """Return a function that selects the targets of a strategy in the first session."""

    def select(
        dataset: Dataset, strategy: str | Strategy, *, stimulus=True, stride=30, tier="test"
    ) -> Targets:
        session = dataset.sessions[0]
        if isinstance(strategy, str):
            strategies = regime_strategies(
                "all",
                population=session.num_neurons,
                stimulus=stimulus,
                behavior=bool(session.channels),
            )
            strategy = next(item for item in strategies if item.name == strategy)
        reader = SessionReader(dataset, DataConfig(), session.key)
        windows = evaluation_windows(session, tier=tier, include_blanks=True, stride_samples=stride)
        return select_targets(strategy, reader, windows)[0]

    return select


@pytest.fixture(scope="session")
def score_pieces():
    """Return a function that scores predictions."""

    def score(
        targets: Targets, pieces: Iterable[Piece], response_loss="gaussian"
    ) -> PredictorScores:
        scorer = Scorer(
            targets,
            predictor="baseline",
            response_loss=response_loss,
            repeats=None,
        )
        for piece in pieces:
            scorer.add(piece)
        return scorer.score()

    return score
