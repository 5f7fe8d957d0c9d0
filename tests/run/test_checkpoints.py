"""Checkpoint folders: complete or not, the newest, and which ones stay."""

import pytest

from omnimouse_cli.run.checkpoints import (
    checkpoint_folder,
    clear_partial_checkpoints,
    complete_checkpoints,
    drop_later_checkpoints,
    finish_checkpoint,
    latest_checkpoint,
    partial_checkpoint,
    read_checkpoint_state,
)


@pytest.fixture
def write(tmp_path):
    def make(step, *, keep=9):
        checkpoint = checkpoint_folder(tmp_path, step)
        clear_partial_checkpoints(tmp_path)
        partial_checkpoint(checkpoint).mkdir()
        finish_checkpoint(checkpoint, {"step": step}, keep=keep)
        return checkpoint

    return make


def test_a_run_without_checkpoints_has_none(tmp_path):
    assert complete_checkpoints(tmp_path) == []
    assert latest_checkpoint(tmp_path) is None


def test_the_newest_stay_and_latest_names_the_last(write, tmp_path):
    written = [write(step, keep=2) for step in (1, 2, 100_000_000)]
    assert complete_checkpoints(tmp_path) == written[1:]
    assert latest_checkpoint(tmp_path) == written[-1]
    assert (tmp_path / "checkpoints" / "latest").read_text() == f"{written[-1].name}\n"
    assert read_checkpoint_state(written[1])["step"] == 2


def test_without_latest_or_with_a_wrong_one_the_newest_complete_one_is_taken(write, tmp_path):
    write(1)
    newest = write(2)
    latest = tmp_path / "checkpoints" / "latest"
    for content in (None, "step-00000009\n"):
        latest.unlink() if content is None else latest.write_text(content)
        assert latest_checkpoint(tmp_path) == newest


def test_what_an_interrupted_process_left_is_no_checkpoint(write, tmp_path):
    good = write(1)
    partial = partial_checkpoint(checkpoint_folder(tmp_path, 2))
    partial.mkdir()
    (partial.parent / ".latest.partial").touch()
    (checkpoint_folder(tmp_path, 3)).mkdir()
    (partial.parent / "step-1").mkdir()
    assert complete_checkpoints(tmp_path) == [good]
    clear_partial_checkpoints(tmp_path)
    assert not partial.exists()
    assert list(partial.parent.glob(".*")) == []


def test_checkpoints_after_the_one_from_which_training_goes_on_are_removed(write, tmp_path):
    written = [write(step) for step in (1, 2, 3)]
    drop_later_checkpoints(tmp_path, written[0])
    assert complete_checkpoints(tmp_path) == written[:1]
