"""`omnimouse inspect` on shards: the contract's fields, details, figures and verification."""

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from omnimouse_cli.cli.app import _with_exit_codes
from omnimouse_cli.cli.inspect import command_inspect
from omnimouse_cli.recording.recording import Monitor, Neurons, Provenance
from omnimouse_cli.reporter import Silent
from omnimouse_cli.shard import open_shard
from omnimouse_cli.shard.preprocess import PreprocessOptions, preprocess

SHARD_TESTS = Path(__file__).parents[1] / "shard" / "conftest.py"
app = typer.Typer()
app.command()(_with_exit_codes(command_inspect))


def run(*arguments):
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def shards(tmp_path, monkeypatch):
    """A working folder with three sessions of two animals in shards/."""
    monkeypatch.chdir(tmp_path)
    build = runpy.run_path(str(SHARD_TESTS))["build_recording"]
    facts = {"7-1-1": {"native_rate_hz": 10.0}, "7-1-2": {"behavior": False}, "9-1-1": {}}
    recordings = [build(tmp_path / key, session=key, **facts[key]) for key in facts]
    preprocess(recordings, tmp_path / "shards", PreprocessOptions(), Silent())
    return tmp_path / "shards"


def test_json_has_exactly_what_the_contract_promises(shards):
    result = run("--json")
    assert result.exit_code == 0, result.stderr
    content = json.loads(result.stdout)
    assert (content["format"], content["version"]) == ("omnimouse-inspect", 1)
    first = content["sessions"][0]
    promised = "session animal neurons samples sample_rate_hz tokens native_tokens hours "
    promised += "response_kind modalities tiers valid_fraction"
    assert set(promised.split()) <= set(first)
    assert (first["session"], first["animal"], first["neurons"]) == ("7-1-1", "7", 6)
    assert first["samples"] == 975
    assert first["tokens"] == 5850
    assert first["native_tokens"] == 6 * 325
    assert first["hours"] == pytest.approx(32.5 / 3600)
    assert first["response_kind"] == "rate"
    assert first["modalities"] == ["responses", "screen", "eye_tracker", "treadmill"]
    assert content["sessions"][1]["native_tokens"] is None
    totals = content["totals"]
    assert (totals["sessions"], totals["animals"], totals["neurons"]) == (3, 2, 18)
    assert (totals["tokens"], totals["native_tokens"]) == (3 * 5850, 6 * 325)
    assert totals["hours"] == pytest.approx(3 * 32.5 / 3600)


def test_windows_per_tier_are_those_that_fit(shards):
    tiers = json.loads(run("--json").stdout)["sessions"][1]["tiers"]
    assert list(tiers) == ["train", "validation", "test"]
    assert tiers["validation"]["minutes"] == pytest.approx(0.1)
    # Responses from 0.6 s; with the 2 s blank before it, validation can be used from 8.4 to 16.4 s.
    grid = 0.6 + np.arange(975) / 30
    inside = (grid + 1e-4 >= 8.4) & (grid + 1e-4 < 16.4)
    assert tiers["validation"]["windows"] == inside.sum() - 59


def test_the_table_names_every_session_and_the_totals(shards):
    result = run()
    assert "taking shards/ (default)" in result.stderr
    assert result.stderr.endswith("next: omnimouse train shards\n")
    for text in (
        "3 sessions of 2 animals, 3.0 MiB",
        "7-1-2",
        "9-1-1",
        "17,550",
        "eye_tracker, treadmill",
    ):
        assert text in result.stdout


def test_one_session_is_shown_in_detail(shards):
    result = run("shards", "--session", "7-1-1")
    for text in ("distinct frames", "pupil_x", "running", "rounding", "stimuli", "dropped:"):
        assert text in result.stdout
    detail = json.loads(run("--session", "7-1-1", "--json").stdout)["detail"]
    assert detail["statistics_tier"] == "train"
    assert 0 < detail["rounding"]["rms_relative"] < 1e-3
    std = open_shard(shards / "7-1-1.safetensors").neuron_std
    assert detail["responses"]["std"][-1] == pytest.approx(float(std.max()))


