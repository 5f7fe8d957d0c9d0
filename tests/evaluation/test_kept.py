"""Predictions of baselines are kept between evaluations, and computed again where they are not."""

import os
from pathlib import Path

import numpy as np
import pytest

from omnimouse_cli.evaluation import kept
from omnimouse_cli.evaluation.kept import KeptPredictions, Rounded
from omnimouse_cli.evaluation.scorer import Piece
from omnimouse_cli.reporter import Silent


class Listener(Silent):
    """Keeps warnings."""

    def __init__(self):
        self.warnings = []

    def warn(self, message):
        self.warnings.append(message)


class Counting:
    """A predictor that counts its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, targets, _tiers):
        self.calls += 1
        shape = len(targets.windows), targets.num_samples, targets.num_outputs
        values = np.random.default_rng(0).normal(30.0, 1.0, shape).astype(np.float32)
        return iter(Piece(w, slice(None), values[w]) for w in targets.window_slices())


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("OMNIMOUSE_BASELINES", str(tmp_path / "kept"))
    monkeypatch.setattr(kept, "MIN_SECONDS", 0.0)
    return tmp_path / "kept"


@pytest.fixture
def targets(simulated_data, targets_of):
    return targets_of(simulated_data, "forecast")


def values_of(pieces):
    return np.concatenate([piece.values for piece in pieces])


def test_predictions_are_computed_once_and_are_the_same_afterwards(folder, targets):
    predictor = Counting()
    first = values_of(KeptPredictions(("train",), Silent()).predict("b", predictor, targets))
    later = KeptPredictions(("train",), Silent())
    assert later.describe() is None
    np.testing.assert_array_equal(values_of(later.predict("b", predictor, targets)), first)
    assert predictor.calls == 1
    assert later.describe() == f"predictions kept from earlier evaluations in {folder}: b (1)"
    # Rounding is far below what a response is measured to.
    exact = values_of(predictor(targets, ("train",)))
    np.testing.assert_allclose(first, exact, atol=2e-3)


def test_other_tiers_targets_names_and_code_are_other_predictions(
    folder, targets, targets_of, simulated_data, monkeypatch
):
    predictor = Counting()
    store = KeptPredictions(("train",), Silent())
    store.predict("b", predictor, targets)
    store.predict("c", predictor, targets)
    store.predict("b", predictor, targets_of(simulated_data, "forecast+stimulus"))
    store.predict("b", predictor, targets_of(simulated_data, "forecast", tier="validation"))
    KeptPredictions(("train", "validation"), Silent()).predict("b", predictor, targets)
    monkeypatch.setattr(kept, "code_fingerprint", lambda: b"other")
    store.predict("b", predictor, targets)
    assert predictor.calls == 6


def test_a_shard_that_is_written_again_and_another_scaling_of_the_video_are_other_predictions(
    folder, targets, monkeypatch
):
    predictor, store = Counting(), KeptPredictions(("train",), Silent())
    store.predict("b", predictor, targets)
    path = targets.reader.session.path
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    store.predict("b", predictor, targets)
    monkeypatch.setattr(targets.reader, "video_scaling", (0.0, 1.0))
    store.predict("b", predictor, targets)
    assert predictor.calls == 3


def test_code_is_known_with_the_versions_of_its_libraries(monkeypatch):
    kept.code_fingerprint.cache_clear()
    before = kept.code_fingerprint()
    kept.code_fingerprint.cache_clear()
    monkeypatch.setattr(kept.importlib.metadata, "version", lambda name: f"later {name}")
    assert kept.code_fingerprint() != before
    kept.code_fingerprint.cache_clear()


def test_files_of_others_are_read_though_their_time_cannot_be_set(folder, targets, monkeypatch):
    predictor, reporter = Counting(), Listener()
    store = KeptPredictions(("train",), reporter)
    store.predict("b", predictor, targets)

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(kept.os, "utime", refuse)
    store.predict("b", predictor, targets)
    assert (predictor.calls, reporter.warnings) == (1, [])


def test_a_user_without_a_home_has_a_folder(monkeypatch):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("OMNIMOUSE_BASELINES", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    assert kept.cache_folder().is_absolute()


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_rounding_does_not_depend_on_the_unit(targets, unit):
    values = np.concatenate([piece.values for piece in Counting()(targets, ())]) * np.float32(unit)
    rounded = np.concatenate([piece.values for piece in Rounded.of(values).pieces(targets)])
    np.testing.assert_allclose(rounded / unit, values / unit, atol=2e-3)


@pytest.mark.parametrize("damage", [lambda data: data[:100], lambda data: data[:-900], bytes])
def test_a_damaged_file_is_named_and_replaced(folder, targets, damage):
    predictor, reporter = Counting(), Listener()
    first = values_of(KeptPredictions(("train",), Silent()).predict("b", predictor, targets))
    (path,) = folder.iterdir()
    path.write_bytes(damage(path.read_bytes()) if damage is not bytes else b"no archive")
    again = KeptPredictions(("train",), reporter).predict("b", predictor, targets)
    np.testing.assert_array_equal(values_of(again), first)
    assert predictor.calls == 2
    assert reporter.warnings == [f"{path} is damaged: the baseline is computed again"]
    KeptPredictions(("train",), reporter).predict("b", predictor, targets)
    assert predictor.calls == 2


def test_the_files_that_were_used_last_stay(folder, targets, monkeypatch):
    predictor = Counting()
    store = KeptPredictions(("train",), Silent())
    store.predict("a", predictor, targets)
    size = next(folder.iterdir()).stat().st_size
    monkeypatch.setattr(kept, "MAX_FOLDER_BYTES", 2.5 * size)
    store.predict("b", predictor, targets)
    for seconds, path in enumerate(sorted(folder.iterdir()), start=1):
        os.utime(path, (seconds, seconds))
    store.predict("a", predictor, targets)
    store.predict("c", predictor, targets)
    assert sorted(path.name[0] for path in folder.iterdir()) == ["a", "c"]


def test_a_folder_that_cannot_be_written_is_said_once(folder, targets, tmp_path):
    folder.write_text("a file where the folder should be")
    reporter, predictor = Listener(), Counting()
    store = KeptPredictions(("train",), reporter)
    for name in "ab":
        assert len(values_of(store.predict(name, predictor, targets))) == len(targets.windows)
    assert len(reporter.warnings) == 1
    assert "predictions of baselines are not kept" in reporter.warnings[0]


def test_reasons_and_large_predictions_are_not_kept(folder, targets, monkeypatch):
    store = KeptPredictions(("train",), Silent())
    assert store.predict("a", lambda *_: "a reason", targets) == "a reason"
    assert store.predict("a", lambda *_: None, targets) is None
    monkeypatch.setattr(kept, "MAX_VALUES", 10)
    store.predict("a", Counting(), targets)
    assert not folder.exists()


def test_a_constant_stays_a_constant():
    values = np.full((3, 4, 2), 0.1234567, np.float32)
    rounded = Rounded.of(values)
    assert not rounded.deviation.any()
    np.testing.assert_array_equal(rounded.mean, values[0, 0])
