"""Strategies are drawn from the seed and the step, among those that fit the data."""

from collections import Counter
from dataclasses import replace

import pytest

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.batch.masking import applies, draw, training_strategies
from omnimouse_cli.batch.selection import continues_inputs
from omnimouse_cli.batch.strategies import training_table
from omnimouse_cli.config.training import MaskingConfig
from omnimouse_cli.errors import ConfigError

FAMILIES = MaskingConfig(table="families")


@pytest.fixture
def sessions(tmp_path, write_shard):
    write_shard(tmp_path, key="1-1-1", screen=False, devices={})
    write_shard(tmp_path, key="2-1-1", screen=False)
    return open_dataset(tmp_path).sessions


def test_without_behavior_nothing_asks_only_for_it(sessions):
    kept = training_strategies(FAMILIES, sessions[:1])
    assert kept
    assert all(strategy.targets is not None and strategy.prefix is not None for strategy in kept)


def test_a_strategy_that_one_session_can_use_is_drawn_and_skipped_for_the_others(sessions):
    decode = next(item for item in training_strategies(FAMILIES, sessions) if item.targets is None)
    assert [applies(decode, session) for session in sessions] == [False, True]


def test_what_continues_its_inputs_is_not_drawn_for_recordings_without_a_time_course(sessions):
    static = [replace(session, has_time_course=False) for session in sessions]
    table = training_table("published")
    usable = [item for item in table if applies(item, static[1])]
    assert 0 < len(usable) < sum(applies(item, sessions[1]) for item in table)
    # Without responses as inputs, of other neurons, or at the same samples.
    assert not any(continues_inputs(item, static[1].num_neurons) for item in usable)
    assert {draw(table, static, seed=0, step=step).name for step in range(300)} <= {
        item.name for item in usable
    }


def test_the_draw_is_a_function_of_seed_and_step(sessions):
    table = training_table("published")

    def drawn(seed: int) -> list[str]:
        return [draw(table, sessions, seed=seed, step=step).name for step in range(100)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_all_strategies_are_about_equally_likely(sessions):
    table = training_strategies(FAMILIES, sessions)
    counts = Counter(
        draw(table, sessions, seed=0, step=step).name for step in range(200 * len(table))
    )
    assert len(counts) == len(table)
    assert all(150 < count < 250 for count in counts.values())


def test_a_step_draws_what_its_own_sessions_can_use(sessions):
    table = training_strategies(FAMILIES, sessions)
    drawn = [draw(table, sessions[:1], seed=0, step=step) for step in range(100)]
    assert all(applies(strategy, sessions[0]) for strategy in drawn)


def test_files_add_strategies_and_may_not_repeat_a_name(tmp_path, sessions):
    path = tmp_path / "own.toml"
    row = "[[strategy]]\nname = 'past'\nprefix = [0, 20]\ncontext = [0, 60]\ntargets = [30, 60]\n"
    path.write_text(row)
    config = MaskingConfig(table="families", files=(str(path),))
    assert "past" in {strategy.name for strategy in training_strategies(config, sessions)}
    path.write_text(row.replace("past", "forecast"))
    with pytest.raises(ConfigError, match="two masking strategies have the name 'forecast'"):
        training_strategies(config, sessions)
