"""Fixtures of the extension's tests: one small shard, whose header can be changed."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NUM_DATA_BYTES = 774


def _tensor(dtype, shape, first, last):
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}


def _clock(rate_hz, num_samples):
    return {"start_seconds": 0.0, "rate_hz": rate_hz, "num_samples": num_samples}


@pytest.fixture
def tensor() -> Callable[..., dict[str, Any]]:
    """`tensor(dtype, shape, first, last)` is an entry of a header."""
    return _tensor


@pytest.fixture
def good_table() -> dict[str, Any]:
    """A shard of two neurons, one frame of 2 x 3, one device; 100 rows of responses."""
    description = {
        "session": "1-1-1",
        "responses": {"clock": _clock(30.0, 100), "num_neurons": 2},
        "screen": {"frame_height": 2, "frame_width": 3},
        "behavior": [
            {
                "name": "treadmill",
                "clock": _clock(20.0, 80),
                "channels": ["running"],
                "mean": [0.0],
                "std": [1.0],
            }
        ],
    }
    return {
        "__metadata__": {
            "format": "omnimouse-shard",
            "version": "1",
            "checksum": "blake3-128:" + "0" * 32,
            "description": json.dumps(description),
        },
        "screen.flip_seconds": _tensor("F64", [2], 0, 16),
        "screen.frame_index": _tensor("I64", [2], 16, 32),
        "behavior.treadmill": _tensor("F32", [80, 1], 32, 352),
        "responses": _tensor("F16", [100, 2], 352, 752),
        "valid.treadmill": _tensor("F64", [1, 2], 752, 768),
        "screen.frames": _tensor("U8", [1, 2, 3], 768, 774),
    }


@pytest.fixture
def write_file(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """`write_file(table)` writes a file with that header, and zeros as data."""

    def write(table: dict[str, Any]) -> Path:
        text = json.dumps(table).encode()
        # The data start on a page.
        text = text.ljust(-(-(len(text) + 8) // 4096) * 4096 - 8)
        path = tmp_path / "1-1-1.safetensors"
        path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(NUM_DATA_BYTES))
        return path

    return write
