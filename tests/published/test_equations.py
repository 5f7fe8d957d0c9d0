"""Imported weights compute what the published equations say, for every family of strategies."""

import numpy as np
import pytest
import torch

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.batch.selection import select
from omnimouse_cli.batch.strategies import VALIDATION_STRATEGIES
from omnimouse_cli.published.checkpoint import read_checkpoint
from omnimouse_cli.published.convert import import_weights
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.load import load_run

pytestmark = pytest.mark.slow

SESSION, ANIMAL, NUM_NEURONS = "300-4-7", "300", 11
# Of the two windows of a batch, this one is computed by the equations too.
WINDOW = 1


@pytest.fixture(scope="module")
def checkpoint(published_layout):
    return published_layout.Checkpoint()


@pytest.fixture(scope="module")
def run(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    published = read_checkpoint(checkpoint.write(folder / "checkpoint"), Silent())
    import_weights(published, folder / "run", shards=None, command_line=(), reporter=Silent())
    return load_run(folder / "run")


@pytest.fixture(scope="module")
def batch():
    """Two windows of eight of the session's neurons each, other ones in each window."""
    generator = torch.Generator().manual_seed(5)
    drawn = [torch.randperm(NUM_NEURONS, generator=generator)[:8].sort().values for _ in range(2)]
    return Batch(
        number=0,
        session=SESSION,
        responses=3 * torch.rand(2, 60, 8, generator=generator),
        neuron_index=torch.stack(drawn),
        video=torch.randn(2, 60, 36, 64, generator=generator),
        behavior=torch.randn(2, 5, 40, generator=generator),
        behavior_present=np.ones(5, np.bool_),
        start_seconds=np.zeros(2),
    )


@pytest.fixture(scope="module")
def equations(checkpoint, batch, published_equations):
    """Return the function that computes a strategy by the equations; video depends on none."""
    weights = checkpoint.weights()
    responses, video, behavior = (
        signal[WINDOW].double().numpy() for signal in (batch.responses, batch.video, batch.behavior)
    )
    features = published_equations.video_features(weights, video)

    def compute(strategy, selection):
        seen = published_equations.Seen(
            responses=responses,
            neurons=batch.neuron_index[WINDOW].numpy(),
            behavior=behavior,
            features=features,
            num_visible=selection.num_visible,
            num_targets=selection.num_targets,
            prefix=strategy.prefix,
            everyone=strategy.full_population_prefix,
            context=strategy.context,
            targets=strategy.targets,
            frames=strategy.video,
            role=strategy.behavior,
        )
        return published_equations.forward(
            weights,
            seen,
            session=SESSION,
            animal=ANIMAL,
            grouped=checkpoint.dim.grouped,
            pattern="LG",
        )

    return compute


def require_equal(found, expected):
    """Agree to 1e-4 of each value, and of how much the values differ among themselves."""
    found = found.detach().double().numpy()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * expected.std())
    assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(expected - expected.mean())


@pytest.mark.parametrize("strategy", VALIDATION_STRATEGIES, ids=lambda strategy: strategy.name)
def test_a_forward_pass_equals_the_published_equations(strategy, run, batch, equations):
    selection = select(strategy, num_neurons=8, num_windows=2, generator=None)
    with torch.inference_mode():
        found = run.model(batch, run.embeddings[SESSION], ANIMAL, strategy, selection)
    expected = equations(strategy, selection)
    assert [answer is None for answer in found] == [answer is None for answer in expected]
    for answer, known in zip(found, expected, strict=True):
        if known is not None:
            require_equal(answer[WINDOW], known)
