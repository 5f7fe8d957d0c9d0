"""The page of runs, from the files that runs write: what stands on it, what is left out and why."""

import json
import re
from dataclasses import fields
from html.parser import HTMLParser

import numpy as np
import pytest

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.report import traces
from omnimouse_cli.report.evaluations import Score
from omnimouse_cli.report.run_files import read_runs
from omnimouse_cli.report.run_page import render_run_page
from omnimouse_cli.report.score_figures import draw_perturbations, draw_scores
from omnimouse_cli.reporter import Silent

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """The tables, texts and elements of a page; elements that are closed in a wrong order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.wrong, self.text, self.rows = [], [], [], [], []
        self.feed(text)
        assert self.wrong == []
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        self.text.append(data)
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data

    def row(self, *cells):
        """The only row that begins with some cells."""
        (found,) = (row for row in self.rows if row[: len(cells)] == list(cells))
        return found


class Warnings(Silent):
    def __init__(self):
        self.lines = []

    def warn(self, message):
        self.lines.append(message)


def page_of(*runs, reporter=None):
    text = render_run_page(read_runs(runs, reporter or Silent()), Silent())
    assert not re.search(r"https?:", text)
    return Page(text)


@pytest.fixture
def run(run_folders, tmp_path):
    folder = run_folders.write_run(tmp_path / "first")
    run_folders.write_evaluation(folder, perturbed=True)
    return folder


def test_a_page_has_data_scores_neurons_traces_perturbations_and_environment(run):
    page = page_of(run)
    text = "".join(page.text)
    headings = [attributes["id"] for tag, attributes in page.elements if tag == "section"]
    assert headings == [
        "runs",
        "data",
        "learning-curves",
        "scores",
        "neurons",
        "traces",
        "perturbed-video",
        "configuration-and-environment",
    ]
    assert page.row("1-1", "mouse") == [
        *("1-1", "mouse", "30", "dff", "CC-BY-4.0", "Someone et al. 2021", "0123456789abcdef"),
    ]
    assert page.row("predict", "neurons", "1-1") == [
        *("predict", "neurons", "1-1", "0.400", "0.350 to 0.450", "+0.100", "+0.050 to +0.150"),
        *("0.800", "0.500", "0.300", "30", "20"),
    ]
    assert page.row("29")[:2] == ["29", "1029"]
    assert page.row("29")[-4:] == ["0.894", "0.800", "0.400", "0.600"]
    assert page.row("noise", "5")[2:4] == ["20 grey levels", "0.150"]
    assert page.row("training", "shards") == ["training", "shards", "/data/shards"]
    assert 'response_loss = "poisson"' in text
    assert sum(tag == "figure" for tag, _ in page.elements) == 4 + 4


def test_neurons_are_listed_from_the_best_one_and_unknown_scores_last(run):
    page = page_of(run)
    numbers = [row[0] for row in page.rows if len(row) == 10 and row[0].isdigit()]
    assert numbers[:3] == ["29", "28", "27"]
    assert numbers[-1] == "5"
    assert page.row("5")[7] == "-"


def test_names_are_text(run_folders, run, tmp_path):
    nasty = run_folders.write_run(
        tmp_path / "a&b", session=run_folders.NASTY, model=run_folders.NASTY
    )
    run_folders.write_evaluation(
        nasty,
        "<b>",
        sessions=(run_folders.NASTY.replace("/", "|"),),
        baseline=run_folders.NASTY[:8],
    )
    page = page_of(nasty)
    assert sum(tag == "script" for tag, _ in page.elements) == 1
    assert not any(tag == "b" for tag, _ in page.elements)
    assert run_folders.NASTY in "".join(page.text)


def test_an_unfinished_run_has_curves_and_says_what_is_missing(run_folders, tmp_path):
    page = page_of(run_folders.write_run(tmp_path / "begun", finished=False))
    text = "".join(page.text)
    assert page.row("state") == ["state", "unfinished"]
    assert not any(attributes.get("id") == "perturbed-video" for _, attributes in page.elements)
    assert "begun has not finished: summary.json will list its sessions" in text
    assert "No evaluation yet: omnimouse eval RUN makes one." in text
    assert sum(tag == "figure" for tag, _ in page.elements) == 1


def test_several_runs_stand_side_by_side(run_folders, run, tmp_path):
    other = run_folders.write_run(tmp_path / "second", session="2-1", steps=80)
    run_folders.write_evaluation(other, sessions=("2-1",))
    page = page_of(run, other)
    assert page.row("optimizer steps") == ["optimizer steps", "40", "80"]
    assert page.row("time of training") == ["time of training", "2 h 0 min", "2 h 0 min"]
    assert page.row("test-all", "predict") == ["test-all", "predict", "0.400", "0.400"]
    assert page.row("2-1", "mouse")[-1] == "second"


def test_decoded_behavior_is_drawn_beside_neurons(run_folders):
    neurons = run_folders.record("predict", "model", 0.4)
    gaze = run_folders.record("decode", "model", 0.5) | {"target": "gaze"}
    names = {field.name for field in fields(Score)}
    scores = [Score(**{name: one[name] for name in names & one.keys()}) for one in (neurons, gaze)]
    figure = draw_scores(scores, "scores")
    assert ">predict<" in figure.svg
    assert ">decode (gaze)<" in figure.svg


def test_runs_of_one_name_are_told_apart_by_their_parents(run_folders, tmp_path):
    runs = [
        run_folders.write_run(tmp_path / sweep / "nano", steps=n)
        for n, sweep in ((1, "a"), (2, "b"))
    ]
    for one in runs:
        run_folders.write_evaluation(one)
    page = page_of(*runs)
    assert page.row("evaluation") == ["evaluation", "strategy", "a/nano", "b/nano"]
    assert page.row("test-all", "predict") == ["test-all", "predict", "0.400", "0.400"]


def test_a_damaged_evaluation_is_left_out_and_named(run_folders, run):
    (run_folders.write_evaluation(run, "broken") / "neurons.npz").write_bytes(b"PK no archive")
    document = json.loads((run / "eval/test-all/eval.json").read_text())
    document["records"][0]["value"] = "high"
    (run_folders.write_evaluation(run, "odd") / "eval.json").write_text(json.dumps(document))
    reporter = Warnings()
    page = page_of(run, reporter=reporter)
    assert len(reporter.lines) == 2
    assert "broken/neurons.npz is damaged" in reporter.lines[0]
    assert "odd/eval.json is damaged: `value` of a record is 'high'" in reporter.lines[1]
    assert "first: test-all" in "".join(page.text)


def test_an_evaluation_of_an_earlier_version_has_no_traces_and_no_positions(run):
    folder = run / "eval" / "test-all"
    (folder / "traces.npz").unlink()
    with np.load(folder / "neurons.npz") as stored:
        kept = {name: stored[name] for name in stored if "um" not in name and "oracle" not in name}
    np.savez(folder / "neurons.npz", **kept)
    text = "".join(page_of(run).text)
    assert "The evaluations have kept no traces" in text
    assert "no reliability is known, as no scored stimulus was repeated" in text


def test_a_large_session_is_listed_up_to_a_thousand_neurons(run_folders, run):
    run_folders.write_evaluation(run, "large", neurons=1203)
    assert "1,000 of 1,203 neurons" in "".join(page_of(run).text)


def test_two_pages_of_the_same_run_are_the_same_bytes(run):
    pages = [render_run_page(read_runs([run], Silent()), Silent()) for _ in range(2)]
    assert pages[0] == pages[1]


def test_a_folder_that_is_no_run_is_an_error(tmp_path):
    with pytest.raises(OmniMouseError, match="is not a run"):
        read_runs([tmp_path], Silent())


def test_perturbations_that_a_figure_has_no_room_for_are_named():
    key = {"strategy": "predict", "session": "overall", "target": "neurons"}
    key |= {"metric": "single_trial_correlation", "predictor": "model", "value": 0.3}
    families = [f"family{number}" for number in range(14)]
    scores = [Score(**key, perturbation="clean")]
    scores += [Score(**key, perturbation=one, severity=1, level=1.0) for one in families]
    caption = draw_perturbations(scores, "predict", "perturbed").caption
    assert "In the table alone: family12, family13." in caption


def test_traces_have_axes_of_time_and_response(run):
    text = render_run_page(read_runs([run], Silent()), Silent())
    assert "time (s from the start of the recording)" in text
    assert "response (standard deviations of the training data)" in text
    assert len(re.findall(r'<span class="x" style="left:[0-9.]+%">', text)) > 0
    assert len(re.findall(r'<span class="y" style="top:[0-9.]+%">', text)) > 0


def test_labels_of_time_stand_at_whole_multiples_also_after_a_gap():
    seconds = np.concatenate([np.arange(0, 8, 0.1), np.arange(53.05, 60, 0.1)])
    is_gap = np.diff(seconds, prepend=0.0) > 1
    for at, text in traces._time_ticks(seconds, is_gap):
        assert abs(seconds[at] - float(text)) < 0.11
        assert float(text) % 1 == 0
    assert traces._ticks(-0.7, 3.2) == [0.0, 1.0, 2.0, 3.0]
