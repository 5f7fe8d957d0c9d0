"""The room for checkpoints is looked at before a training begins."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.training import disk_space
from omnimouse_cli.training.disk_space import check_disk_space
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.resolve import resolve_response_loss
from omnimouse_cli.training.state import TrainState
from tests.reporter import MessageReporter
from tests.training.checkpoints import save_checkpoint


@pytest.fixture
def state(tiny, make_shards, session):
    dataset = open_dataset(make_shards([session()]))
    return TrainState(resolve_response_loss(tiny, dataset.sessions), dataset, World())


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_a_disk_that_is_too_small_is_a_warning_or_an_error(tmp_path, tiny, state, monkeypatch):
    config = replace(tiny, train=replace(tiny.train, keep_checkpoints=2))
    size = _size(save_checkpoint(tmp_path / "other", state, config))

    def warnings(checkpoints: float) -> list[str]:
        """Return what is said where so many checkpoints fit."""
        usage = shutil.disk_usage(tmp_path)._replace(free=round(checkpoints * size))
        monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda _path: usage)
        reporter = MessageReporter()
        (tmp_path / "run").mkdir(exist_ok=True)
        check_disk_space(tmp_path / "run", state, config=config, world=World(), reporter=reporter)
        return reporter.warnings

    # Two that are kept, one that is being written, and the weights.
    assert warnings(4.5) == []
    (line,) = warnings(3.0)
    assert "and the run will need" in line
    assert "3 checkpoints of" in line
    assert len(warnings(1.5)) == 1
    with pytest.raises(OmniMouseError, match="free, and a checkpoint takes") as error:
        warnings(0.8)
    assert "--out" in error.value.hint
    # Checkpoints that are there are replaced.
    for state.counters.step in (1, 2):
        save_checkpoint(tmp_path / "run", state, config)
    assert warnings(2.5) == []
    assert "1 checkpoint of" in warnings(1.2)[0]
