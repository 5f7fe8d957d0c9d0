"""`omnimouse dendrites`: a run or a sub-command, documents of the contract, exit codes."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from omnimouse_cli.cli.app import app

pytestmark = pytest.mark.slow

SHORT = ("--quick", "--epochs", "2", "--networks", "mlp", "--inner", "4", "--no-robustness")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    np.savez("blobs.npz", images=generator.random((60, 8, 8)), labels=np.arange(60) % 2)
    np.savez("flat.npz", images=generator.random((60, 8)), labels=np.arange(60) % 2)
    np.savez("odd.npz", images=generator.random((60, 8, 8)), labels=np.arange(60) % 2 - 1)
    return lambda *arguments: CliRunner().invoke(app, ["dendrites", *arguments])


def test_a_comparison_is_one_document_and_its_surfaces_another(run, tmp_path):
    options = ("--activations", "dendritic,relu", "--seeds", "2", "--device", "cpu")
    result = run("compare", "--data", "blobs.npz", *SHORT, *options, "--json")
    assert result.exit_code == 0, result.stderr
    compared = json.loads(result.stdout)
    assert compared["format"] == "omnimouse-dendrites-compare"
    assert len(compared["rows"]) == 4
    wanted = {"network", "activation", "seed", "parameters", "accuracy", "epochs_to_threshold"}
    assert all(wanted <= set(row) for row in compared["rows"])
    assert all({"claim", "verdict", "numbers"} <= set(claim) for claim in compared["claims"])
    assert (tmp_path / "runs" / "compare-blobs" / "compare.json").is_file()
    figure = tmp_path / "runs" / "compare-blobs" / "compare.png"
    assert figure.read_bytes().startswith(b"\x89PNG")

    again = run("compare", "--data", "blobs.npz", *SHORT, *options)
    assert "2 trained already" in again.stderr
    assert "most networks learn a soft XOR: " in again.stdout
    assert not (tmp_path / "runs" / "compare-blobs-2").exists()

    surfaces = run("--json")
    assert "taking runs/compare-blobs" in surfaces.stderr
    shown = json.loads(surfaces.stdout)
    assert shown["format"] == "omnimouse-dendrites"
    assert shown["total"] == 2
    fields = {"layer", "seed", "curvature", "quadratic", "r2", "angular_power", "density_fraction"}
    assert all(fields <= set(one) for one in shown["activations"])
    first = shown["activations"][0]
    assert set(first["r2"]) == {"product", "turned_product", "silu_product", "quadratic"}
    assert set(first["angular_power"]) == {"1", "2"}
    assert set(first["start"]["r2"]) == set(first["r2"])
    assert first["start"]["angular_power"] != first["angular_power"]
    assert shown["seeds"] == 2
    assert set(shown["changes"]) == {"angular_power_2", "r2_turned_product"}
    assert shown["verdict"] in ("undetermined", "refuted")
    assert (tmp_path / "runs" / "compare-blobs" / "surfaces.png").stat().st_size > 1000


def test_training_runs_are_seeds_of_each_other(run, small_mouse, write_run, tmp_path, monkeypatch):
    monkeypatch.setattr("omnimouse_cli.dendrites.transformer.WINDOWS", 2)
    sets = ("model.feed_forward=dendritic", "model.dendrite.sharing=model")
    for seed in (1, 2):
        write_run(tmp_path / f"run-{seed}", small_mouse, sets=(*sets, f"seed={seed}"))
    place = tmp_path / "surfaces"
    result = run("run-1", "run-2", "--out", str(place), "--device", "cpu", "--json")
    assert result.exit_code == 0, result.stderr
    shown = json.loads(result.stdout)
    assert json.loads((place / "surfaces.json").read_text()) == shown
    assert (place / "surfaces.png").stat().st_size > 1000
    assert (shown["run"], shown["runs"]) == (None, ["run-1", "run-2"])
    # A distilled silu(a) b, one function for the whole model.
    assert (shown["hyperbolic"], shown["total"]) == (2, 2)
    assert {one["layer"]: one["total"] for one in shown["layers"]}["all"] == 2
    assert {(one["run"], one["seed"]) for one in shown["activations"]} == {
        ("run-1", 1),
        ("run-2", 2),
    }
    whole = [one for one in shown["activations"] if one["layer"] == "all"]
    assert all(0 < one["scale"][0] < 2 and one["density_fraction"] >= 0.9 for one in whole)
    told = run("run-1", "--out", str(place), "--quiet")
    assert "nano: 1 of 1 functions are soft XORs; their start is not known: no test" in told.stdout
    assert "run-1 was trained by an earlier omnimouse" in told.stderr


def test_a_run_without_dendritic_layers_has_no_surfaces(run, small_mouse, write_run, tmp_path):
    write_run(tmp_path / "plain", small_mouse)
    result = run("plain")
    assert result.exit_code == 1
    assert result.stderr == (
        "error: plain is a swiglu run: it has no dendritic layers, so it has no surfaces to show"
        "\n\nhint: train a dendritic one: omnimouse train --init-from plain "
        "--set model.feed_forward=dendritic\n"
    )
    assert not list((tmp_path / "plain").glob("surfaces*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "error: no run was named and no comparison is in runs/"),
        (("nowhere",), "error: nowhere is neither a comparison"),
        (("compare", "--data", "none.npz"), "error: none.npz does not exist"),
        (("compare", "--data", "flat.npz"), "error: flat.npz: images must be"),
        (("compare", "--data", "odd.npz"), "error: odd.npz: labels must be from 0 to 0: -1"),
        (
            ("compare", "--activations", "dendritc"),
            "error: --activations has no 'dendritc'\n\nhint: did you mean `dendritic`?",
        ),
        (("compare", "--networks", ""), "error: --networks has no ''"),
        (("compare", "--inner", "8,x"), "error: --inner must be whole numbers"),
        (("compare", "--dropout", "1"), "error: `dropout` must be from 0 to below 1"),
    ],
)
def test_unusable_input_is_one_sentence_a_hint_and_exit_code_1(run, tmp_path, arguments, message):
    result = run(*arguments)
    assert result.exit_code == 1, result.stdout + result.stderr
    assert result.stderr.startswith(message)
    assert "hint: " in result.stderr
    assert result.stdout == ""
    assert not (tmp_path / "runs").exists()


def test_wrong_usage_is_exit_code_2(run):
    assert run("compare", "--seeds", "1").exit_code == 2
    assert run("compare", "--unknown").exit_code == 2
