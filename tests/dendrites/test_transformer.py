"""Functions of training runs: which there are, their values, and the arguments they are given."""

import numpy as np
import pytest
import torch

from omnimouse_cli.dendrites import transformer
from omnimouse_cli.dendrites.learned_surfaces import analyze_run
from omnimouse_cli.dendrites.soft_xor import count_by_layer, count_soft_xors
from omnimouse_cli.dendrites.transformer import ArgumentSampling
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.kernels.dendrite import dendrite
from omnimouse_cli.model import feed_forward
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.load import load_run

pytestmark = pytest.mark.slow

DENDRITIC = "model.feed_forward=dendritic"
# |a + b| and |a - b|, each of two units.
FIRST = [1, 1, 0, -1, -1, 0, 1, -1, 0, -1, 1, 0]
SADDLE, BOWL = [*FIRST, 1, 1, -1, -1, 0], [*FIRST, 1, 1, 1, 1, 0]


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr(transformer, "WINDOWS", 2)


def run_of(write_run, folder, data, *sets, numbers=None):
    """Write a dendritic run, whose functions have the given weights if there are some."""

    def change(tensors):
        for name, value in tensors.items():
            if name.endswith("dendrite.weights") and numbers is not None:
                value.copy_(torch.tensor(numbers, dtype=torch.float32))

    return write_run(folder, data, sets=(DENDRITIC, *sets), weights=change)


def read(run):
    return transformer.read_transformer_functions(run, ArgumentSampling(), Silent())


def test_every_layer_and_cell_type_has_a_function_with_the_values_of_its_kernel(
    write_run, small_mouse, tmp_path
):
    run = run_of(
        write_run, tmp_path / "run", small_mouse, "model.dendrite.cell_types=2",
        "model.dendrite.start=noise", "seed=5",
    )  # fmt: skip
    functions = read(run)
    model = load_run(run).model
    weights = {
        name.removesuffix(".feed_forward.dendrite.weights"): value
        for name, value in model.state_dict().items()
        if name.endswith("dendrite.weights")
    }
    assert {one.key[1:] for one in functions} == {(n, t) for n in weights for t in (0, 1)}
    assert {(one.network, one.seed, one.run) for one in functions} == {("nano", 5, "run")}
    assert all(one.is_whole for one in functions)
    points = np.random.default_rng(0).standard_normal((50, 2))
    a, b = torch.from_numpy(points).float().split(1, dim=1)
    for one in functions:
        own = weights[one.layer][one.cell_type : one.cell_type + 1]
        expected = dendrite(a, b, own, model.decoder.feed_forward.function.function)
        np.testing.assert_allclose(one.function(points), expected[:, 0], atol=1e-5)


def test_a_frozen_run_shows_its_functions_as_they_were_trained(write_run, small_mouse, tmp_path):
    own = ("model.dendrite.sharing=model", "model.dendrite.start=noise")
    frozen = (*own, "model.dendrite.freeze=true", "model.dendrite.table=64")
    runs = [
        run_of(write_run, tmp_path / sets[-1][-4:], small_mouse, *sets) for sets in (own, frozen)
    ]
    learned, read_from_table = (read(run)[-1] for run in runs)
    points = np.random.default_rng(0).standard_normal((50, 2))
    np.testing.assert_array_equal(learned.function(points), read_from_table.function(points))
    # What later layers are given has gone through the table.
    np.testing.assert_allclose(learned.arguments, read_from_table.arguments, atol=0.05)
    assert not np.array_equal(learned.arguments, read_from_table.arguments)


@pytest.mark.parametrize("normalize", ["false", "true"])
def test_arguments_are_pairs_that_the_kernel_is_given(
    write_run, small_mouse, tmp_path, monkeypatch, normalize
):
    given = []
    real = feed_forward.dendrite

    def watch(a, b, *rest):
        given.append(torch.stack([a, b], dim=-1).reshape(-1, 2))
        return real(a, b, *rest)

    monkeypatch.setattr(feed_forward, "dendrite", watch)
    run = run_of(
        write_run, tmp_path / "run", small_mouse, "model.dendrite.sharing=model",
        f"model.dendrite.normalize={normalize}",
    )  # fmt: skip
    functions = read(run)
    *layers, pooled = functions
    assert [one.is_whole for one in functions] == [False] * len(layers) + [True]
    assert pooled.layer == "all"
    assert sorted(map(len, (one.arguments for one in layers)))[0] > 1000
    np.testing.assert_array_equal(
        pooled.arguments, np.concatenate([one.arguments for one in layers])
    )
    known = torch.cat(given).double().numpy()
    known = known[np.argsort(known[:, 0])]
    for one in layers:
        rows = one.arguments[:: max(1, len(one.arguments) // 50)]
        places = np.searchsorted(known[:, 0], rows[:, 0] - 1e-4)
        for row, place in zip(rows, places, strict=True):
            near = known[place : np.searchsorted(known[:, 0], row[0] + 1e-4)]
            assert abs(near - row).max(axis=1).min() < 1e-4


def test_saddles_are_counted_over_runs_layer_by_layer(write_run, small_mouse, tmp_path):
    shape = ("model.dendrite.hidden=4",)
    runs = [
        run_of(write_run, tmp_path / name, small_mouse, *shape, f"seed={seed}", numbers=numbers)
        for seed, (name, numbers) in enumerate({"saddles": SADDLE, "bowls": BOWL}.items())
    ]
    analyzed = [one for run in runs for one in analyze_run(run)]
    layers = count_by_layer(analyzed)
    assert len(layers) >= 5
    for count in layers.values():
        assert (count.hyperbolic, count.total) == (1, 2)
        # Clopper and Pearson: the probability of at most one of two is .975 at 1 - sqrt(.975).
        assert count.low == pytest.approx(1 - 0.975**0.5)
        assert count.high == pytest.approx(0.975**0.5)
        # These runs were not trained: what they began with is not known.
        assert (count.soft_xors_at_start, count.verdict) == (None, None)
    whole = count_soft_xors(analyzed, "nano")
    assert (whole.low, whole.high, whole.seeds) == (count.low, count.high, 2)
    assert (whole.hyperbolic, whole.total) == (len(layers), 2 * len(layers))
    by_kind = {one.surface.curvature for one in analyzed if one.function.seed == 0}
    assert by_kind == {"hyperbolic"}


@pytest.mark.parametrize(
    ("kind", "hint"), [("swiglu", "--init-from"), ("relu", "omnimouse train ")]
)
def test_a_run_without_dendritic_layers_is_refused(write_run, small_mouse, tmp_path, kind, hint):
    run = write_run(tmp_path / kind, small_mouse, sets=(f"model.feed_forward={kind}",))
    with pytest.raises(OmniMouseError, match=f"is a {kind} run: it has no dendritic") as error:
        analyze_run(run)
    assert hint in error.value.hint


def test_a_tier_without_windows_is_refused(write_run, small_mouse, tmp_path):
    run = run_of(write_run, tmp_path / "run", small_mouse)
    with pytest.raises(OmniMouseError, match="no trial has tier final"):
        analyze_run(run, None, ArgumentSampling(tier="final"))
