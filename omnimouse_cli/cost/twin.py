"""FLOPs and memory of a convolutional digital twin."""

from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.cost.flops import Flops, num_target_samples
from omnimouse_cli.cost.memory import FLOAT_BYTES, Activations, StepMode
from omnimouse_cli.model.gaussian_readout import FIELD_NUMBERS, GAZE_AXES
from omnimouse_cli.model.sequences import Task
from omnimouse_cli.model.twin import LayerShape, layer_shapes


def count_twin_flops(
    config: ModelConfig, task: Task, *, session_neurons: int, batch_size: int
) -> Flops:
    """Count the operations of one window.

    Args:
        config: Configuration of the model.
        task: Inputs and targets of the window.
        session_neurons: Neurons of the session, whose embeddings are read once per batch.
        batch_size: Windows per batch.
    """
    flops = Flops()
    shapes = _shapes(config, task)
    for number, shape in enumerate(shapes):
        positions, samples = shape.rows * shape.columns, shape.last - shape.first
        spatial = positions * (samples + shape.temporal - 1) * shape.spatial**2
        spatial *= 2 * shape.inputs * shape.outputs
        temporal = 2 * positions * samples * shape.temporal * shape.outputs**2
        behavior = 2 * samples * task.num_input_channels * shape.outputs
        # The video has no gradient.
        flops += Flops(
            products=temporal + (spatial if number else 0),
            data_products=behavior + (0 if number else spatial),
        )
    last, samples = shapes[-1], num_target_samples(task)
    values = samples * last.outputs
    readout = session_neurons // batch_size * config.d_embedding * (FIELD_NUMBERS + last.outputs)
    readout += task.num_targets * values * (last.rows * last.columns + 1)
    gaze = samples * task.num_input_channels * GAZE_AXES
    if task.num_input_channels:
        readout += values * last.rows * last.columns * (last.rows + last.columns)
    return flops + Flops(products=2 * readout, data_products=2 * gaze)


def count_twin_activations(
    config: ModelConfig, task: Task, *, batch_size: int, mode: StepMode
) -> Activations:
    """Estimate the bytes of activations at the peak of a training step.

    Args:
        config: Configuration of the model.
        task: Inputs and targets of the window.
        batch_size: Windows per batch.
        mode: How the step is computed.
    """
    stored, largest, size = 0, 0, mode.product_bytes
    shapes = _shapes(config, task)
    for shape in shapes:
        positions, samples = shape.rows * shape.columns, shape.last - shape.first
        read = positions * (samples + shape.temporal - 1)
        # Pooled input and spatial result; in time centered, normalized and scaled.
        stored += size * read * (shape.inputs * shape.stride**2 + shape.outputs)
        stored += FLOAT_BYTES * 3 * positions * samples * shape.outputs
        largest = max(largest, size * 2 * read * shape.outputs)
    last, samples, targets = shapes[-1], num_target_samples(task), task.num_targets
    positions = last.rows * last.columns
    # Maps as they are, shifted along one axis and along both; fields and their sums; responses.
    stored += (
        FLOAT_BYTES * (3 if task.num_input_channels else 1) * samples * last.outputs * positions
    )
    stored += FLOAT_BYTES * targets * (positions + last.outputs + samples * (last.outputs + 4))
    return Activations(batch_size * stored, batch_size * largest)


def _shapes(config: ModelConfig, task: Task) -> list[LayerShape]:
    assert task.strategy.targets is not None, "a twin predicts responses"
    return layer_shapes(config, task.strategy.targets)
