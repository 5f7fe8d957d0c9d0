"""Attention between tokens of time intervals: a query sees the keys that overlap with it."""

from omnimouse_cli.kernels.attention.choose import AttentionMask, attention, interval_mask
from omnimouse_cli.kernels.attention.flex import full_mask, pad_tokens
from omnimouse_cli.kernels.attention.grouped import computed_pairs, copied_tokens
from omnimouse_cli.kernels.attention.intervals import (
    Interval,
    Intervals,
    all_visible,
    overlap,
    visible_pairs,
)

__all__ = [
    "AttentionMask",
    "Interval",
    "Intervals",
    "all_visible",
    "attention",
    "computed_pairs",
    "copied_tokens",
    "full_mask",
    "interval_mask",
    "overlap",
    "pad_tokens",
    "visible_pairs",
]
