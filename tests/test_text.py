"""Numbers and names in messages and tables."""

import pytest

from omnimouse_cli.text import (
    format_bytes,
    format_count,
    format_magnitude,
    format_minutes,
    format_number,
    format_percent,
    pluralize,
    suggest_name,
)


def test_the_most_similar_known_name_is_suggested():
    assert suggest_name("tinny", ["nano", "tiny"]) == "did you mean `tiny`?"


def test_of_similar_names_one_that_begins_as_written_is_suggested():
    keys = ["10001-1-1", "20001-1-1", "20001-2-1"]
    assert suggest_name("20001-1", keys) == "did you mean `20001-1-1`?"


def test_all_known_names_are_listed_where_none_is_similar():
    assert suggest_name("80M", ["tiny", "nano"]) == "known: nano, tiny"
    assert suggest_name("80M", []) == "known: none"


def test_a_cutoff_of_zero_suggests_even_an_unlike_name():
    assert suggest_name("xyz", ["1-1-1"], cutoff=0.0) == "did you mean `1-1-1`?"


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "-"), (0, "0"), (999_999, "999,999"), (14_816_000, "14.8 M"), (1.5e11, "150.0 G")],
)
def test_counts_in_tables(count, text):
    assert format_count(count) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.5e11, "150G"), (2.34e6, "2.34M"), (999.99e6, "1G"), (1000, "1k"), (12.5, "12.5")],
)
def test_magnitudes_have_three_digits_and_a_unit(value, text):
    assert format_magnitude(value) == text


def test_what_is_not_finite_has_no_magnitude():
    assert format_magnitude(float("nan")) == "-"


def test_other_numbers_in_tables():
    assert format_number(None) == "-"
    assert format_number(2.34567) == "2.346"
    assert format_bytes(3 * 2**30) == "3.00 GiB"
    assert format_bytes(2**20) == "1.0 MiB"
    assert format_percent(0.125) == "12.5 %"
    assert [format_minutes(minutes) for minutes in (12.34, 0.123)] == ["12.3", "0.12"]


def test_nouns_take_an_s_in_the_plural():
    assert [pluralize(n, "row") for n in (0, 1, 2500)] == ["0 rows", "1 row", "2,500 rows"]
