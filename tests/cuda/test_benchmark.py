"""The check of a GPU on the null device: what it measures means nothing, but it is written."""

import json
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.training]

SCRIPT = Path(__file__).parents[2] / "benchmarks/gpu.py"


def test_what_was_measured_is_written_with_the_facts_of_the_machine(null_device, tmp_path):
    result = tmp_path / "gpu.json"
    ended = null_device.run(
        SCRIPT, "--quick", "--budget", "600", "--only", "facts;ceilings", "--out", result
    )
    assert ended.done.returncode == 0, ended.done.stdout + ended.done.stderr
    document = json.loads(result.read_text())
    assert document["is_quick"] is True
    assert document["machine"]["gpus"] == ["null device (sm_90)"]
    assert document["capability"] == [9, 0]
    rows = document["checks"]["ceilings"]["rows"]
    assert [row["name"] for row in rows] == [
        "product",
        "copy",
        *4 * ["product of 80M"],
        "copy from pinned memory",
    ]
    assert not any("error" in row for row in rows)
    assert {target["is_met"] for target in document["targets"]} == {None}
