"""A probe of exact Gabor energy units recovers every property; unsure neurons get no numbers."""

import csv
import json
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from omnimouse_cli.errors import ConfigError, OmniMouseError
from omnimouse_cli.files import write_document
from omnimouse_cli.probing.gratings import pairwise_correlation
from omnimouse_cli.probing.page import write_page
from omnimouse_cli.probing.probe import probe
from omnimouse_cli.probing.scores import NeuronScores, find_scores
from omnimouse_cli.probing.settings import ProbeOptions
from omnimouse_cli.probing.table import write_tables
from tests.probing.gabor_units import GaborUnits

CENTERS = np.array([[14.0, 22.0], [20.0, 40.0], [16.0, 30.0], [21.0, 26.0], [17.0, 37.0]])
DIRECTIONS = np.array([10.0, 95.0, 200.0, 310.0, 45.0])
SPATIAL = np.array([0.078, 0.09, 0.08, 0.1, 0.085])
TEMPORAL = np.array([2.0, 4.0, 2.0, 4.0, 2.0])
OPPOSITE = np.array([0.0, 0.2, 0.5, 0.1, 0.3])
OPTIONS = ProbeOptions(
    spatial_frequencies=(0.0589, 0.0833, 0.1179),
    temporal_frequencies=(1.0, 2.0, 4.0, 8.0),
    phases=1,
    diameters=(8.0, 13.0, 20.0, 52.0),
    inner_diameters=(8.0, 20.0),
    contrasts=(0.1, 0.2, 0.4, 1.0),
    noise_windows=200,
)
# One frequency, where others are of no interest.
FEW = replace(
    OPTIONS,
    directions=12,
    spatial_frequencies=(0.0833,),
    temporal_frequencies=(3.0,),
    phases=2,
    noise_windows=2,
)
GOOD = NeuronScores(values=np.ones(5), source="given")
SCORES = NeuronScores(values=np.array([0.5, 0.4, 0.3, 0.05, np.nan]), source="given")


def units(**changes):
    return GaborUnits(
        CENTERS, DIRECTIONS, SPATIAL, TEMPORAL, width_px=3.5, **{"opposite": OPPOSITE, **changes}
    )


@pytest.fixture(scope="module")
def found():
    """A probe in which the last two neurons have no sufficient score."""
    return probe(units(), scores=SCORES, options=OPTIONS)


def test_receptive_fields_are_recovered(found):
    assert found.receptive_field.reported == "gradient"
    np.testing.assert_allclose(found.receptive_field.fit.center_px[:3], CENTERS[:3], atol=1.0)
    by_noise = found.receptive_field.fits["noise"].center_px
    np.testing.assert_allclose(by_noise[:3], CENTERS[:3], atol=1.5)
    assert found.notes == ("gradients are averaged over 8 windows of sparse noise",)