def test_origin_terms_and_gaps_are_shown(tmp_path):
    build = runpy.run_path(str(SHARD_TESTS))["build_recording"]
    values = np.random.default_rng(0).gamma(1.0, 2.0, (900, 6)).astype(np.float32)
    values[300:400] = np.nan
    recording = build(
        tmp_path / "7-1-1",
        session="7-1-1",
        responses=100 + values,
        gaps=np.array([[10.6, 13.94]]),
        response_kind="fluorescence",
        format="nwb",
        split="conditions",
        provenance=Provenance(
            series="/processing/ophys/F", excluded={"artifact": 8}, licence="CC-BY-4.0"
        ),
    )
    monitor = Monitor(policy="the monitor", width_cm=51.9, height_cm=32.4, warp="spherical")
    eye = replace(recording.behavior[0], units=("degrees", "degrees", "mm", ""))
    recording = replace(
        recording,
        neurons=Neurons(
            num_neurons=6, id_namespace="allen", delay_seconds=np.linspace(0, 0.064, 6)
        ),
        screen=replace(recording.screen, monitor=monitor),
        behavior=(eye, recording.behavior[1]),
    )
    preprocess([recording], tmp_path / "shards", PreprocessOptions(), Silent())
    arguments = (str(tmp_path / "shards"), "--session", "7-1-1")
    shown = " ".join(run(*arguments).stdout.split())
    for text in (
        "format: nwb, responses from /processing/ophys/F",
        "dF/F computed: baseline is percentile 8 over 60 s",
        "excluded neurons: 8 artifact",
        "missing rows: 100 of 900 (3.3 s)",
        "unit ids: allen",
        "scan delay: 0 to 64 ms",
        "screen: frames are the monitor, 51.9 x 32.4 cm, spherical warp",
        "tiers: made by the policy `conditions`",
        "licence: CC-BY-4.0",
    ):
        assert text in shown
    record = json.loads(run(*arguments, "--json").stdout)["sessions"][0]
    assert record["tokens"] == 6 * 800
    assert record["excluded_neurons"] == [{"unit_id": None, "reason": "artifact", "neurons": 8}]
    assert record["stimulus_seen_in_train"] == {"validation": False, "test": False}
    assert record["screen"]["rendering"] == "the monitor"
    assert record["screen"]["distance_cm"] is None
    assert record["units"]["pupil_x"] == {"unit": "degrees", "source_unit": None}
    assert (record["format"], record["split"], record["missing_rows"]) == ("nwb", "conditions", 100)


def test_an_unknown_session_is_an_error_with_the_nearest_name(shards):
    result = run("--session", "9-1-2")
    assert result.exit_code == 1
    assert "has no session 9-1-2" in result.stderr
    assert "did you mean `9-1-1`?" in result.stderr


def test_a_figure_is_drawn_of_the_session_that_was_named(shards):
    pytest.importorskip("matplotlib")
    result = run("--session", "9-1-1", "--plot", "figure.png")
    assert result.exit_code == 0, result.stderr
    assert "wrote figure.png: session 9-1-1" in result.stderr
    assert (shards.parent / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_a_figure_shows_the_time_that_is_wanted(shards, monkeypatch):
    from matplotlib.figure import Figure

    drawn = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *a, **k: (drawn.append(figure), save(figure, *a, **k))
    )
    result = run("--session", "7-1-1", "--plot", "figure.png", "--at", "6")
    assert result.exit_code == 0, result.output
    (figure,) = drawn
    assert "7-1-1, 6.0 to " in figure.get_suptitle()
    labels = {axes.get_xlabel() for axes in figure.axes} | {a.get_ylabel() for a in figure.axes}
    assert {"time from the recording's origin (s)", "response (z-score)"} <= labels
    for wrong in ("-5", "1e9"):
        refused = run("--plot", "figure.png", "--at", wrong)
        assert refused.exit_code == 1
        assert "must lie in the responses of 7-1-1, which last from" in refused.stderr
    assert "--at is the time of a figure" in run("--at", "6").stderr


def test_verification_reads_every_byte(shards):
    result = run("--verify", "--json")
    verified = json.loads(result.stdout)["verified"]
    assert verified["shards"] == 3
    assert verified["bytes"] == sum(path.stat().st_size for path in shards.glob("*.safetensors"))
    assert "every byte of 3 shards matches" in run("--verify").stdout


def test_a_flipped_byte_is_named_with_its_tensor(shards):
    path = shards / "7-1-2.safetensors"
    content = bytearray(path.read_bytes())
    content[open_shard(path).header.data_start + 100] ^= 4
    path.write_bytes(content)
    assert run().exit_code == 0
    result = run("--verify")
    assert result.exit_code == 1
    assert "7-1-2.safetensors is damaged: tensor `responses` does not match" in result.stderr
    assert "\n\nhint: " in result.stderr


def test_several_damaged_shards_are_all_named(shards):
    for name in ("7-1-1", "9-1-1"):
        path = shards / f"{name}.safetensors"
        path.write_bytes(path.read_bytes()[:-1])
    result = run("--verify")
    assert result.exit_code == 1
    assert "2 of 3 shards are damaged" in result.stderr
    assert "7-1-1.safetensors is cut short" in result.stderr
    assert "9-1-1.safetensors is cut short" in result.stderr


def test_a_folder_that_is_no_data_set_is_an_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for arguments in ([], ["nowhere"], ["nowhere.nwb"]):
        result = run(*arguments)
        assert result.exit_code == 1
        assert f"error: {arguments[0] if arguments else 'shards'} does not exist" in result.stderr
        assert "hint: check the path" in result.stderr


def test_a_folder_with_responses_of_different_kinds_has_a_warning_before_training(shards):
    assert "different kinds" not in run().stderr
    build = runpy.run_path(str(SHARD_TESTS))["build_recording"]
    recording = build(shards.parent / "9-1-2", session="9-1-2", response_kind="dff")
    preprocess([recording], shards, PreprocessOptions(), Silent())
    result = run()
    assert result.exit_code == 0
    assert "(dff: 9-1-2; rate: 7-1-1, 7-1-2, 9-1-1); choose sessions" in result.stderr
    assert "--series dff" in result.stderr
    assert "different kinds" not in run("--session", "9-1-2").stderr
