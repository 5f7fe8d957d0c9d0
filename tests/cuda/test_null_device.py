"""The command line on a CUDA device whose kernels do nothing: its calls are counted.

Numbers mean nothing there. What runs for real are checks of devices, torch's allocator, streams,
pinned memory, autograd's threads, and compilation by inductor and Triton for sm_90. So these tests
find tensors on the wrong device, waits of the host, copies from pageable memory, and kernels that
do not compile.
"""

import json
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.training]

STEPS = 24
OPTIONS = ("--model", "nano", "--device", "cuda", "--no-compile", "--seed", "1", "--quiet")
# 580,000 parameters with gradient and two moments in float32 are 9 MB; 8 windows need most of it.
LEAST_PEAK_BYTES, MOST_PEAK_BYTES = 9e6, 500e6


def require_success(ended):
    assert ended.done.returncode == 0, ended.done.stderr[-3000:]
    for total in ended.totals:
        assert total["launches"] > 0
        assert total["products"] > 0


def repeated_steps(steps):
    """Steps of a strategy that has occurred: its masks are made and its kernels compiled."""
    occurred, found = set(), []
    for step in steps:
        kind = (step["strategy"], step["shortcuts_only"])
        if kind in occurred:
            found.append(step)
        occurred.add(kind)
    return found


@pytest.fixture(scope="module")
def trained(null_device, small_mouse, tmp_path_factory):
    """A training of nano with SwiGLU that goes on and is scored, and its run."""
    run = tmp_path_factory.mktemp("cuda") / "run"
    ended = null_device.omnimouse(
        ("train", small_mouse.folder, *OPTIONS, "--steps", STEPS, "--out", run),
        ("train", "--resume", run, *OPTIONS[2:], "--steps", STEPS + 6),
        ("eval", run, "--regime", "forecast", "--device", "cuda", "--no-baselines", "--json"),
    )
    require_success(ended)
    assert len(ended.totals) == 3
    return ended, run


def test_a_training_never_makes_the_host_wait(trained):
    ended, run = trained
    assert (run / "model.safetensors").is_file()
    assert len(ended.steps[0]) == STEPS - 1
    steps = repeated_steps(ended.steps[0])
    assert len(steps) >= 5
    for step in steps:
        assert step["launches"] > 50
        # Where a line of the log is written, it reads the losses and the norm of the gradient.
        assert step["synchronizations"] <= 2, step
        assert step["pageable_copies"] == 0, step
    assert sum(step["synchronizations"] for step in steps) <= len(steps)
    assert LEAST_PEAK_BYTES < ended.totals[0]["peak_bytes"] < MOST_PEAK_BYTES


def test_a_training_goes_on_from_its_checkpoint(trained):
    ended, run = trained
    assert len(ended.steps[1]) == 5
    assert json.loads((run / "summary.json").read_text())["steps"] == STEPS + 6


def test_a_run_is_scored(trained):
    ended, _ = trained
    # Before the document are the tables of the trainings.
    assert json.loads("{" + ended.done.stdout.partition("\n{")[2])["records"]


def test_dendritic_units_launch_our_own_kernels(null_device, small_mouse, tmp_path):
    words = ("--set", "model.feed_forward=dendritic", "--set", "train.shortcuts_first_fraction=0.0")
    words += ("--set", "model.decoder.linear_rank=none")
    ended = null_device.omnimouse(
        ("train", small_mouse.folder, *OPTIONS, *words, "--steps", "6", "--out", tmp_path / "run")
    )
    require_success(ended)
    kernels = ended.counts.kernels
    # Each block of each step has one of each.
    assert kernels["forward_kernel"] >= kernels["backward_kernel"] > 6
    assert sum(kernels.values()) == ended.counts["driver_launches"]


# One of each kind: compiled for sm_90, launched, and compared in shapes and types alone.
BODIES = (
    "test_loader.py",
    "test_kernels.py::test_any_layout_gives_the_same",
    "test_kernels.py::test_a_lookup_table_is_read_as_by_the_reference[(50, 36)-torch.bfloat16]",
    "test_kernels.py::test_the_swiglu_that_units_are_compared_with_is_swiglu[torch.bfloat16]",
    "test_attention.py::test_a_query_that_sees_nothing_gives_zero[torch.bfloat16]",
    "test_training.py::test_a_compiled_block_is_the_block[bfloat16-dendritic]",
    "test_training.py::test_a_block_is_compiled_once_for_batches_of_any_size",
)


def test_the_tests_of_a_gpu_launch_their_kernels(null_device):
    here = Path(__file__).parent
    options = ("-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider")
    ended = null_device.run(*options, *(f"{here}/{body}" for body in BODIES))
    assert ended.done.returncode == 0, ended.done.stdout[-3000:]
    assert "skipped" not in ended.done.stdout
    launched = {name for name, launches in ended.counts.kernels.items() if launches}
    ours = {"forward_kernel", "backward_kernel", "swiglu_forward_kernel", "swiglu_backward_kernel"}
    assert ours <= launched
    assert any("flex_attention_backward" in name for name in launched)
