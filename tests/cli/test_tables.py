"""Tables fit the terminal: names and numbers stay whole, columns are omitted and named."""

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from omnimouse_cli.cli.console import _progress_bars, print_table, reporter
from omnimouse_cli.cli.tables import (
    ResultTable,
    name_columns,
    number_columns,
    pair_table,
    text_columns,
)

KEY = "dynamic29515-10-12-Video-9b4f6a1a067fe51e15306b9628efea20"
TIERS = "train 34.5 (1,234), validation 5.1 (123), test 4.1 (99), oracle 5.3 (100)"


def make_table(*keys):
    table = ResultTable(
        "sessions",
        *name_columns("session"),
        *number_columns("neurons", "valid windows"),
        *text_columns("tiers"),
        omit=("valid windows", "neurons"),
    )
    for key in keys:
        table.add_row(key, "7,440", "1,234,567", TIERS)
    return table


def lines_of(table, width):
    return table.render(width).splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
@pytest.mark.parametrize("key", ["100-1-1", KEY, "mouse with spaces", "神经元-1"])
def test_names_are_whole_and_lines_fit(width, key):
    text = make_table(key, f"{key}b").render(width)
    assert text.count(key) == 2
    console = Console(width=500)
    assert max(console.measure(line).maximum for line in text.splitlines()) <= max(
        width, console.measure(key).maximum + 1
    )
    for number, heading in (("7,440", "neurons"), ("1,234,567", "windows")):
        assert number in text or heading in text.split("not shown:")[1]
    words = " ".join(text.split())
    assert all(word in words for word in TIERS.split())


def test_the_least_important_columns_are_omitted_first_and_named_below():
    lines = lines_of(make_table("100-1-1"), 45)
    assert "neurons" in lines[1]
    assert not any("1,234,567" in line for line in lines)
    below = " ".join(lines[-3:])
    assert "not shown: valid windows (a wider terminal or --json shows all)" in below
    wide = make_table("100-1-1").render(120)
    assert "not shown" not in wide
    assert "1,234,567" in wide


def test_a_long_name_stands_above_its_row():
    lines = lines_of(make_table(KEY), 80)
    at = lines.index(KEY)
    assert "7,440" in lines[at + 1]
    assert lines[1] == "session"


def test_a_name_that_is_longer_than_the_line_is_not_cut():
    key = "x" * 130
    assert key in lines_of(make_table(key), 80)


def test_the_last_line_of_totals_is_part_of_the_table():
    table = make_table("100-1-1")
    table.set_footer("total", "7,440")
    assert lines_of(table, 100)[-2].split() == ["total", "7,440"]


def test_control_characters_do_not_reach_the_terminal():
    table = make_table("mouse\x1b[2J\n\t")
    text = table.render(100)
    assert "\x1b" not in text
    assert "mouse\\x1b[2J\\x0a\\x09" in text


def test_brackets_of_a_name_are_no_markup():
    assert "[bold]a[/bold] :mouse:" in make_table("[bold]a[/bold] :mouse:").render(100)


def test_a_column_without_a_value_is_not_printed_and_not_named():
    table = ResultTable(
        "scores", *name_columns("strategy"), *number_columns("model", "repeats"), omit=("repeats",)
    )
    table.add_row("predict", ".312", "")
    table.add_row("decode", ".810", "")
    for width in (None, 12, 80):
        assert "repeats" not in table.render(width)
        assert "not shown" not in table.render(width)
    table.add_row("forecast", ".4", "9.5")
    assert "repeats" in table.render(80)


@given(
    st.lists(
        st.tuples(
            st.text("abc-1", min_size=1, max_size=70),
            st.text("0123.", min_size=1, max_size=12),
            st.text("ab c", max_size=150),
        ),
        min_size=1,
        max_size=4,
    ),
    st.integers(20, 220),
)
def test_no_name_and_no_number_is_ever_cut(rows, width):
    table = ResultTable("", *name_columns("name"), *number_columns("number"), *text_columns("text"))
    for row in rows:
        table.add_row(*row)
    lines = lines_of(table, width)
    for name, number, _ in rows:
        assert any(name in line for line in lines)
        assert any(number in line.split() for line in lines)


def test_pairs_have_no_headings_and_fold_their_values():
    lines = lines_of(pair_table("run", [("model", "nano"), ("citation", "word " * 30)]), 60)
    assert lines[:2] == ["run", "model     nano"]
    assert all(len(line) <= 60 for line in lines)
    assert " ".join(lines).count("word") == 30


def test_without_a_terminal_every_column_is_printed(capsys):
    print_table(make_table(KEY))
    out = capsys.readouterr().out
    assert "not shown" not in out
    assert any(
        all(cell in line for cell in (KEY, "7,440", "1,234,567")) for line in out.split("\n")
    )


def test_on_a_terminal_the_table_is_as_wide_as_the_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "45")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    print_table(make_table("100-1-1"))
    assert "not shown: valid windows" in " ".join(sys.stdout.getvalue().split())


@pytest.mark.parametrize("width", [30, 40, 60, 80, 120])
def test_the_progress_bar_keeps_percentage_and_time_left(width):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    bars = _progress_bars(console)
    note = "step 120 · neural 0.812 · behavior 0.900 · 12 windows/s · 15.2k tokens/s"
    task = bars.add_task("training", total=1.0, note=note)
    bars.update(task, advance=0.3)
    with console.capture() as capture:
        console.print(bars.get_renderable())
    assert capture.get().startswith(" 30% -:--:--")
    assert "training step" in capture.get()


def test_quiet_is_quiet(capsys):
    with reporter(quiet=True) as progress:
        progress.start("training", 1.0)
        progress.advance("training", 0.5)
        progress.say("nothing")
        progress.warn("something")
        progress.finish("training")
    assert capsys.readouterr().err == "warning: something\n"
