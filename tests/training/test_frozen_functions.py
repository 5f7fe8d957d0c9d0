"""Runs with frozen functions: lookup tables, their reported error, and resuming with them."""

import os
import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from omnimouse_cli.config.dendrite import DendriteConfig
from omnimouse_cli.config.sizes import SIZES
from omnimouse_cli.files import read_document
from omnimouse_cli.kernels.dendrite.lookup import Grid, build_tables
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.load import load_run
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.prepare import TrainingJob
from omnimouse_cli.training.run import train
from tests.reporter import MessageReporter

pytestmark = pytest.mark.training


class Lines(MessageReporter):
    """Sends Ctrl-C to this process after so many steps."""

    def __init__(self, steps=None):
        super().__init__()
        self._left = None if steps is None else steps + 1

    def advance(self, *arguments):  # noqa: ARG002
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def frozen(make_shards, session, tiny, tmp_path):
    """A training job that freezes functions which another run's SwiGLU became."""
    shards = make_shards([session(behavior=True, screen=True)])
    # The fewer units fit the functions, the steeper are these.
    model = replace(tiny.model, video=SIZES["nano"].video)
    short = replace(tiny, model=model, train=replace(tiny.train, steps=2, checkpoint_every=99))
    train(TrainingJob(config=short, shards=shards, run=tmp_path / "swiglu"), World(), Silent())
    dendrite = DendriteConfig(freeze=True, table=32, sharing="model")
    config = replace(
        short,
        model=replace(model, feed_forward="dendritic", dendrite=dendrite),
        train=replace(short.train, steps=4),
    )
    run, begin = tmp_path / "run", tmp_path / "swiglu"
    return TrainingJob(config=config, shards=shards, run=run, init_from=begin)


def test_a_frozen_run_tells_its_error_and_ends_the_same_when_it_is_interrupted(frozen, tmp_path):
    lines = Lines()
    train(frozen, World(), lines)
    (line,) = [line for line in lines.said if "frozen functions" in line]
    summary = read_document(frozen.run / "summary.json", "summary")
    table = summary["dendrite_table"]
    assert (table["cells"], table["range"]) == (32, 4.0)
    assert 0 < table["error"]["rms"] < table["error"]["largest"] < 0.5
    assert "lookup tables of 32 x 32 cells; interpolation is off by" in line
    assert f"{100 * table['error']['rms']:.2g} % of their standard deviation" in line
    assert f"at most {100 * table['error']['largest']:.2g} % for arguments up to 4," in line
    before = read_document(tmp_path / "swiglu" / "summary.json", "summary")
    assert before["dendrite_table"] is None

    again = replace(frozen, run=tmp_path / "again")
    with pytest.raises(KeyboardInterrupt, match="step 2 is saved"):
        train(again, World(), Lines(steps=2))
    # What was begun with is not read again: tables follow from the checkpoint's weights.
    train(replace(again, resume=True, init_from=None), World(), Silent())
    left, right = (load_file(run / "model.safetensors") for run in (frozen.run, again.run))
    assert left.keys() == right.keys()
    assert all(left[name].equal(right[name]) for name in left)
    assert not [name for name in left if name.endswith("table")]
    assert read_document(again.run / "summary.json", "summary")["dendrite_table"] == table

    function = load_run(again.run).model.dendrite
    expected = build_tables(function.weights, function.function, Grid(32, 4.0)).values
    assert torch.equal(function.table, expected)