def test_direction_tuning_is_recovered(found):
    tuning, angles = found.orientation, np.deg2rad(found.options.directions_deg)
    error = (tuning.direction_deg - DIRECTIONS + 180) % 360 - 180
    assert np.abs(error[:3]).max() < 2
    np.testing.assert_allclose(tuning.orientation_deg, (tuning.direction_deg + 90) % 180)
    # A drifting grating drives the two directions of a Gabor by 1 and by `opposite`.
    np.testing.assert_allclose(tuning.dsi[:3], ((1 - OPPOSITE) / (1 + OPPOSITE))[:3], atol=0.05)
    # The energy falls as a Gaussian of the distance in the plane of spatial frequencies.
    best = found.spatial_frequency.curve.argmax(axis=1)
    at = found.spatial_frequency.axis[best][:, None]
    away = np.cos(angles - np.deg2rad(DIRECTIONS)[:, None])
    apart = at**2 + SPATIAL[:, None] ** 2 - 2 * at * SPATIAL[:, None] * away
    forth = np.exp(-apart * (2 * np.pi * 3.5) ** 2)
    curve = forth + OPPOSITE[:, None] * np.roll(forth, len(angles) // 2, axis=1)
    expected = np.abs(curve @ np.exp(2j * angles)) / curve.sum(axis=1)
    np.testing.assert_allclose(tuning.osi[:3], expected[:3], atol=0.03)


def test_frequencies_are_recovered(found):
    octaves = np.log2(found.spatial_frequency.preferred / SPATIAL)[:3]
    assert np.abs(octaves).max() < 0.15
    octaves = np.log2(found.temporal_frequency.preferred / TEMPORAL)[:3]
    assert np.abs(octaves).max() < 0.4


def test_sizes_and_contrasts_are_recovered():
    saturating = probe(units(half=0.2), scores=GOOD, options=FEW)
    assert saturating.size.suppression.max() < 0.02
    # 2 E / (E + h^2) at contrast 1 says which contrast has the energy h^2.
    at_one = saturating.contrast.curve[:, -1] / 2
    np.testing.assert_allclose(saturating.contrast.half**2, (1 - at_one) / at_one, rtol=0.15)
    assert (saturating.contrast.explained > 0.98).all()
    np.testing.assert_allclose(saturating.contrast.exponent, 2.0, atol=0.3)
    surround = probe(units(surround=0.3), scores=GOOD, options=FEW)
    curve = surround.size.curve
    np.testing.assert_allclose(surround.size.suppression, 1 - curve[:, -1] / curve.max(axis=1))
    assert (surround.size.suppression > 0.05).all()
    assert (surround.size.preferred_px < 35).all()
    # A hole that covers the receptive field leaves what the surround takes away.
    assert (surround.size.annulus_curve[:, -1] < 0.1).all()
    assert np.isnan(surround.reliability["size"]).all()
    assert (surround.reliability["orientation"] > 0.99).all()


def test_neurons_with_low_scores_get_no_numbers(found, tmp_path):
    assert found.reliable.tolist() == [True, True, True, False, False]
    assert np.isnan(found.orientation.osi[3:]).all()
    assert np.isfinite(found.orientation.osi[:3]).all()
    assert np.isfinite(found.orientation.curve).all()

    table, document, arrays = write_tables(found, tmp_path)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["reliable"] for row in rows] == ["true"] * 3 + ["false"] * 2
    assert rows[3]["orientation.osi"] == ""
    assert float(rows[0]["receptive_field.center_px.column"]) == pytest.approx(22, abs=1)
    content = json.loads(document.read_text())
    assert content["format"] == "omnimouse-probe"
    first, last = content["neurons"][0], content["neurons"][4]
    assert first["orientation"]["direction_deg"] == pytest.approx(10, abs=2)
    assert first["state"] == content["state"]["name"] == "mean"
    assert content["score_source"] == "given"
    assert last["score"] is None
    assert last["receptive_field"]["center_px"] == [None, None]
    assert last["size"]["preferred"] is None
    contract = {
        "receptive_field": {"center_px", "size", "orientation", "snr"},
        "orientation": {"preferred_deg", "osi", "dsi", "direction_deg", "width_deg"},
        "size": {"preferred", "suppression"},
        "contrast": {"half", "exponent"},
    }
    assert all(names <= set(first[group]) for group, names in contract.items())
    with np.load(arrays) as stored:
        assert stored["orientation.curve"].shape == (5, 16)
        assert stored["gradient_map"].shape == (5, 36, 64)
        assert stored["size.known"].tolist() == found.known["size"].tolist()


@pytest.mark.slow
def test_the_page_shows_the_best_neurons_and_loads_nothing(found, tmp_path):
    text = write_page([replace(found, session="<b>1")], tmp_path, pictures=1).read_text()
    assert "Neurons that are given numbers: 3 of 5." in text
    assert "<h3>The best predicted neuron</h3>" in text
    assert "The model takes no behavior." in text
    assert "<b>1" not in text
    require_self_contained(text)


def test_the_page_of_gratings_that_fill_the_screen_has_no_discs(found, tmp_path):
    options = replace(found.options, aperture_px=None)
    full = replace(found, options=options, in_disc=np.zeros(len(found.neuron), bool))
    text = write_page([full], tmp_path, pictures=0).read_text()
    assert "Tuning for direction was measured with gratings that fill the screen." in text
    assert "0 pixels" not in text


def test_a_page_without_reliable_neurons_says_so_and_has_no_empty_figures(found, tmp_path):
    none = replace(found, reliable=np.zeros(len(found.neuron), bool), least_score=0.125)
    text = write_page([none], tmp_path).read_text()
    assert "No neuron passed: none has a score of at least 0.125." in text
    assert "<figure" not in text


@pytest.mark.slow
def test_the_page_is_sound_in_a_browser(found, browser, tmp_path):
    browser.require_sound_page(write_page([found], tmp_path, pictures=1))


def require_self_contained(text):
    """Check that a page loads nothing and has no script."""

    class Links(HTMLParser):
        def handle_starttag(self, tag, attrs):
            assert tag not in ("script", "link", "iframe"), tag
            for name, value in attrs:
                if name in ("src", "href", "xlink:href"):
                    assert value.startswith(("#", "data:")), value

    Links().feed(text)


