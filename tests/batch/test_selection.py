"""Which neurons are visible and targets, and which samples are scored."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omnimouse_cli.batch.selection import (
    continues_inputs,
    num_targets,
    num_visible,
    scored_mask,
    select,
)
from omnimouse_cli.batch.strategies import TRAINING_STRATEGIES, VALIDATION_STRATEGIES
from omnimouse_cli.batch.strategy import Strategy

ALL = TRAINING_STRATEGIES + VALIDATION_STRATEGIES


def strategy(**changes):
    values = {
        "name": "s",
        "family": "population",
        "num_visible": 4,
        "prefix": (20, 50),
        "context": (0, 60),
        "targets": (0, 60),
        "literal_counts": True,
    }
    return Strategy(**{**values, **changes})


def test_evaluation_takes_the_first_as_visible_and_the_last_as_targets():
    selection = select(strategy(num_targets=3), num_neurons=6, num_windows=2, generator=None)
    assert selection.visible.tolist() == [[0, 1, 2, 3]] * 2
    assert selection.targets.tolist() == [[3, 4, 5]] * 2
    assert selection.num_shared == 1


@given(st.sampled_from(ALL), st.integers(1, 5000), st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_training_draws_other_neurons_in_each_window_and_never_one_twice(chosen, neurons, seed):
    generator = torch.Generator().manual_seed(seed)
    selection = select(
        chosen, num_neurons=neurons, num_windows=2, generator=generator, max_targets=3072
    )
    assert selection.num_visible == num_visible(chosen, neurons)
    assert selection.num_targets == num_targets(chosen, neurons, 3072)
    for window in range(2):
        visible = set(selection.visible[window].tolist())
        targets = selection.targets[window].tolist()
        assert len(visible) == selection.num_visible
        assert len(set(targets)) == len(targets)
        shared = [position in visible for position in targets]
        assert shared == sorted(shared, reverse=True)
        assert sum(shared) == selection.num_shared


def test_the_same_seed_selects_the_same_neurons():
    draws = [
        select(
            ALL[0],
            num_neurons=50,
            num_windows=3,
            generator=torch.Generator().manual_seed(7),
        ).visible
        for _ in range(2)
    ]
    assert torch.equal(*draws)
    assert len({tuple(row) for row in draws[0].tolist()}) == 3


@pytest.mark.parametrize(
    ("neurons", "visible", "targets"), [(4096, 1024, 3072), (8000, 1024, 3072), (512, 128, 384)]
)
def test_counts_shrink_with_a_small_population_unless_literal(neurons, visible, targets):
    published = strategy(num_visible=1024, num_targets=3072, literal_counts=False)
    assert num_visible(published, neurons) == visible
    assert num_targets(published, neurons, None) == targets
    assert num_visible(strategy(num_visible=64), 40) == 40
    assert num_visible(strategy(num_visible=1, literal_counts=False), 10) == 1


def brute_force_scored(chosen, selection, sample, target):
    """Straight from the rule: five samples around everything visible of the neuron are out."""
    shared = target < selection.num_shared
    first, last = chosen.prefix or (0, 0)
    if not shared:
        last = first + chosen.full_population_prefix
    return not any(abs(sample - visible) <= 5 for visible in range(first, last))


@pytest.mark.parametrize(
    "chosen",
    [
        strategy(),
        strategy(full_population_prefix=10),
        strategy(prefix=(0, 25), targets=(30, 60)),
        strategy(num_visible=2),
        *VALIDATION_STRATEGIES,
    ],
    ids=lambda chosen: chosen.name,
)
def test_scored_samples_lie_outside_what_is_visible(chosen):
    selection = select(chosen, num_neurons=6, num_windows=1, generator=None)
    mask = scored_mask(chosen, selection)
    samples = range(*chosen.targets) if chosen.targets else range(0)
    expected = [
        [brute_force_scored(chosen, selection, sample, target)
         for target in range(selection.num_targets)]
        for sample in samples
    ]  # fmt: skip
    assert mask.tolist() == expected


def test_every_published_training_strategy_scores_all_that_it_asks():
    for chosen in TRAINING_STRATEGIES:
        if chosen.targets is not None:
            selection = select(chosen, num_neurons=4096, num_windows=1, generator=None,
                               max_targets=3072)  # fmt: skip
            assert bool(scored_mask(chosen, selection).all()), chosen.name


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"num_visible": 0, "video": (0, 60)}, False),
        # Half of the neurons at all samples, for the other half.
        ({"num_visible": 4, "num_targets": 6, "prefix": (0, 60), "context": (0, 60)}, False),
        ({"num_visible": 4, "num_targets": 7, "prefix": (0, 60), "context": (0, 60)}, False),
        ({"num_visible": 4, "num_targets": 7, "prefix": (0, 25), "context": (0, 60)}, True),
        ({"num_visible": 4, "num_targets": 6, "prefix": (0, 25), "context": (0, 60)}, False),
        ({"prefix": (0, 25), "context": (0, 60)}, True),
        ({"prefix": (0, 60), "context": (0, 60), "targets": None}, False),
    ],
)
def test_a_strategy_continues_its_inputs_if_a_neuron_is_input_and_target(fields, expected):
    role = "reconstructed" if fields.get("targets", 0) is None else "absent"
    item = Strategy(name="s", family="predict", literal_counts=True, behavior=role, **fields)
    assert continues_inputs(item, 10) is expected
