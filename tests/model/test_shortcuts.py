"""The population, stimulus and behavior shortcuts against their formulas."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from omnimouse_cli.batch.strategies import FAMILY_STRATEGIES
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.model.inputs import TargetNeurons, prepare_inputs
from omnimouse_cli.model.shortcuts import Contributions, shortcuts
from omnimouse_cli.model.shortcuts.behavior import sample_and_hold

SPLIT = Strategy(
    name="split",
    family="population",
    num_visible=3,
    literal_counts=True,
    prefix=(10, 45),
    full_population_prefix=15,
    context=(0, 60),
    targets=(40, 60),
)


def test_the_population_state_sums_deviations_of_visible_neurons(
    small_config, make_model, make_batch, choose
):
    model, table = make_model(small_config)
    batch = make_batch()
    inputs = prepare_inputs(small_config, batch, SPLIT, choose(SPLIT, batch, seed=1))
    baseline = torch.linspace(0, 1, 7)
    population = model.linear_paths.population
    state = population(inputs, table.neuron_embeddings, baseline)
    written = table.neuron_embeddings @ population.write.weight.T * 8**0.5
    for window in range(2):
        visible = inputs.selection.visible[window].tolist()
        for sample in range(60):
            seen = range(7) if 10 <= sample < 25 else visible if 25 <= sample < 45 else ()
            expected = torch.zeros(3)
            for neuron in seen:
                deviation = batch.responses[window, sample, neuron] - baseline[neuron]
                expected = expected + deviation * written[neuron] / len(seen) ** 0.5
            torch.testing.assert_close(state[window, sample], expected, atol=1e-5, rtol=1e-5)


def test_drives_are_filtered_states_that_each_neuron_reads(
    small_config, make_model, make_batch, choose
):
    model, table = make_model(small_config)
    generator = torch.Generator().manual_seed(0)
    neurons = torch.tensor([[4, 0], [1, 2]])
    vectors = table.neuron_embeddings
    population, behavior = model.linear_paths.population, model.linear_paths.behavior
    state = torch.randn(2, 60, 3, generator=generator)
    targets = TargetNeurons(neurons, torch.zeros(2, 60, 2), replace(SPLIT, targets=(30, 60)), 0)
    for reading in (population.drive, population.gain):
        read = vectors @ reading.read.weight.T * 8**0.5
        filtered = torch.einsum("ras,bsr->bar", reading.filter[:, 30:], state)
        expected = torch.einsum("bar,bgr->bag", filtered, read[neurons])
        torch.testing.assert_close(reading(state, vectors, targets), expected)
    mixed = torch.randn(2, 60, 2, generator=generator)
    gain = behavior.gain(mixed, vectors, targets)
    read = vectors @ behavior.read.weight.T * 8**0.5
    for window, sample, target in ((0, 0, 1), (1, 17, 0), (1, 29, 1)):
        lags = range(-5, 16)
        values = [
            behavior.filter.values[:, lag + 5] * mixed[window, 30 + sample - lag]
            for lag in lags
            if 0 <= 30 + sample - lag < 60
        ]
        expected = (torch.stack(values).sum(0) * read[neurons[window, target]]).sum()
        torch.testing.assert_close(gain[window, sample, target], expected)


def test_behavior_is_sampled_and_held_on_the_clock_of_responses():
    rows = torch.arange(40.0).view(1, 1, 40)
    expected = torch.arange(60) * 2 // 3
    assert sample_and_hold(rows)[0, :, 0].tolist() == expected.tolist()


def test_gains_multiply_rates_within_bounds_and_add_to_centred_responses(small_config, make_model):
    drive, gain = torch.full((1, 30, 2), 0.3), torch.full((1, 30, 2), 0.5)
    strategy = replace(SPLIT, targets=(30, 60))
    targets = TargetNeurons(torch.tensor([[0, 1]]), torch.zeros(1, 60, 2), strategy, num_shared=0)
    queries = torch.zeros(1, 12, small_config.d_model)
    for loss in ("poisson", "gaussian"):
        model, table = make_model(replace(small_config, response_loss=loss))
        read_out = partial(model.readout, queries, targets, biases_N1=table.neuron_biases)
        alone = read_out(shortcuts=Contributions([drive], [], []))
        scaled = read_out(shortcuts=Contributions([drive], [gain], []))
        if loss == "gaussian":
            torch.testing.assert_close(scaled, alone + gain)
        else:
            torch.testing.assert_close(scaled, alone * torch.exp(gain), rtol=0.01, atol=0)
            largest = read_out(shortcuts=Contributions([drive], [100 * gain], []))
            torch.testing.assert_close(largest, alone * torch.exp(torch.tensor(3.0)))


def test_published_read_outs_have_no_shortcuts(small_config, make_model):
    decoder = replace(
        small_config.decoder,
        own_history=False,
        population_rank=None,
        motion_wavelengths=(),
        behavior_rank=None,
    )
    model, _ = make_model(replace(small_config, decoder=decoder))
    assert not list(model.linear_paths.parameters())
    assert model.readout.own_history is None


def test_shortcuts_alone_are_the_model_whose_transformer_contributes_nothing(
    small_config, make_model, make_batch, choose
):
    model, table = make_model(small_config)
    batch = make_batch()
    with torch.no_grad():
        for name, parameter in model.linear_paths.named_parameters():
            if "filter" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(len(name)))
        model.readout.project.weight.zero_()
        model.behavior.readout.zero_()
        for strategy in (SPLIT, *FAMILY_STRATEGIES):
            inputs = (batch, table, "mouse", strategy, choose(strategy, batch, seed=1))
            model.shortcuts_only = False
            whole = model(*inputs)
            model.shortcuts_only = True
            short = model(*inputs)
            for one, other in zip(whole, short, strict=True):
                assert (one is None) == (other is None)
                if one is not None:
                    torch.testing.assert_close(one, other)


def test_factors_explain_what_all_of_the_regression_leaves(
    small_config, make_model, make_batch, choose, monkeypatch
):
    decoder = replace(small_config.decoder, linear_rank=5)
    model, table = make_model(replace(small_config, decoder=decoder))
    encoding, factors = model.linear_paths.encoding, model.linear_paths.factors
    encoding.get_buffer("stimulus_share").zero_()
    made, used, plain = [], [], factors.forward
    encoding.register_forward_hook(lambda _module, _inputs, output: made.append(output))
    monkeypatch.setattr(
        factors, "forward", lambda *given: (used.append(given[4]), plain(*given))[1]
    )
    batch = make_batch()
    strategy = replace(SPLIT, video=(0, 60))
    model(batch, table, "mouse", strategy, choose(strategy, batch, seed=1))
    torch.testing.assert_close(used[0], made[0].whole)
    assert not torch.allclose(made[0].whole, made[0].beside_drive)


# Sample 34 lies between steps 16 and 17, which are samples 33 and 35.
@pytest.mark.parametrize("case", [(None, 18), ((20, 40), 20)])
def test_motion_energies_reach_as_far_as_targets_and_visible_responses(
    small_config, make_model, make_batch, choose, case
):
    prefix, num_steps = case
    strategy = Strategy(
        name="early",
        family="population",
        num_visible=3 if prefix else 0,
        literal_counts=True,
        prefix=prefix,
        context=(0, 60),
        targets=(30, 35),
        video=(0, 50),
        behavior="encoded",
    )
    model, table = make_model(small_config)
    model.shortcuts_only = True
    batch = make_batch()
    selection = choose(strategy, batch, seed=1)
    inputs = prepare_inputs(small_config, batch, strategy, selection)
    assert shortcuts.num_energy_steps(inputs) == num_steps

    def predict(steps):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shortcuts, "num_energy_steps", lambda _: steps)
            return model(batch, table, "mouse", strategy, selection).responses

    torch.testing.assert_close(predict(num_steps), predict(30), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(predict(num_steps - 1), predict(30), atol=1e-5, rtol=1e-5)
