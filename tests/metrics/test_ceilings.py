"""Noise ceilings from repeats: known powers, no signal, definitions, the simulated mouse."""

import itertools

import numpy as np
import pytest

from omnimouse_cli.metrics.ceilings import RELIABLE_SHARE, repeat_scores
from omnimouse_cli.metrics.repeats import RepeatedSamples, complete_cells

CELLS, NEURONS = 120, 30


def repeated(responses, prediction, *, clips=1):
    """Samples of responses `(repeats, cells, neurons)`; a repeat has a trial for each clip."""
    repeats, cells, neurons = responses.shape
    cell = np.tile(np.arange(cells), repeats)
    trial = np.repeat(np.arange(repeats), cells) * clips + cell * clips // cells
    return RepeatedSamples(
        cell=cell,
        trial=trial,
        truth=responses.reshape(-1, neurons),
        prediction=np.broadcast_to(prediction, responses.shape).reshape(-1, neurons),
    )


def score(responses, prediction, *, clips=1):
    return repeat_scores(repeated(responses, prediction, clips=clips))


def draw(rng, repeats, share, *, keep=0.0):
    """Draw a signal and responses of unit variance; noise is correlated over time by `keep`."""
    signal = rng.normal(size=(CELLS, NEURONS))
    signal = (signal - signal.mean(axis=0)) / signal.std(axis=0) * np.sqrt(share)
    noise = rng.normal(size=(repeats, CELLS, NEURONS))
    for cell in range(1, CELLS if keep else 0):
        noise[:, cell] = keep * noise[:, cell - 1] + np.sqrt(1 - keep**2) * noise[:, cell]
    return signal, signal + np.sqrt(1 - share) * noise


def means_and_errors(draws):
    values = np.array(draws)
    return values.mean(axis=0), values.std(axis=0) / np.sqrt(len(values))


def test_the_oracle_score_is_the_mean_of_those_of_neurons_which_are_correlations():
    signal, responses = draw(np.random.default_rng(0), 4, 0.3)
    responses[:, :, 0] = np.random.default_rng(1).normal(size=responses.shape[:2])
    found = score(responses, signal)
    assert found.oracle_per_output.mean() == pytest.approx(found.oracle.value)
    # A trial against the mean of the others; both are in deviations over all trials and cells.
    others = (responses.sum(axis=0) - responses) / 3
    expected = [
        np.corrcoef(responses[..., neuron].ravel(), others[..., neuron].ravel())[0, 1]
        for neuron in range(NEURONS)
    ]
    np.testing.assert_allclose(found.oracle_per_output, expected, atol=0.03)
    assert abs(found.oracle_per_output[0]) < 0.2 < found.oracle_per_output[1:].min()


@pytest.mark.parametrize("repeats", [3, 5, 10])
@pytest.mark.parametrize("share", [0.04, 0.3])
def test_estimates_are_those_of_known_powers(repeats, share):
    found = []
    for seed in range(25):
        signal, responses = draw(np.random.default_rng(seed), repeats, share)
        one = score(responses, signal)
        names = ("share", "ceiling", "cc_max", "oracle", "cc_norm")
        values = [getattr(one, name).value for name in names]
        found.append([*values, one.feve.value if share > 0.2 else 1.0])
    mean, error = means_and_errors(found)
    single = np.sqrt(share)
    averaged = np.sqrt(share / (share + (1 - share) / repeats))
    others = share / np.sqrt(share + (1 - share) / (repeats - 1))
    expected = np.array([share, single, averaged, others, 1.0, 1.0])
    # The root of an estimate, and a ratio, have a bias of the order of its squared error.
    np.testing.assert_array_less(np.abs(mean - expected), 3.5 * error + 0.006)


@pytest.mark.parametrize("keep", [0.0, 0.9])
def test_without_a_signal_every_ceiling_is_0_on_average(keep):
    found = []
    for seed in range(40):
        _, responses = draw(np.random.default_rng(seed), 3, 0.0, keep=keep)
        # An offset of each trial is noise too.
        responses += np.random.default_rng(seed).normal(size=(3, 1, NEURONS))
        one = score(responses, responses[:1])
        found.append([one.share.value, one.ceiling.value, one.cc_max.value, one.oracle.value])
    mean, error = means_and_errors(found)
    np.testing.assert_array_less(np.abs(mean), 3.5 * error)


@pytest.mark.parametrize(("repeats", "units"), [(2, 6), (3, 18), (8, 48)])
@pytest.mark.parametrize("share", [0.0, 0.1])
def test_the_influence_of_trials_holds_the_error(repeats, units, share):
    found = [
        score(draw(np.random.default_rng(seed), repeats, share)[1], 0.0, clips=6).share
        for seed in range(40)
    ]
    for one in found:
        assert one.influence.shape == (units,)
        assert one.influence.sum() == pytest.approx(0.0, abs=1e-12)
    observed = np.std([one.value for one in found])
    estimated = np.sqrt(np.mean([(one.influence**2).sum() for one in found]))
    assert 0.75 < estimated / observed < 1.8


