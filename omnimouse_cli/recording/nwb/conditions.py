"""Columns of tables that name the stimulus of a row."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Columns that name the stimulus of a row, best first: the first one with values is taken.
_NAME_COLUMNS = (
    "condition_hash",
    "condition",
    "condition_name",
    "condition_id",
    "image_name",
    "movie_name",
    "clip_name",
    "clip",
    "stimulus_id",
    "stim_id",
    "image_id",
    "image_index",
    "stimulus",
    "stimulus_name",
    "stim_name",
    "stim",
    "image",
    "movie",
)
# A type alone is no name: its parameters belong to it.
_TYPE_COLUMNS = ("stimulus_type", "stim_type", "trial_type")
_PARAMETER_COLUMNS = (
    "orientation",
    "direction",
    "spatial_frequency",
    "temporal_frequency",
    "phase",
    "contrast",
    "size",
    "speed",
    "x_position",
    "y_position",
    "color",
    "frequency",
)
_GREY_TABLES = ("blank", "grey", "gray", "spontaneous")
_GREY_NAMES = (*_GREY_TABLES, "gray screen", "grey screen", "interstimulus", "iti")
_MISSING_NAMES = ("", "nan", "none", "n/a", "na")


def has_names(columns: Mapping[str, NDArray[Any]]) -> bool:
    """Return whether a column says which stimulus a row has.

    Args:
        columns: Name and values of each column.
    """
    return _name_column(columns) is not None or any(name in columns for name in _TYPE_COLUMNS)


def row_conditions(columns: Mapping[str, NDArray[Any]], num_rows: int) -> list[str | None]:
    """Return the name of the stimulus of each row; None where nothing names it.

    The first column that is a name counts; without one, type and parameters make the name.

    Args:
        columns: Name and values of each column, `(num_rows,)`.
        num_rows: Number of rows.

    Example:
        >>> columns = {"stimulus": np.array(["a", ""], object), "contrast": np.array([1.0, 0.5])}
        >>> row_conditions(columns, 2)
        ['a', None]
        >>> row_conditions({"contrast": np.array([1.0, 0.5])}, 2)
        ['contrast=1', 'contrast=0.5']
    """
    best = _name_column(columns)
    if best is not None:
        return [_as_name(value) or None for value in columns[best]]
    used = [name for name in _TYPE_COLUMNS if name in columns]
    used += [name for name in columns if name.lower().startswith(_PARAMETER_COLUMNS)]
    if not used:
        return [None] * num_rows
    rows = zip(*(columns[name] for name in used), strict=True)
    return [_join(used, values) or None for values in rows]


def row_tiers(columns: Mapping[str, NDArray[Any]], num_rows: int) -> list[str | None]:
    """Return the data split of each row, where a column `tier` has one.

    Args:
        columns: Name and values of each column, `(num_rows,)`.
        num_rows: Number of rows.
    """
    if "tier" not in columns:
        return [None] * num_rows
    return [_as_name(value) or None for value in columns["tier"]]


def is_grey_name(condition: str | None) -> bool:
    """Return whether the name of a condition says that the screen was grey."""
    return condition is not None and condition.lower() in _GREY_NAMES


def is_grey_table(name: str) -> bool:
    """Return whether the name of a table says that it lists times of a grey screen."""
    return any(grey in name.lower() for grey in _GREY_TABLES)


def _name_column(columns: Mapping[str, NDArray[Any]]) -> str | None:
    for wanted in _NAME_COLUMNS:
        for name, values in columns.items():
            if name.lower() == wanted and any(_as_name(value) for value in values):
                return name
    return None


def _as_name(value: object) -> str:
    """Return a value of a column as text; empty if it is missing."""
    is_float = isinstance(value, float | np.floating)
    text = f"{value:.10g}" if is_float else str(value).strip()
    return "" if text.lower() in _MISSING_NAMES else text


def _join(names: Sequence[str], values: Sequence[object]) -> str:
    pairs = [(name, _as_name(value)) for name, value in zip(names, values, strict=True)]
    return " ".join(
        text if name in _TYPE_COLUMNS else f"{name}={text}" for name, text in pairs if text
    )
