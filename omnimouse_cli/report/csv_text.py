"""The text of a CSV file as other tools and countries write it: encoding, separator, numbers."""

import codecs
import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path

from omnimouse_cli.errors import OmniMouseError

_SEPARATORS = (",", ";", "\t")
# Spaces and apostrophes between groups of three digits.
_GROUP_MARKS = re.compile("(?<=[0-9])[ '\u2019\u00a0\u202f](?=[0-9]{3})")
_COMMA_GROUPS = re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?([eE][+-]?[0-9]+)?")
_POINT_GROUPS = re.compile(r"[+-]?[0-9]{1,3}(\.[0-9]{3})+(,[0-9]*)?")
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+([eE][+-]?[0-9]+)?")
_WITH_UNIT = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)) ?([kKMBGT])")
_UNITS = {"k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12}


def read_records(path: Path) -> tuple[str, list[tuple[int, list[str]]]]:
    """Return the separator, and number and cells of every line that is not empty.

    Lines that begin with "#" are comments; but if numbers follow them at once, the last one has the
    names of the columns. Lines are as long as the first one if they have empty cells beyond it.

    Raises:
        OmniMouseError: The file cannot be read, or is no text in UTF-8 or UTF-16.
    """
    try:
        content = path.read_bytes()
        is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16" if is_wide else "utf-8-sig")
        separator = _find_separator(text)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        lines = [(reader.line_num, record) for record in reader if any(map(str.strip, record))]
    except (FileNotFoundError, IsADirectoryError) as error:
        raise OmniMouseError(f"{path} is not a file that can be read") from error
    except (UnicodeError, csv.Error) as error:
        raise OmniMouseError(f"{path} is not a CSV file in UTF-8 or UTF-16: {error}") from error
    data = [line for line in lines if not _is_comment(line[1])]
    if data and _is_all_numbers(data[0][1]):
        # As numpy.savetxt writes names.
        names = [line for line in lines if line[0] < data[0][0]]
        data = [(number, _without_mark(record)) for number, record in names[-1:]] + data
    num_columns = len(_trim(data[0][1], 0)) if data else 0
    return separator, [(number, _trim(record, num_columns)) for number, record in data]


def _find_separator(text: str) -> str:
    """Return the separator that stands most often in the first line that has one."""
    for line in text.splitlines():
        counts = [line.count(separator) for separator in _SEPARATORS]
        if any(counts) and not line.startswith("#"):
            return _SEPARATORS[counts.index(max(counts))]
    return ","


def _trim(record: list[str], num_columns: int) -> list[str]:
    last = len(record)
    while last > num_columns and not record[last - 1].strip():
        last -= 1
    return record[:last]


def _is_comment(record: list[str]) -> bool:
    return record[0].lstrip().startswith("#")


def _without_mark(record: list[str]) -> list[str]:
    return [record[0].lstrip().removeprefix("#"), *record[1:]]


def _is_all_numbers(record: Iterable[str]) -> bool:
    try:
        return bool([float(cell) for cell in record])
    except ValueError:
        return False


def has_decimal_comma(separator: str, cells: Iterable[str]) -> bool:
    """Return whether commas in numbers are decimal: in a file that they do not separate.

    Args:
        separator: The file's separator.
        cells: Cells of the columns of numbers.
    """
    if separator == ",":
        return False
    cells = [cell.strip() for cell in cells]
    if any("," in cell and _POINT_GROUPS.fullmatch(cell) for cell in cells):
        return True
    # A point with a comma, or several commas, say that commas stand between groups of digits.
    if any(("," in cell and "." in cell) or cell.count(",") > 1 for cell in cells):
        return False
    return any(_DECIMAL_COMMA.fullmatch(cell) for cell in cells)


def has_unit(cells: Iterable[str]) -> bool:
    """Return whether any number has one of the letters k, M, B, G and T for its unit."""
    return any(_WITH_UNIT.fullmatch(cell.strip()) for cell in cells)


def parse_number(text: str, *, decimal_comma: bool) -> float:
    """Return the number that a cell holds.

    Digits may be in groups of three (1,000,000 or 1 000 000), and k, M, B or G, and T stand for
    thousand, million, billion and trillion.

    Args:
        text: The cell.
        decimal_comma: Whether a comma is the decimal sign.

    Raises:
        ValueError: It holds none.

    Example:
        >>> [parse_number(text, decimal_comma=False) for text in ("1,500,000", "1.5M", "2e6")]
        [1500000.0, 1500000.0, 2000000.0]
        >>> parse_number("1.500,25", decimal_comma=True)
        1500.25
    """
    plain = _GROUP_MARKS.sub("", text.strip())
    if decimal_comma:
        plain = plain.replace(".", "") if _POINT_GROUPS.fullmatch(plain) else plain
        plain = plain.replace(",", ".")
    elif _COMMA_GROUPS.fullmatch(plain):
        plain = plain.replace(",", "")
    unit = _WITH_UNIT.fullmatch(plain)
    if unit is not None:
        return float(unit[1]) * _UNITS[unit[2]]
    return float(plain)