def test_the_share_is_the_mean_covariance_of_two_repeats():
    responses = draw(np.random.default_rng(0), 4, 0.3)[1]
    found = score(responses, 0.0).share.value
    pairs = [
        np.mean((one - one.mean(axis=0)) * (other - other.mean(axis=0)), axis=0)
        for one, other in itertools.combinations(responses, 2)
    ]
    assert found == pytest.approx(
        np.mean(np.mean(pairs, axis=0) / responses.var(axis=(0, 1))), rel=1e-9
    )


def test_feve_is_that_of_its_definition():
    signal, responses = draw(np.random.default_rng(0), 6, 0.6)
    prediction = 0.8 * signal + 0.2
    mistakes = ((responses - prediction) ** 2).mean(axis=(0, 1))
    noise = responses.var(axis=0, ddof=1).mean(axis=0)
    total = responses.var(axis=(0, 1))
    explainable = np.mean(
        [
            ((one - one.mean(axis=0)) * (other - other.mean(axis=0))).mean(axis=0)
            for one, other in itertools.combinations(responses, 2)
        ],
        axis=0,
    )
    expected = 1 - np.sum((mistakes - noise) / total) / np.sum(explainable / total)
    found = score(responses, prediction)
    assert found.excluded == 0
    assert found.feve.value == pytest.approx(expected, rel=1e-9)


def test_neurons_that_repeat_nothing_are_excluded_from_feve():
    rng = np.random.default_rng(0)
    signal, responses = draw(rng, 8, 0.6)
    responses[:, :, :10] = rng.normal(size=(8, CELLS, 10))
    found = score(responses, signal)
    assert RELIABLE_SHARE == 0.15
    assert found.excluded == 10
    assert found.feve.value == pytest.approx(1.0, abs=0.05)


def test_what_a_prediction_knows_of_the_noise_of_its_trial_is_no_score():
    signal, responses = draw(np.random.default_rng(0), 8, 0.3)
    known = score(responses, 0.5 * signal + 0.5 * responses)
    assert known.cc_norm.value == pytest.approx(1.0, abs=0.03)
    assert known.feve.value < 1.02


def test_scale_and_offset_of_a_prediction_do_not_change_cc_norm():
    signal, responses = draw(np.random.default_rng(0), 4, 0.3)
    guess = signal + 0.5 * np.random.default_rng(1).normal(size=signal.shape)
    found = score(responses, guess).cc_norm.value
    assert 0.6 < found < 0.85
    assert score(responses, 7 * guess - 3).cc_norm.value == pytest.approx(found)
    assert score(responses, -guess).cc_norm.value == pytest.approx(-found)


def test_constant_neurons_and_predictions_have_no_score():
    signal, responses = draw(np.random.default_rng(0), 4, 0.3)
    responses[:, :, 0] = 4.0
    found = score(responses, signal)
    assert found.share.value == pytest.approx(0.3 * 29 / 30, abs=0.03)
    assert score(responses, 1 / 3).cc_norm.value is None


def test_cells_without_two_measured_repeats_are_dropped():
    responses = draw(np.random.default_rng(0), 3, 0.3)[1]
    responses[:2, 5, 3] = np.nan
    responses[0, 7] = np.nan
    kept = complete_cells(repeated(responses, 0.0))
    count = np.bincount(kept.cell, minlength=CELLS)
    assert (count[5], count[7], count[8]) == (0, 2, 3)
    assert len(kept.truth) == len(kept.trial) == 3 * CELLS - 4


def test_the_ceiling_of_a_simulated_mouse_is_the_exact_one():
    from omnimouse_cli.recording.simulated.activity import ResponseSimulator, draw_states
    from omnimouse_cli.recording.simulated.population import draw_population
    from omnimouse_cli.recording.simulated.stimulus import StimulusDrive
    from omnimouse_cli.recording.simulated.video import draw_clip

    population = draw_population(0, 0, NEURONS)
    clip = draw_clip(np.random.default_rng(0), 300, "objects")
    # The mouse neither moves its eyes nor runs: its stimulus is all that is known of it.
    gain = StimulusDrive(population, 0, 0).gain(clip, np.zeros((300, 2)))
    rng = np.random.default_rng(1)
    traces = [
        ResponseSimulator(population, rng).draw(gain * population.activity, draw_states(rng, 300))
        for _ in range(8)
    ]
    responses = np.stack([one.responses[60:] for one in traces])
    expected = traces[0].expected_stimulus_behavior[60:]
    found = score(responses, expected)
    exact = [
        np.corrcoef(np.tile(expected[:, n], 8), responses[:, :, n].ravel())[0, 1]
        for n in range(NEURONS)
    ]
    assert found.ceiling.value == pytest.approx(np.mean(exact), abs=0.02)
    assert found.cc_norm.value == pytest.approx(1.0, abs=0.06)
    # Few of these neurons are reliable, and all share the state of the mouse.
    error = np.sqrt((found.feve.influence**2).sum())
    assert found.feve.value == pytest.approx(1.0, abs=3 * error)