def test_an_ensemble_is_averaged_and_its_runs_are_the_halves():
    some = probe(units(runs=2), neurons=[1, 0], scores=GOOD, options=FEW)
    assert some.neuron.tolist() == [1, 0]
    assert some.runs == ("run0", "run1")
    assert some.reliability_source["size"] == "runs of the ensemble"
    # The second run's responses are twice those of the first.
    np.testing.assert_allclose(some.reliability["size"], 1.0)
    assert np.abs(some.orientation.direction_deg - DIRECTIONS[[1, 0]]).max() < 3


def test_without_gradients_the_noise_is_reported_and_without_scores_modulation():
    options = replace(FEW, gradient_windows=0, noise_windows=150, min_reliability=0.0)
    some = probe(units(), neurons=[0], options=replace(options, min_modulation=0.01))
    assert some.receptive_field.reported == "noise"
    np.testing.assert_allclose(some.receptive_field.fit.center_px[0], CENTERS[0], atol=1.5)
    assert "no evaluation" in some.score_source
    with pytest.raises(OmniMouseError, match="has no neuron 9"):
        probe(units(), neurons=[9], options=options)


def test_nobody_is_reliable():
    nobody = NeuronScores(values=np.zeros(5), source="given")
    some = probe(units(), scores=nobody, options=FEW)
    assert not some.reliable.any()
    assert np.isnan(some.size.curve).all()
    assert np.isnan(some.receptive_field.fit.center_px).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"directions": 7}, "`directions` must be even"),
        ({"spatial_frequencies": (0.7,)}, "at most 0.5 cycles per pixel"),
        ({"temporal_frequencies": (4.0, 2.0)}, "must be ascending"),
        ({"temporal_frequencies": ()}, "must be positive numbers"),
        ({"contrast": 1.5}, "`contrast` must lie between"),
        ({"contrasts": (0.5, 1.5)}, "`contrasts` must be at most 1"),
        ({"inner_diameters": (99.0,)}, "smaller than the largest"),
        ({"noise_windows": 1}, "`noise_windows` must lie between 2"),
    ],
)
def test_stimuli_that_do_not_exist_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        ProbeOptions(**changes)


def test_pairs_of_parts_are_correlated():
    curves = np.random.default_rng(0).normal(size=(3, 2, 7))
    expected = [
        np.mean(
            [np.corrcoef(curves[a, n], curves[b, n])[0, 1] for a, b in ((0, 1), (0, 2), (1, 2))]
        )
        for n in range(2)
    ]
    np.testing.assert_allclose(pairwise_correlation(curves), expected)


def test_scores_are_those_of_the_newest_evaluation_with_the_strategy(tmp_path):
    folder = tmp_path / "run" / "eval"
    for name, strategy in (("a", "predict"), ("b", "forecast")):
        (folder / name).mkdir(parents=True)
        key = f"1-1-1/{strategy}/neurons"
        values = {f"{key}/index": np.array([2, 0]), f"{key}/model": np.array([0.3, 0.1])}
        np.savez(folder / name / "neurons.npz", **values)
        write_document(folder / name / "eval.json", "eval", {})
    scores = find_scores([tmp_path / "run"], "1-1-1", 3)
    np.testing.assert_array_equal(scores.values, [0.1, np.nan, 0.3])
    assert "eval/a/neurons.npz" in scores.source
    assert find_scores([tmp_path / "run"], "2-1-1", 3) is None
    assert find_scores([tmp_path / "run", tmp_path / "other"], "1-1-1", 3) is None
    # An evaluation of an ensemble is that of no single run.
    write_document(folder / "a" / "eval.json", "eval", {"runs": ["run", "other"]})
    assert find_scores([tmp_path / "run"], "1-1-1", 3) is None
    both = find_scores([tmp_path / "run", tmp_path / "other"], "1-1-1", 3)
    np.testing.assert_array_equal(both.values, scores.values)
    # An evaluation that was interrupted has no document yet.
    (folder / "a" / "eval.json").unlink()
    assert find_scores([tmp_path / "run"], "1-1-1", 3) is None
    write_document(folder / "a" / "eval.json", "eval", {})
    with pytest.raises(OmniMouseError, match="which has 2"):
        find_scores([tmp_path / "run"], "1-1-1", 2)
    (folder / "a" / "neurons.npz").write_bytes(b"PK broken")
    with pytest.raises(OmniMouseError, match="is damaged"):
        find_scores([tmp_path / "run"], "1-1-1", 3)
