"""What the ways past the transformer cost a window."""

import math

from omnimouse_cli.batch.strategy import QUERY_SAMPLES
from omnimouse_cli.config.data import NUM_BEHAVIOR_SAMPLES, NUM_RESPONSE_SAMPLES
from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.cost.flops import Flops
from omnimouse_cli.model.layout import Layout, Request
from omnimouse_cli.model.motion_energy import TIMES, forward_flops, grid_of, num_features
from omnimouse_cli.model.own_history import has_history
from omnimouse_cli.model.stimulus_state import FIELD_NUMBERS, GAZE_AXES


def short_ways(
    config: ModelConfig, request: Request, layout: Layout, *, table_rows: int, batch_size: int
) -> Flops:
    """Count the operations of a window.

    Args:
        config: Of the model.
        request: What is seen and asked.
        layout: That follows from it.
        table_rows: Neurons of the session: their vectors are read once for a batch.
        batch_size: Windows that share that.
    """
    rows, flops = table_rows // batch_size, Flops()
    for part in (
        Flops(of_data=history(config, request, num_asked_samples(request), batch_size)),
        _population(config, request, layout, rows),
        _stimulus(config, request, layout, rows),
        _behavior(config, request, rows),
    ):
        flops = flops.and_also(part)
    return flops


def num_asked_samples(request: Request) -> int:
    """Samples that each target neuron is asked for."""
    return request.num_query_times * QUERY_SAMPLES


def history(config: ModelConfig, request: Request, outputs: int, batch_size: int) -> int:
    """Count what a linear map of the targets' own samples costs."""
    targets = request.targets_asked
    num_shared = max(0, request.num_visible + targets - request.num_neurons)
    if not (config.decoder.own_history and targets and has_history(request.strategy, num_shared)):
        return 0
    of_samples = 2 * targets * NUM_RESPONSE_SAMPLES * outputs
    # Which samples are seen is the same in every window.
    return of_samples + of_samples // batch_size


def _population(config: ModelConfig, request: Request, layout: Layout, rows: int) -> Flops:
    rank = config.decoder.population_rank
    if not rank or not layout.pieces:
        return Flops()
    sums = sum(
        (piece.last - piece.first)
        * (request.num_neurons if piece.everyone else request.num_visible)
        for piece in layout.pieces
    )
    products = rows * config.d_embedding
    if request.targets_asked:
        asked = num_asked_samples(request)
        products += 2 * rows * config.d_embedding
        products += 2 * asked * (NUM_RESPONSE_SAMPLES + request.targets_asked)
    if request.channels_asked:
        products += NUM_BEHAVIOR_SAMPLES * (NUM_RESPONSE_SAMPLES + request.channels_asked)
    return Flops(products=2 * products * rank, of_data=2 * sums * rank)


def _stimulus(config: ModelConfig, request: Request, layout: Layout, rows: int) -> Flops:
    wavelengths = config.decoder.motion_wavelengths
    if not wavelengths or layout.features is None or not request.targets_asked:
        return Flops()
    features, energies = num_features(wavelengths), num_energies(config)
    asked = num_asked_samples(request)
    products = rows * config.d_embedding * (FIELD_NUMBERS + features)
    products += asked * (energies + features) * request.targets_asked
    # Where the screen is moved by the gaze, the energies have a gradient, too.
    of_data = 2 * len(TIMES) * request.channels_seen * GAZE_AXES
    lagged = 2 * asked * energies * len(TIMES)
    if request.channels_seen:
        height, width = grid_of(config.video)
        of_data += 2 * len(TIMES) * energies * height
        products += len(TIMES) * energies * width + lagged // 2
    else:
        of_data += lagged
    fixed = forward_flops(wavelengths, config.video)
    return Flops(products=2 * products, of_data=of_data, fixed=fixed)


def _behavior(config: ModelConfig, request: Request, rows: int) -> Flops:
    rank, asked = config.decoder.behavior_rank, num_asked_samples(request)
    if not rank or not request.channels_seen or not request.targets_asked:
        return Flops()
    products = rows * config.d_embedding
    products += asked * (NUM_RESPONSE_SAMPLES + request.targets_asked)
    mixing = 2 * NUM_RESPONSE_SAMPLES * request.channels_seen * rank
    return Flops(products=2 * products * rank, of_data=mixing)


def num_energies(config: ModelConfig) -> int:
    """Count the motion energies of a time step."""
    return num_features(config.decoder.motion_wavelengths) * math.prod(grid_of(config.video))
