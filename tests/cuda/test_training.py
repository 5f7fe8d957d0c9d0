"""Training on a GPU: a step of each size against a CPU, compiled blocks, equal bits of two runs."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from omnimouse_cli.batch.batch import Batch, to_device
from omnimouse_cli.batch.selection import select
from omnimouse_cli.batch.strategies import FAMILY_STRATEGIES
from omnimouse_cli.config.sizes import default_run_config
from omnimouse_cli.model.blocks import SelfBlock
from omnimouse_cli.model.compile import compile_parts
from omnimouse_cli.model.omnimouse import OmniMouse
from omnimouse_cli.model.precision import autocast
from omnimouse_cli.model.session_embeddings import SessionEmbeddings
from omnimouse_cli.training.step import compute_batch_losses

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    # Compilers warn about themselves; what counts here are the numbers.
    pytest.mark.filterwarnings("default"),
]

CHANNELS = ("pupil_x", "pupil_size", "running")
NEURONS, WINDOWS = 40, 2
CPU, GPU = torch.device("cpu"), torch.device("cuda")
# By default, the backward pass of flash attention and some sums add in any order.
DETERMINISTIC_MAIN = """
import torch
torch.use_deterministic_algorithms(True)
from omnimouse_cli.cli.app import main
main()
"""
STRATEGY = {s.name: s for s in FAMILY_STRATEGIES}["forecast_video_behavior"]
# A step on a CPU needs about 24 bytes for each of 300 million parameters, and time.
SIZES = ["nano", "tiny", "1M", "5M", "20M", "80M"]


def configure(size, precision, **model):
    """The run that a size starts from, on rates, without anything random in a step."""
    config = default_run_config(size)
    video = dataclasses.replace(config.model.video, drop_path=0.0)
    changes = {"response_loss": "poisson", "dropout": 0.0, "neuron_dropout": 0.0, **model}
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, video=video, **changes),
        train=dataclasses.replace(config.train, precision=precision),
    )


def build(config, device):
    """A model and the embeddings of a session, the same on every device."""
    torch.manual_seed(0)
    core = OmniMouse(config.model, behavior_channels=CHANNELS, animals=["mouse"])
    return core.to(device), SessionEmbeddings(
        NEURONS, config.model.d_embedding, config.model.decoder.num_neuron_weights(len(CHANNELS))
    ).to(device)


def make_batch(config, device):
    generator = torch.Generator().manual_seed(0)
    frame = (config.model.video.frame_height, config.model.video.frame_width)
    batch = Batch(
        number=0,
        session="session",
        responses=torch.rand(WINDOWS, 60, NEURONS, generator=generator),
        neuron_index=torch.arange(NEURONS).repeat(WINDOWS, 1),
        video=torch.randn(WINDOWS, 60, *frame, generator=generator),
        behavior=torch.randn(WINDOWS, len(CHANNELS), 40, generator=generator),
        behavior_present=np.ones(len(CHANNELS), np.bool_),
        start_seconds=np.zeros(WINDOWS),
    )
    return to_device(batch, device, config.data)


def step(config, core, table, device):
    """The loss of a batch, and every gradient in float64 on the CPU."""
    selection = select(
        STRATEGY,
        num_neurons=NEURONS,
        num_windows=WINDOWS,
        generator=torch.Generator().manual_seed(0),
        max_targets=config.model.max_targets,
    )
    losses = compute_batch_losses(
        core,
        make_batch(config, device),
        embeddings=table,
        animal="mouse",
        strategy=STRATEGY,
        selection=selection,
        config=config,
    )
    total = torch.stack([loss for loss in losses if loss is not None]).sum()
    total.backward()
    parameters = {**dict(core.named_parameters()), **dict(table.named_parameters())}
    gradients = [p.grad.double().cpu() for p in parameters.values() if p.grad is not None]
    return total.item(), torch.cat([gradient.flatten() for gradient in gradients])


@pytest.mark.parametrize("size", SIZES)
def test_a_training_step_is_that_of_a_cpu_in_float32(size, has_numbers):
    if not has_numbers and size != "nano":
        pytest.skip("there are no numbers on the null device, and nano launches every kernel")
    results = {}
    for precision in ("float32", "bfloat16"):
        config = configure(size, precision)
        results[precision] = step(config, *build(config, GPU), GPU)
        torch.cuda.empty_cache()
    if not has_numbers:
        return
    config = configure(size, "float32")
    loss, gradient = step(config, *build(config, CPU), CPU)
    # On a CPU, bfloat16 leaves nano's gradient 1.2 % off that of float32.
    for precision, most in (("float32", 1e-3), ("bfloat16", 5e-2)):
        found_loss, found = results[precision]
        assert found_loss == pytest.approx(loss, rel=most)
        assert (found - gradient).norm() <= most * gradient.norm()


@pytest.mark.parametrize("feed_forward", ["swiglu", "dendritic"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_compiled_block_is_the_block(precision, feed_forward, has_numbers):
    config = configure("nano", precision, feed_forward=feed_forward)
    core, table = build(config, GPU)
    block = next(module for module in core.modules() if isinstance(module, SelfBlock))
    inputs = []
    hook = block.register_forward_pre_hook(
        lambda _, arguments, named: inputs.append((arguments, named)), with_kwargs=True
    )
    step(config, core, table, GPU)
    hook.remove()
    (x, *others), named = inputs[0]

    def run():
        leaf = x.detach().requires_grad_()
        with autocast(precision, GPU):
            out = block(leaf, *others, **named)
        parameters = [leaf, *block.parameters()]
        return [out.detach(), *torch.autograd.grad(out.float().square().sum(), parameters)]

    expected = run()
    compile_parts(core, GPU, batch_size=WINDOWS)
    found = run()
    most = 1e-4 if precision == "float32" else 3e-2
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        if has_numbers:
            assert (ours - theirs).double().norm() <= most * theirs.double().norm()


def test_a_block_is_compiled_once_for_batches_of_any_size():
    torch._dynamo.reset()
    core, _ = build(configure("nano", "bfloat16"), GPU)
    compile_parts(core, GPU, batch_size=8)
    block = core.video.blocks[0]

    def run(windows, tokens):
        x = torch.randn(windows, tokens, block.shape.width_in, device=GPU)
        with autocast("bfloat16", GPU):
            return block(x.requires_grad_())

    # inductor has thresholds at 4,096 rows and 5 million numbers.
    run(8, 2**15).sum().backward()
    with torch._dynamo.config.patch(error_on_recompile=True), torch.no_grad():
        for windows, tokens in ((8, 64), (3, 2**15), (3, 64), (1, 64)):
            assert run(windows, tokens).shape[0] == windows


@pytest.mark.parametrize(
    ("precision", "expected"), [(None, torch.bfloat16), ("float32", torch.float32)]
)
def test_the_device_decides_the_precision_where_the_user_does_not(precision, expected):
    one = torch.ones(1, 1, device=GPU)
    with autocast(precision, GPU):
        assert (one @ one).dtype is expected


def test_two_trainings_give_the_same_bits(small_mouse, tmp_path, has_numbers):
    weights = []
    for name in ("one", "two"):
        words = ("--model", "nano", "--steps", "12", "--seed", "1", "--no-compile", "--quiet")
        words += ("--device", "cuda", "--out", tmp_path / name)
        if not has_numbers:
            # Nothing can be solved.
            words += ("--set", "model.decoder.linear_rank=none")
        done = subprocess.run(
            [sys.executable, "-P", "-c", DETERMINISTIC_MAIN, "train", small_mouse.folder, *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"},
        )
        assert done.returncode == 0, done.stderr[-2000:]
        weights.append(load_file(tmp_path / name / "model.safetensors"))
    first, second = weights
    assert first.keys() == second.keys()
    if has_numbers:
        assert [name for name in first if not torch.equal(first[name], second[name])] == []
