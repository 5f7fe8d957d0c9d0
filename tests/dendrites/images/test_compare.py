"""A comparison goes on where it stopped, keeps to its folder, and searches on validation images."""

import dataclasses
import io

import matplotlib as mpl
import numpy as np
import pytest
import torch

from omnimouse_cli.dendrites.images.architecture import list_width_profiles
from omnimouse_cli.dendrites.images.compare import compare, train_candidate, train_candidates
from omnimouse_cli.dendrites.images.figure import draw_comparison
from omnimouse_cli.dendrites.images.procedure import draw_hyperparameters
from omnimouse_cli.dendrites.images.results import Candidate, begin_comparison, open_comparison
from omnimouse_cli.dendrites.images.settings import Hyperparameters
from omnimouse_cli.dendrites.learned_surfaces import analyze_run
from omnimouse_cli.dendrites.soft_xor import count_soft_xors
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.reporter import Silent

CPU = torch.device("cpu")


class Stopping(Silent):
    """Stops as a user would, in the second candidate."""

    def start(self, task, total=None):  # noqa: ARG002
        if task == "mlp-relu":
            raise KeyboardInterrupt


def run(settings, images, folder, reporter=None):
    return train_candidates(settings, images, folder, device=CPU, reporter=reporter or Silent())


def contents(folder):
    return {path.name: path.read_bytes() for path in (folder / "results").iterdir()}


def test_an_interrupted_comparison_goes_on_and_ends_as_an_undisturbed_one(
    tmp_path, images, small_settings
):
    settings = dataclasses.replace(small_settings, activations=("dendritic", "relu"))
    with pytest.raises(KeyboardInterrupt):
        run(settings, images, tmp_path / "a", Stopping())
    kept = contents(tmp_path / "a")
    assert sorted(kept) == ["mlp-dendritic.json", "mlp-dendritic.safetensors"]
    again = run(settings, images, tmp_path / "a")
    assert all(map(again.has_result, again.candidates))
    run(settings, images, tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert {name: contents(tmp_path / "a")[name] for name in kept} == kept


def test_a_folder_is_of_one_comparison(tmp_path, images, small_settings):
    begin_comparison(tmp_path / "a", small_settings, images)
    assert open_comparison(tmp_path / "a").settings == small_settings
    other = dataclasses.replace(small_settings, epochs=3)
    with pytest.raises(OmniMouseError, match="something else than this comparison"):
        begin_comparison(tmp_path / "a", other, images)


def test_everything_is_measured_and_judged_once(tmp_path, images, small_settings):
    small_settings = dataclasses.replace(
        small_settings, activations=("dendritic", "learned-scalar", "relu", "polyglu", "xielu")
    )
    report = compare(small_settings, images, tmp_path, device=CPU, reporter=Silent())
    content = report.to_dict()
    assert len(content["rows"]) == 5 * 2
    assert {row["activation"] for row in content["rows"]} == set(small_settings.activations)
    parameters = {row["parameters"] for row in content["rows"]}
    assert max(parameters) / min(parameters) < 1.01
    # Accuracy and two counts of epochs against four controls, robustness twice against two.
    assert len(report.claims) == 3 * 4 + 2 * 2 + 1
    assert {claim.verdict for claim in report.claims} <= {"confirmed", "refuted", "undetermined"}
    control = next(one for one in content["summaries"] if one["activation"] == "relu")
    assert control["mce"] == {"value": 100.0, "low": 100.0, "high": 100.0}
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*-*.json")}
    assert len(files) == 10
    again = compare(small_settings, images, tmp_path, device=CPU, reporter=Silent())
    assert again.to_dict() == content
    assert {path: path.stat().st_mtime_ns for path in files} == files
    stream = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none"}):
        draw_comparison(report.scores, stream, title="images $x^{", image_format="svg")
    svg = stream.getvalue().decode()
    labels = ("epoch of the last session", "validation accuracy (%)", "test accuracy (%)")
    for text in (*labels, "accuracy under attack (%)", "images $x^{", "dendritic", "relu"):
        assert f">{text}<" in svg


def test_surfaces_are_of_every_layer_and_seed_and_of_all_layers(tmp_path, images, small_settings):
    settings = dataclasses.replace(small_settings, activations=("dendritic",))
    run(settings, images, tmp_path)
    analyzed = analyze_run(tmp_path)
    assert len(analyzed) == 2 * (3 + 1)
    count = count_soft_xors(analyzed, "mlp")
    assert count.total == 2
    assert count.low <= count.hyperbolic / 2 <= count.high
    # After two epochs the functions are not quite those that were fitted to smoothed noise.
    assert all(0.5 < one.r2_to_start < 1 for one in analyzed)
    assert count.verdict in ("undetermined", "refuted")


def test_a_run_without_dendritic_layers_is_refused(tmp_path, images, small_settings):
    settings = dataclasses.replace(small_settings, activations=("relu",))
    run(settings, images, tmp_path / "a")
    with pytest.raises(OmniMouseError, match="has no dendritic layers"):
        analyze_run(tmp_path / "a")
    with pytest.raises(OmniMouseError, match="neither a comparison"):
        analyze_run(tmp_path / "nowhere")


def test_a_search_tries_the_same_hyperparameters_for_all_and_takes_the_best_on_validation(
    images, small_settings
):
    settings = dataclasses.replace(small_settings, search=4)
    found = {
        name: train_candidate(
            Candidate(network="mlp", activation=name),
            settings,
            images,
            device=CPU,
            on_epoch=lambda: None,
        )
        for name in ("relu", "maxout")
    }
    tried = [[t["setting"] for t in one.fields["search"]] for one in found.values()]
    assert tried[0] == tried[1]
    assert len(tried[0]) == 4
    for one in found.values():
        best = min(one.fields["search"], key=lambda trial: trial["loss"])
        assert dataclasses.asdict(one.hyperparameters) == best["setting"]
        # Widths follow the profile, the number of parameters does not.
        assert abs(one.architecture.num_parameters / 25_127 - 1) < 0.01


def test_drawn_hyperparameters_begin_with_the_default_and_stay_in_range():
    choices = list_width_profiles("cnn", (1, 8, 8))
    default = Hyperparameters(profile=choices[0])
    drawn = draw_hyperparameters(40, default, choices, seed=0)
    assert drawn[0] == default
    assert len({one.profile for one in drawn}) == 3
    rates = np.array([one.learning_rate for one in drawn[1:]])
    assert 3e-4 <= rates.min() < 6e-4
    assert 5e-3 < rates.max() <= 1e-2


@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_numbers_of_a_candidate_depend_on_neither_the_others_nor_the_threads(
    tmp_path, images, small_settings, network
):
    settings = dataclasses.replace(small_settings, networks=(network,), activations=("dendritic",))
    others = dataclasses.replace(settings, activations=("swiglu", "relu", "dendritic"))
    run(settings, images, tmp_path / "alone")
    num_threads = torch.get_num_threads()
    # Two threads share the sums of products in the convolutions.
    torch.set_num_threads(2)
    try:
        run(others, images, tmp_path / "beside")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(num_threads)
    alone, beside = contents(tmp_path / "alone"), contents(tmp_path / "beside")
    assert len(alone) == 2
    assert {name: beside[name] for name in alone} == alone
