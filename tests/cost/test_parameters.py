"""Parameter counts: the published totals, tensor by tensor, without building and when built."""

import json
from collections import Counter
from dataclasses import replace

import pytest
import torch

from omnimouse_cli.config.dendrite import DendriteConfig
from omnimouse_cli.config.model import FEED_FORWARDS, DecoderConfig
from omnimouse_cli.config.sizes import MODELS, SIZES
from omnimouse_cli.cost.parameters import (
    count_animals,
    count_components,
    count_core,
    count_sessions,
)
from omnimouse_cli.model.build import build_core
from omnimouse_cli.model.session_embeddings import SessionEmbeddings

PUBLISHED = {
    "1M": 6_409_472,
    "5M": 9_819_392,
    "20M": 35_232_000,
    "80M": 114_482_432,
    "300M": 347_760_896,
}


def core_on_meta(config, *, channels=5, animals=("a", "b")):
    with torch.device("meta"):
        return build_core(
            replace(config, response_loss="poisson"),
            behavior_channels=tuple(map(str, range(channels))),
            animals=animals,
        )


@pytest.mark.parametrize("size", PUBLISHED)
def test_a_published_size_has_the_published_total(size):
    assert count_core(SIZES[size], num_channels=5) == PUBLISHED[size]


def test_components_are_the_published_ones():
    counts = count_components(SIZES["80M"], num_channels=5)
    assert counts == {
        "fusion": 88_492_032,
        "encoder": 7_375_104,
        "decoder": 9_439_488,
        "video": 7_297_280,
        "video projection": 197_376,
        "latents": 688_128,
        "identity projections": 592_128,
        "experiment time (unused)": 197_376,
        "behavior": 188_928,
        "response tokens and read-out": 12_288,
        "missing modalities": 2_304,
    }


@pytest.mark.parametrize("size", MODELS)
@pytest.mark.parametrize("channels", [0, 5])
def test_a_built_core_has_as_many_parameters_as_counted(size, channels):
    model = core_on_meta(MODELS[size], channels=channels)
    built = sum(parameter.numel() for parameter in model.parameters())
    counted = count_core(MODELS[size], num_channels=channels)
    assert built == counted + count_animals(MODELS[size], 2)


@pytest.mark.parametrize("size", PUBLISHED)
def test_a_published_size_has_the_published_tensors(size, shared_folder):
    path = shared_folder / "reference" / "omnimouse_params.json"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    published = json.loads(path.read_text())[size]["params"]
    wanted = Counter(tuple(shape) for shape in published.values())
    model = core_on_meta(SIZES[size], animals=("a",))
    found = Counter(
        tuple(parameter.shape)
        for name, parameter in model.named_parameters()
        if name != "identities.animals"
    )
    assert found == wanted


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", FEED_FORWARDS)
def test_every_feed_forward_has_the_parameters_of_swiglu(size, kind):
    swiglu = SIZES[size]
    for sharing in ("model", "layer"):
        dendrite = DendriteConfig(sharing=sharing, cell_types=4)
        config = replace(swiglu, feed_forward=kind, dendrite=dendrite)
        counted = count_core(config, num_channels=5)
        assert counted == pytest.approx(count_core(swiglu, num_channels=5), rel=0.01)
        model = core_on_meta(config)
        built = sum(parameter.numel() for parameter in model.parameters())
        assert built == counted + count_animals(config, 2)


def test_options_count_too():
    nano = SIZES["nano"]
    without = replace(nano, decoder=replace(nano.decoder, own_history=False))
    difference = count_core(nano, num_channels=5) - count_core(without, num_channels=5)
    assert difference == 120 * 64 + 60 * 120
    apart = replace(nano, decoder=replace(nano.decoder, shared_filters=False))
    counted = count_core(apart, num_channels=5)
    assert counted - count_core(nano, num_channels=5) == (96 - 2) * 13
    built = sum(parameter.numel() for parameter in core_on_meta(apart).parameters())
    assert built == counted + count_animals(apart, 2)
    assert DecoderConfig().own_history is False


def test_tables_are_257_numbers_a_neuron_and_256_a_session_at_published_sizes():
    config = SIZES["80M"]
    assert count_sessions(config, [100, 50], num_channels=5) == 150 * 257 + 2 * 256
    table = SessionEmbeddings(100, config.d_embedding)
    assert sum(p.numel() for p in table.parameters()) == count_sessions(
        config, [100], num_channels=5
    )
    assert {name: tuple(p.shape) for name, p in table.named_parameters()} == {
        "neuron_embeddings": (100, 256),
        "neuron_biases": (100, 1),
        "session_embedding": (256,),
    }
