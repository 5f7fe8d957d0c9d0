"""report.json and report.html: the contract's fields, figures inside, nothing from elsewhere."""

import dataclasses
import re
from html.parser import HTMLParser

import pytest

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import format_document, read_document
from omnimouse_cli.report.analysis import analyze, build_document
from omnimouse_cli.report.page import write_report
from omnimouse_cli.report.table import ExcludedRow, RunTable
from omnimouse_cli.reporter import Silent

pytestmark = pytest.mark.slow

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Balance(HTMLParser):
    """Counts elements, and notes tags that are closed in another order than opened."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.wrong, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def parsed(path):
    page = Balance()
    page.feed(path.read_text())
    assert page.wrong == []
    assert page.open == []
    return page


@pytest.fixture(scope="module")
def full_report(grid):
    table, _ = grid(seeds=2, noise=0.005)
    table = dataclasses.replace(
        table,
        excluded=(
            ExcludedRow(run="<b>odd</b>", source="x.csv:9", reason="line 9: `loss` is empty"),
        ),
    )
    return analyze(table, num_resamples=100, reporter=Silent())


@pytest.fixture(scope="module")
def small_report(grid):
    table, _ = grid(seeds=1)
    rows = RunTable(title="three runs", rows=table.rows[:3])
    return analyze(rows, num_resamples=100, reporter=Silent())


@pytest.fixture(scope="module")
def written(full_report, tmp_path_factory):
    return write_report(full_report, tmp_path_factory.mktemp("report"))


def test_the_document_has_the_fields_of_the_contract(written):
    _, path = written
    found = read_document(path, "scaling-report")
    law = found["law"]
    assert law["form"] == "joint"
    for name in ("E", "A", "B", "alpha", "beta", "a_opt"):
        assert law[name]["low"] <= law[name]["value"] <= law[name]["high"]
    assert law["goodness"]["r2"] > 0.9
    assert law["subset_effect"] is None
    assert "goodness of fit" in found["facts"][0]
    assert found["tasks"] == []
    for one in found["alternatives"]:
        assert {"form", "aicc", "bic", "heldout_error", "breaks"} <= set(one)
    assert {one["form"] for one in found["alternatives"]} >= {"constant", "joint", "tied exponents"}
    assert found["verdict"] in ("data-limited", "parameter-limited", "undetermined")
    assert found["reasons"]
    assert isinstance(found["warnings"], list)
    assert len(found["rows"]) == 33
    assert sum(row["used"] for row in found["rows"]) == 32
    assert found["rows"][-1]["reason"] == "line 9: `loss` is empty"
    for row in found["rows"][:-1]:
        assert row["fitted"] == pytest.approx(row["loss"], rel=0.05)


def test_a_small_table_still_gives_a_report_without_a_law(small_report, tmp_path):
    page, path = write_report(small_report, tmp_path)
    found = read_document(path, "scaling-report")
    assert found["law"] is None
    assert found["verdict"] == "undetermined"
    assert "needs at least 8 rows, and the table has 3" in found["reasons"][0]
    assert [row["used"] for row in found["rows"]] == [True] * 3
    text = page.read_text()
    assert text.count("<figure") == 1
    assert "needs at least 8 rows, and the table has 3" in text


@pytest.mark.parametrize("which", ["full_report", "small_report"])
def test_no_number_is_nan(which, request):
    report = request.getfixturevalue(which)
    text = format_document("scaling-report", build_document(report))
    assert "NaN" not in text
    assert "Infinity" not in text


def test_the_page_holds_its_figures_and_loads_nothing(written):
    path, _ = written
    text = path.read_text()
    page = parsed(path)
    assert sum(tag == "figure" for tag, _ in page.seen) == 5
    assert not re.search(r"https?:", text)
    assert "@import" not in text
    for tag, attributes in page.seen:
        assert tag not in ("script", "link", "iframe")
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith("#"), (tag, attributes)
    assert all(not link.startswith("//") for link in re.findall(r"url\(([^)]*)\)", text))


def test_the_question_stands_above_the_verdict(written):
    text = written[0].read_text()
    assert text.index("What would lower the loss") < text.index('class="word"')


@pytest.mark.parametrize("which", ["full_report", "small_report"])
def test_the_page_is_sound_in_a_browser_and_nothing_is_clipped(which, browser, request, tmp_path):
    path, _ = write_report(request.getfixturevalue(which), tmp_path)
    browser.require_sound_page(path)
    browser.resize(1400)
    clipped = "[...document.querySelectorAll('.wide')].filter(e => e.scrollWidth > e.clientWidth)"
    assert browser.run(f"{clipped}.length") == 0


def test_identifiers_are_unique_and_every_reference_exists(written):
    page = parsed(written[0])
    identifiers = [attributes["id"] for _, attributes in page.seen if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    used = [attributes.get("xlink:href") for _, attributes in page.seen]
    used += [
        attributes.get("clip-path", "").replace("url(", "")[:-1] for _, attributes in page.seen
    ]
    assert {link[1:] for link in used if link} <= set(identifiers)


def test_names_in_a_table_cannot_become_elements(written):
    page = parsed(written[0])
    assert not any(tag == "b" for tag, _ in page.seen)
    assert "<b>odd</b>" in "".join(page.text)


def test_two_reports_of_the_same_table_are_the_same_bytes(small_report, tmp_path):
    first = write_report(small_report, tmp_path / "a")
    second = write_report(small_report, tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_a_file_in_the_place_of_the_folder_is_an_error(small_report, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OmniMouseError, match="--out must be a folder"):
        write_report(small_report, tmp_path / "file")
