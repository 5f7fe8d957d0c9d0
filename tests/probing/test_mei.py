"""Most exciting stimuli of runs: what is written, who validates, and bad input."""

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.evaluation.records import EvalOptions
from omnimouse_cli.metrics.moments import correlation, moments_of
from omnimouse_cli.probing import mei, mei_ascent
from omnimouse_cli.probing.mei import MeiOptions, most_exciting
from omnimouse_cli.probing.mei_neurons import choose_neurons
from omnimouse_cli.probing.mei_output import encode_png, write_files
from omnimouse_cli.probing.predict_recorded import predict_recording
from omnimouse_cli.probing.session_model import SessionModel
from omnimouse_cli.run.load import load_run

pytestmark = pytest.mark.usefixtures("few_mei_references")

SHORT = MeiOptions(starts=2, steps=3, least=True, contrast=50.0, prior="none")


@pytest.fixture(scope="module")
def session(small_mouse):
    return small_mouse.sessions[0].key


@pytest.fixture(scope="module")
def made(runs, session, small_mouse):
    return most_exciting(runs, session, [3, 7], dataset=small_mouse, options=SHORT)


def test_the_last_run_validates_what_the_others_made(made, runs, session, small_mouse):
    assert made.made_by == (str(runs[0].folder),)
    assert made.validated_by == (str(runs[1].folder),)
    assert "made no stimuli" in made.notes[0]
    named = most_exciting(
        runs[:1], session, [3, 7], dataset=small_mouse, validate=runs[1:], options=SHORT
    )
    assert not any("made no stimuli" in note for note in named.notes)
    for name, values in made.validated.items():
        assert values.shape == (1, 2)
        np.testing.assert_array_equal(named.validated[name], values)
    model = SessionModel(runs[1:], session, dataset=small_mouse)
    windows = np.full((1, 60, 36, 64), made.mean, np.float32)
    windows[0, 30:] = made.stimuli["most"][1]
    expected = model.mean_responses(windows)[0, 0, 7]
    assert made.validated["most"][0, 1] == pytest.approx(expected, rel=1e-4)


def test_most_and_least_exciting_stimuli_lie_around_the_references(made):
    most, least, natural, grating = (
        made.responses[name][0] for name in ("most", "least", "natural", "grating")
    )
    assert (most > np.maximum(natural, grating)).all()
    assert (least < made.responses["grey"][0]).all()
    np.testing.assert_allclose(made.starts.max(axis=0), most, rtol=1e-4)
    contrasts = {"most": made.contrast, "least": made.contrast, "grating": made.video_contrast}
    for name, contrast in contrasts.items():
        np.testing.assert_allclose(made.stimuli[name].mean((2, 3)), made.mean, atol=0.05)
        np.testing.assert_allclose(made.stimuli[name].std((2, 3)), contrast, atol=0.05)


def test_the_best_natural_stimulus_is_one_that_was_shown(made, small_mouse, session):
    frames = small_mouse.session(session).shard.frames
    for stimulus in made.stimuli["natural"]:
        distance = np.abs(frames - stimulus).max(axis=(1, 2))
        assert distance.min() < 0.01


@pytest.mark.parametrize("kind", ["image", "video"])
def test_ascents_start_from_references_and_videos_from_no_grating(
    kind, runs, small_mouse, session, monkeypatch
):
    given = []

    def ascend(model, starts, *arguments, **options):
        given.append(starts)
        return mei_ascent.ascend(model, starts, *arguments, **options)

    monkeypatch.setattr(mei, "ascend", ascend)
    options = replace(SHORT, least=False, starts=3, steps=1, kind=kind)
    found = most_exciting(runs[:1], session, [2], dataset=small_mouse, options=options)
    natural, second, third = given[0]
    np.testing.assert_array_equal(natural, found.stimuli["natural"][0])
    assert np.array_equal(second, found.stimuli["grating"][0]) == (kind == "image")
    # Noise is still.
    np.testing.assert_array_equal(third, third[:1].repeat(len(third), axis=0))
    assert not np.array_equal(second, third)


def test_a_run_alone_is_said_to_be_unvalidated(runs, session):
    options = replace(SHORT, least=False, starts=1, steps=1, kind="video")
    alone = most_exciting(runs[:1], session, [0], options=options)
    assert "no other run validated" in alone.notes[0]
    assert alone.validated == {}
    assert alone.unit == "standard deviations"
    assert set(alone.stimuli) == {"most", "grating"}
    assert alone.stimuli["most"].shape == (1, 30, 36, 64)
    # Without shards, mean and contrast of gratings are those by which the run scales video.
    assert (alone.mean, alone.video_contrast) == (113.0, 59.0)


def test_files_hold_the_same_numbers(made, tmp_path):
    arrays, table, document, page = write_files(made, tmp_path)
    with np.load(arrays) as stored:
        np.testing.assert_array_equal(stored["stimuli/most"], made.stimuli["most"])
        np.testing.assert_array_equal(stored["validated/natural"], made.validated["natural"])
    rows = list(csv.DictReader(table.read_text().splitlines()))
    content = json.loads(document.read_text())
    assert [row["neuron"] for row in rows] == ["3", "7"]
    for number, row in enumerate(content["neurons"]):
        assert row["validated_most"] == pytest.approx(made.validated["most"][0, number])
        assert float(rows[number]["made_grey"]) == pytest.approx(row["made_grey"])
    html = page.read_text()
    # Four stimuli of two neurons; nothing is loaded from elsewhere.
    assert html.count("data:image/png;base64,") == 8
    assert not re.search(r"https?:", html)
    assert "made no stimuli" in html
    assert "made: response by the runs that made the stimuli" in html


