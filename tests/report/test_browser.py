"""The page of runs in a real browser: sound at every width, sorted and chosen by clicks."""

import pytest

from omnimouse_cli.report.run_files import read_runs
from omnimouse_cli.report.run_page import write_run_page
from omnimouse_cli.reporter import Silent

pytestmark = pytest.mark.slow

FIRST_CELLS = """[...document.querySelectorAll('#neurons [data-choice]:not([hidden]) tbody tr')]
  .map((row) => row.cells[{column}].textContent)"""
# Clicks on a heading of the table of neurons that is shown.
CLICK = """[...document.querySelectorAll('#neurons [data-choice]:not([hidden]) th button')]
  .find((button) => button.textContent === '{name}').click()"""
SHOWN = "[...document.querySelectorAll('#{part} [data-choice]')].filter((e) => !e.hidden)"
# Chooses an entry of a list as a reader does.
CHOOSE = """(() => {{
  const list = document.querySelectorAll('#{part} select')[{number}];
  list.value = list.options[{entry}].value;
  list.dispatchEvent(new Event('change', {{ bubbles: true }}));
}})()"""


@pytest.fixture(scope="module")
def page(run_folders, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    nasty = run_folders.NASTY
    first = run_folders.write_run(folder / "first", session=nasty, model=nasty)
    run_folders.write_evaluation(
        first, perturbed=True, sessions=("1-1", "a\" onload='x' <img src=x>")
    )
    other = run_folders.write_run(folder / "an&other <b>run", finished=False)
    run_folders.write_evaluation(other, neurons=60, baseline=nasty.replace("/", "|"))
    write_run_page(read_runs([first, other], Silent()), folder / "report.html", Silent())
    return folder / "report.html"


def test_the_page_of_runs_is_sound_and_names_are_text(page, browser, run_folders):
    browser.require_sound_page(page)
    assert browser.run("document.title").startswith("Report: first, an&other <b>run")
    assert browser.run("document.querySelectorAll('main script, main b, main img').length") == 0
    assert run_folders.NASTY in browser.run("document.body.innerText")


def test_a_click_on_a_heading_sorts_by_numbers_and_unknown_values_stay_last(page, browser):
    browser.open(page, width=1400)
    neurons = FIRST_CELLS.format(column=0)
    assert browser.run(neurons)[:3] == ["29", "28", "27"]
    browser.run(CLICK.format(name="neuron"))
    assert browser.run(neurons) == [str(number) for number in reversed(range(30))]
    browser.run(CLICK.format(name="neuron"))
    assert browser.run(neurons) == [str(number) for number in range(30)]
    score = FIRST_CELLS.format(column=7)
    for _ in range(2):
        browser.run(CLICK.format(name="predict"))
        assert browser.run(score)[-1] == "-"
    values = [float(text) for text in browser.run(score)[:-1]]
    assert values == sorted(values)
    heads = "[...document.querySelectorAll('#neurons th[aria-sort]')].map((e) => e.ariaSort)"
    assert browser.run(heads) == ["ascending"]


def test_one_session_and_one_trace_are_shown_at_a_time(page, browser):
    browser.open(page, width=800)
    shown = SHOWN.format(part="traces") + ".map((e) => JSON.parse(e.dataset.choice))"
    (first,) = browser.run(shown)
    assert first[:3] == ["first: test-all", "1-1", "predict"]
    browser.run(CHOOSE.format(part="traces", number=1, entry=1))
    (second,) = browser.run(shown)
    assert second == [first[0], "a\" onload='x' <img src=x>", *first[2:]]
    browser.run(CHOOSE.format(part="traces", number=0, entry=1))
    (third,) = browser.run(shown)
    assert third[:3] == ["an&other <b>run: test-all", "1-1", "predict"]
    assert browser.run(SHOWN.format(part="neurons") + ".length") == 1
    browser.run(CHOOSE.format(part="neurons", number=0, entry=1))
    assert len(browser.run(FIRST_CELLS.format(column=0))) == 60
    assert browser.problems == []


def test_without_the_script_everything_is_shown(page, browser, tmp_path):
    text = page.read_text()
    plain = tmp_path / "plain.html"
    plain.write_text(text[: text.index("<script>")])
    browser.open(plain, width=800)
    assert browser.run("document.querySelectorAll('[data-choice]').length") == 3 + 12
    assert browser.run("document.querySelectorAll('[hidden]').length") == 0
