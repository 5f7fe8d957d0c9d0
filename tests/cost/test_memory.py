"""The memory of activations against what PyTorch's allocator gave out on the null device.

The null device (tests/cuda) has PyTorch's own allocator, so a training step takes the memory there
that it takes on a GPU; attention with a mask was computed by SDPA, which stores what FlexAttention
stores. Measured were the bytes at the peak of the second step beyond weights, gradients, moments
and batch, of 8 windows of 4,096 neurons under the strategy with the longest sequences.
"""

from dataclasses import replace

import pytest

from omnimouse_cli.batch.strategies import FAMILY_STRATEGIES, TRAINING_STRATEGIES
from omnimouse_cli.config.sizes import SIZES, default_run_config
from omnimouse_cli.cost.memory import StepMode, count_activations, count_stored
from omnimouse_cli.cost.training import estimate_training, make_task

WIDEST = next(item for item in FAMILY_STRATEGIES if item.name == "forecast_video_behavior")

# Of the two laptop sizes, when they were measured.
WAVELENGTHS = (8.0, 13.0)
# Size, precision, feed-forward, whether it is compiled, whether blocks are computed again, and
# the largest memory in GB.
MEASURED = [
    ("nano", "bfloat16", "swiglu", False, False, 1.228),
    ("tiny", "bfloat16", "swiglu", False, False, 1.446),
    ("1M", "bfloat16", "swiglu", False, False, 8.522),
    ("nano", "bfloat16", "dendritic", False, False, 1.166),
    ("tiny", "bfloat16", "dendritic", False, False, 1.362),
    ("1M", "bfloat16", "dendritic", False, False, 7.761),
    ("nano", "float32", "swiglu", False, False, 1.601),
    ("tiny", "float32", "swiglu", False, False, 1.908),
    ("1M", "float32", "swiglu", False, False, 13.300),
    ("nano", "float32", "dendritic", False, False, 1.471),
    ("tiny", "float32", "dendritic", False, False, 1.748),
    ("1M", "float32", "dendritic", False, False, 11.778),
    ("5M", "bfloat16", "swiglu", False, False, 11.422),
    ("20M", "bfloat16", "swiglu", False, False, 22.108),
    ("80M", "bfloat16", "swiglu", False, False, 42.931),
    ("300M", "bfloat16", "swiglu", False, False, 88.299),
    ("5M", "bfloat16", "dendritic", False, False, 10.365),
    ("20M", "bfloat16", "dendritic", False, False, 20.062),
    ("80M", "bfloat16", "dendritic", False, False, 38.860),
    ("300M", "bfloat16", "dendritic", False, False, 79.912),
    ("5M", "float32", "swiglu", False, False, 17.699),
    ("20M", "float32", "swiglu", False, False, 33.967),
    ("80M", "float32", "swiglu", False, False, 65.672),
    ("300M", "float32", "swiglu", False, False, 133.365),
    ("5M", "float32", "dendritic", False, False, 15.581),
    ("20M", "float32", "dendritic", False, False, 29.902),
    ("80M", "float32", "dendritic", False, False, 57.542),
    ("300M", "float32", "dendritic", False, False, 116.584),
    ("nano", "bfloat16", "swiglu", False, True, 1.035),
    ("1M", "bfloat16", "swiglu", False, True, 3.505),
    ("80M", "bfloat16", "swiglu", False, True, 11.681),
    ("300M", "bfloat16", "swiglu", False, True, 17.796),
    ("nano", "bfloat16", "dendritic", False, True, 0.978),
    ("1M", "bfloat16", "dendritic", False, True, 3.204),
    ("80M", "bfloat16", "dendritic", False, True, 10.775),
    ("300M", "bfloat16", "dendritic", False, True, 16.588),
    ("80M", "float32", "swiglu", False, True, 17.942),
    ("1M", "bfloat16", "swiglu", True, False, 5.954),
    ("80M", "bfloat16", "swiglu", True, False, 29.874),
]


def task_of(config, strategy=WIDEST):
    return make_task(config, strategy, num_neurons=4096, num_channels=5, has_screen=True)


@pytest.mark.parametrize("case", MEASURED, ids=str)
def test_memory_is_what_the_allocator_gives_out(case):
    size, precision, kind, is_compiled, recomputes, measured = case
    config = default_run_config(size)
    decoder = config.model.decoder
    if decoder.motion_wavelengths:
        decoder = replace(decoder, motion_wavelengths=WAVELENGTHS)
    config = replace(
        config,
        model=replace(config.model, feed_forward=kind, decoder=decoder),
        train=replace(
            config.train,
            precision=precision,
            compile=is_compiled,
            activation_checkpointing=recomputes,
        ),
    )
    plan = estimate_training(config, [], [WIDEST], owned=[[]], device="cuda")["memory_bytes"]
    names = ("low_precision_weights", "activations", "workspace")
    planned = sum(plan[name] for name in names) / 1e9
    # Without compilation the count is of every tensor; a compiler may order kernels otherwise.
    assert planned == pytest.approx(measured, rel=0.06)


def test_the_peak_is_that_of_the_largest_part():
    config, mode = SIZES["1M"], StepMode("cuda", "bfloat16")
    task = task_of(config)
    activations = count_activations(config, task, batch_size=8, mode=mode)
    stored = count_stored(config, task, batch_size=8, mode=mode)
    # The read-out is through when the decoder's feed-forward needs the most.
    assert 0.98 * stored < activations.stored < stored
    assert 0 < activations.workspace < 0.2 * stored


def test_activation_checkpointing_saves_most_where_there_are_many_layers():
    shares = []
    for size in ("1M", "80M"):
        config = SIZES[size]
        task = task_of(config, TRAINING_STRATEGIES[0])
        with_it, without = (
            count_activations(
                config, task, batch_size=8, mode=StepMode("cuda", "bfloat16", recomputes=recomputes)
            ).total
            for recomputes in (True, False)
        )
        shares.append(with_it / without)
    assert shares[1] < shares[0] < 0.7