def test_the_page_is_sound_in_a_browser(made, browser, tmp_path):
    browser.require_sound_page(write_files(made, tmp_path)[-1])


def test_a_png_holds_the_grey_levels():
    matplotlib_image = pytest.importorskip("matplotlib.image")
    import base64
    import io

    grey = np.arange(12, dtype=np.float32).reshape(3, 4) * 20
    data = base64.b64decode(encode_png(grey).partition(",")[2])
    np.testing.assert_allclose(matplotlib_image.imread(io.BytesIO(data)) * 255, grey, atol=0.01)


def test_neurons_that_do_not_depend_on_the_video_are_named(
    small_mouse, write_run, session, tmp_path
):
    def blind(tensors):
        for name, value in tensors.items():
            if "readout.project" in name or "linear_paths" in name:
                value.zero_()

    run = load_run(write_run(tmp_path / "blind", small_mouse, weights=blind))
    with pytest.raises(OmniMouseError, match="neurons 1, 4 is 0") as caught:
        most_exciting([run], session, [1, 4], options=replace(SHORT, starts=1, steps=1))
    assert "trained with video" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [("best", "takes a number"), ("best:0", "takes a number"), ("1,x", "neither"), ("", "neither")],
)
def test_a_list_of_neurons_that_cannot_be_read_is_refused(runs, session, text, message):
    with pytest.raises(OmniMouseError, match=message):
        choose_neurons(runs[0], None, session, text)


def test_the_best_neurons_are_those_of_an_evaluation_on_the_validation_tier(
    runs, session, small_mouse
):
    assert choose_neurons(runs[0], small_mouse, session, "4, 0") == (4, 0)
    best = choose_neurons(runs[0], small_mouse, session, "best:12")
    assert sorted(best) == list(range(12))
    (tier,) = runs[0].config.train.validation_tiers
    options = EvalOptions(regime="predict", tier=tier, baselines=())
    found = next(predict_recording(runs[:1], small_mouse, session, options=options))
    measured = np.where(found.scored[:, None], found.measured, np.nan)
    # A neuron without a score is the last one.
    scores = np.nan_to_num(correlation(moments_of(measured, found.predicted)), nan=-1.0)
    assert (np.diff(scores[list(best)]) <= 1e-6).all()
    assert choose_neurons(runs[0], small_mouse, session, "best:3") == best[:3]
    with pytest.raises(OmniMouseError, match="needs the shards"):
        choose_neurons(runs[0], None, session, "best:3")


@pytest.mark.parametrize(
    ("neurons", "key", "message"),
    [([12], None, "no neuron 12"), ([-1], None, "no neuron -1"), ([], None, "no neuron was"),
     ([0], "1-1-1", "no session 1-1-1")],
)  # fmt: skip
def test_an_unknown_neuron_or_session_is_named(runs, session, neurons, key, message):
    with pytest.raises(OmniMouseError, match=message):
        most_exciting(runs[:1], key or session, neurons, options=SHORT)


def test_a_run_cannot_validate_its_own_stimuli(runs, session):
    with pytest.raises(OmniMouseError, match="cannot validate"):
        most_exciting(runs[:1], session, [0], validate=runs[:1])


@pytest.mark.parametrize(
    ("field", "value"), [("kind", "film"), ("prior", "x"), ("starts", 0), ("steps", 0)]
)
def test_options_that_make_no_stimuli_are_refused(field, value):
    with pytest.raises(OmniMouseError, match=field):
        MeiOptions(**{field: value})


def test_grey_that_the_run_scales_to_0_has_a_gradient(small_mouse, write_run, session, tmp_path):
    # The linear model takes square roots of motion energies, which are 0 before the stimulus.
    def answer(tensors):
        for name, value in tensors.items():
            if "of_stimulus" in name or "neuron_weights" in name:
                value.normal_(generator=torch.Generator().manual_seed(0))

    sets = ("model.decoder.linear_rank=4",)
    run = load_run(write_run(tmp_path / "linear", small_mouse, sets=sets, weights=answer))
    options = replace(SHORT, mean=113.0, least=False, starts=1)
    found = most_exciting([run], session, [0, 1], options=options)
    assert np.isfinite(found.stimuli["most"]).all()
    assert (found.responses["most"] > found.responses["grating"]).all()


def test_responses_far_beyond_those_to_natural_stimuli_are_said_to_be_extrapolated():
    responses = {"natural": np.array([[1.0, 1, 1]]), "most": np.array([[1.9, 2.1, np.nan]])}
    (note,) = mei._extrapolation(responses, np.array([True, True, False]))
    assert note.startswith("of 1 of 2 neurons")
    assert mei._extrapolation({"most": responses["most"]}, np.ones(3, bool)) == []
