"""The digital twin: what it sees, what it cannot see, and that it finds receptive fields."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from omnimouse_cli.batch.strategies import regime_strategies, training_table
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.sizes import MODELS
from omnimouse_cli.config.twin import TwinConfig
from omnimouse_cli.cost.memory import StepMode
from omnimouse_cli.cost.training import make_task
from omnimouse_cli.cost.twin import count_twin_activations, count_twin_flops
from omnimouse_cli.errors import ConfigError
from omnimouse_cli.model.build import build_core, unsupported_reason
from omnimouse_cli.model.gaussian_readout import GaussianReadout
from omnimouse_cli.model.session_embeddings import SessionEmbeddings
from omnimouse_cli.model.twin import CnnTwin, layer_shapes

PREDICT = training_table("predict")[0]
CHANNELS = ("pupil_x", "pupil_size", "running")


@pytest.fixture
def twin(small_config):
    config = replace(
        MODELS["cnn-twin"],
        d_embedding=12,
        response_loss="gaussian",
        video=small_config.video,
        twin=TwinConfig(channels=(4, 5), spatial_kernels=(5, 3), temporal_kernels=(6, 3)),
    )
    torch.manual_seed(0)
    core = CnnTwin(config, behavior_channels=CHANNELS, animals=("mouse",))
    torch.nn.init.normal_(core.readout.what.weight)
    torch.nn.init.normal_(core.readout.gaze, std=0.1)
    return core, SessionEmbeddings(7, config.d_embedding)


def predict(twin, batch, choose, strategy=PREDICT):
    core, embeddings = twin
    return core(batch, embeddings, "mouse", strategy, choose(strategy, batch)).responses


def test_a_prediction_has_every_target_sample_and_neuron(twin, make_batch, choose):
    batch = make_batch()
    found = predict(twin, batch, choose)
    assert found.shape == (2, 30, 7)
    early = predict(twin, batch, choose, replace(PREDICT, targets=(0, 60)))
    torch.testing.assert_close(early[:, 30:], found)


def test_what_is_shown_later_does_not_matter(twin, make_batch, choose):
    batch = make_batch()
    before = predict(twin, batch, choose)
    batch.video[:, 45:] = 1.0
    batch.behavior[:, :, 30:] = 1.0
    changed = (predict(twin, batch, choose) - before).abs().amax(dim=(0, 2))
    assert changed[:15].max() < 1e-6
    assert changed[15:].min() > 0


def test_what_was_shown_before_the_kernels_reach_does_not_matter(twin, make_batch, choose):
    batch = make_batch()
    before = predict(twin, batch, choose)
    first = layer_shapes(twin[0].config, (30, 60))[0]
    # The first target sample depends on this frame.
    reach = first.first - first.temporal + 1
    assert reach == 30 - 5 - 2
    batch.video[:, :reach] = 1.0
    torch.testing.assert_close(predict(twin, batch, choose), before)
    batch.video[:, reach] = 1.0
    assert (predict(twin, batch, choose) - before)[:, 0].abs().max() > 0


def test_hidden_behavior_reads_as_its_mean_and_so_does_a_lost_sample(twin, make_batch, choose):
    batch = make_batch()
    absent = predict(twin, batch, choose, replace(PREDICT, behavior="absent"))
    assert not torch.equal(predict(twin, batch, choose), absent)
    lost = replace(batch, behavior=torch.full_like(batch.behavior, torch.nan))
    torch.testing.assert_close(predict(twin, lost, choose), absent)
    cut = replace(batch, behavior=batch.behavior.clone())
    cut.behavior[:, :, 21:] = 0.0
    causal = replace(PREDICT, behavior_range=(0, 31))
    torch.testing.assert_close(predict(twin, batch, choose, causal), predict(twin, cut, choose))


def test_a_gaze_to_the_right_reads_what_is_on_the_right():
    torch.manual_seed(0)
    readout = GaussianReadout(8, 3, (6, 12), 1)
    torch.nn.init.normal_(readout.what.weight)
    torch.nn.init.constant_(readout.gaze[0, :1], 1.0)
    vectors, neurons = SessionEmbeddings(5, 8).neuron_embeddings, torch.arange(5)[None]
    # Far from the edges nothing is cut off.
    features = torch.zeros(1, 3, 2, 6, 12)
    features[..., 2:4, 4:8] = torch.randn(1, 3, 2, 2, 4)
    # A third of half the width is two positions.
    found = readout(features, torch.full((1, 2, 1), 1 / 3), vectors, neurons)
    expected = readout(features.roll(-2, dims=4), None, vectors, neurons)
    torch.testing.assert_close(found, expected)
    assert (found - readout(features, None, vectors, neurons)).abs().max() > 1e-3


@pytest.mark.parametrize("strategy", ["forecast", "decode", "population-16"])
def test_other_regimes_are_unavailable(twin, make_batch, choose, strategy):
    table = regime_strategies("all", population=40, stimulus=True, behavior=True)
    chosen = next(one for one in table if one.name == strategy)
    reason = "a cnn-twin predicts responses from stimulus and behavior, and nothing else"
    assert unsupported_reason(twin[0].config, chosen) == reason
    assert unsupported_reason(MODELS["nano"], chosen) is None
    with pytest.raises(ConfigError, match=reason):
        predict(twin, make_batch(), choose, chosen)


def test_without_a_screen_behavior_is_left(twin, make_batch, choose):
    batch = make_batch(video=False)
    grey = make_batch()
    grey.video[:] = 0.0
    grey = replace(grey, behavior=batch.behavior)
    torch.testing.assert_close(predict(twin, batch, choose), predict(twin, grey, choose))
    from_behavior = Strategy(name="b", family="predict", num_visible=0)
    torch.testing.assert_close(
        predict(twin, grey, choose, from_behavior), predict(twin, grey, choose)
    )


def test_operations_and_memory_are_what_torch_counts(make_batch, choose):
    config = replace(MODELS["cnn-twin"], response_loss="gaussian")
    core = build_core(config, behavior_channels=CHANNELS, animals=("mouse",))
    embeddings = SessionEmbeddings(40, config.d_embedding)
    batch = make_batch(neurons=40, frame=(36, 64))
    own = {each.data_ptr() for each in (*core.parameters(), *embeddings.parameters())}
    kept = {}

    def pack(tensor):
        if tensor.data_ptr() not in own:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with FlopCounterMode(display=False) as counter, hooks:
        loss = predict((core, embeddings), batch, choose).square().mean()
        forward = counter.get_total_flops()
        loss.backward()
    task = make_task(config, PREDICT, num_neurons=40, num_channels=3, has_screen=True)
    counted = count_twin_flops(config, task, session_neurons=40, batch_size=2)
    assert forward / 2 == pytest.approx(counted.forward, rel=0.01)
    assert counter.get_total_flops() / 2 == pytest.approx(counted.training, rel=0.01)
    mode = StepMode("cpu", "float32")
    memory = count_twin_activations(config, task, batch_size=2, mode=mode)
    assert sum(size for size, _ in kept.values()) == pytest.approx(memory.stored, rel=0.1)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"channels": (4,)}, "`pooling` must have a positive number for each of the 1 layers"),
        ({"spatial_kernels": (4, 5)}, "`spatial_kernels` must be odd"),
        ({"temporal_kernels": (0, 5)}, "`temporal_kernels` must have a positive number"),
        ({"channels": ()}, "`channels` must have a positive number"),
    ],
)
def test_layers_that_cannot_work_are_refused(change, rule):
    with pytest.raises(ValueError, match=rule):
        replace(TwinConfig(), **change)


@pytest.mark.slow
def test_receptive_fields_are_found(make_batch, choose):
    """Neurons that respond to the brightness of one place each are read out there."""
    config = replace(
        MODELS["cnn-twin"],
        d_embedding=16,
        response_loss="gaussian",
        twin=TwinConfig(
            channels=(4,),
            pooling=(4,),
            spatial_kernels=(1,),
            spatial_strides=(1,),
            temporal_kernels=(1,),
        ),
    )
    torch.manual_seed(0)
    core = build_core(config, behavior_channels=(), animals=("mouse",))
    embeddings = SessionEmbeddings(6, config.d_embedding)
    generator = torch.Generator().manual_seed(1)
    # Rows and columns of positions, 4 x 4 pixels each.
    places = [(2, 3), (6, 12), (4, 8), (1, 13), (7, 2), (3, 10)]
    optimizer = torch.optim.Adam([*core.parameters(), *embeddings.parameters()], lr=0.01)
    for _ in range(100):
        blocks = torch.randn(4, 60, 9, 16, generator=generator)
        # Smooth in space, so that a field that is off still feels where it should be.
        blocks = torch.nn.functional.avg_pool2d(blocks, 7, 1, 3, count_include_pad=False) * 7
        video = blocks.repeat_interleave(4, 2).repeat_interleave(4, 3)
        responses = torch.stack([blocks[:, :, row, column] for row, column in places], 2)
        batch = replace(
            make_batch(windows=4, neurons=6, behavior=False, video=False, channels=0),
            video=video,
            responses=responses,
        )
        found = core(batch, embeddings, "mouse", PREDICT, choose(PREDICT, batch)).responses
        loss = (found - responses[:, 30:]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    fields = core.readout.receptive_fields(embeddings.neuron_embeddings)
    peaks = [divmod(int(one), 16) for one in fields.argmax(1)]
    distance = np.abs(np.array(peaks) - np.array(places)).max(1)
    assert (distance <= 1).all(), peaks
