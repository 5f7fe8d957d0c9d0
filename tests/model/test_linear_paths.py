"""Population and stimulus states against their formulas."""

from dataclasses import replace

import torch

from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.model.prepare import prepare

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
    given = prepare(small_config, batch, SPLIT, choose(SPLIT, batch, seed=1))
    baseline = torch.linspace(0, 1, 7)
    population = model.linear_paths.population
    state = population(
        batch, given.selection, given.layout.pieces, table.neuron_embeddings, baseline
    )
    written = table.neuron_embeddings @ population.write.weight.T * 8**0.5
    for window in range(2):
        visible = given.selection.visible[window].tolist()
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
    population, stimulus = model.linear_paths.population, model.linear_paths.stimulus
    state = torch.randn(2, 60, 3, generator=generator)
    drive = population.responses(state, vectors, neurons, (30, 60))
    read = vectors @ population.read.weight.T * 8**0.5
    filtered = torch.einsum("ras,bsr->bar", population.filter[:, 30:], state)
    expected = torch.einsum("bar,bgr->bag", filtered, read[neurons])
    torch.testing.assert_close(drive, expected)
    places = stimulus.num_places
    steps = torch.randn(2, 5, places, 3, generator=generator)
    drive = stimulus.responses(steps, (2, 7), vectors, neurons, (30, 60))
    where = (vectors @ stimulus.where.weight.T * 8**0.5).softmax(1)
    what = vectors @ stimulus.what.weight.T * 8**0.5
    for window, target in ((0, 1), (1, 0)):
        neuron = neurons[window, target]
        seen = torch.einsum("tpr,p->tr", steps[window], where[neuron]) * what[neuron]
        expected = torch.einsum("rat,tr->a", stimulus.filter[:, 30:, 2:7], seen)
        torch.testing.assert_close(drive[window, :, target], expected)


def test_published_read_outs_have_no_linear_paths(small_config, make_model):
    decoder = replace(
        small_config.decoder,
        own_history=False,
        population_rank=None,
        stimulus_rank=None,
        behavior_rank=None,
    )
    model, _ = make_model(replace(small_config, decoder=decoder))
    assert not list(model.linear_paths.parameters())
    assert model.readout.own_history is None
