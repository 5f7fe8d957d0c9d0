"""The table of published names: one to one, name by name and shape by shape, for all sizes."""

import json
from dataclasses import replace

import pytest
import torch

from omnimouse_cli.batch.dataset import CHANNEL_ORDER
from omnimouse_cli.config.sizes import SIZES, SMALL_SIZES
from omnimouse_cli.model.omnimouse import OmniMouse
from omnimouse_cli.model.session_embeddings import SessionEmbeddings
from omnimouse_cli.published.names import (
    ANIMAL_PREFIX,
    ANIMALS,
    BUFFERS,
    core_names,
    parse_animals,
    parse_session,
    session_names,
)


@pytest.fixture(scope="module")
def published(shared_folder):
    path = shared_folder / "reference" / "omnimouse_params.json"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    return json.loads(path.read_text())


@pytest.mark.parametrize("size", [size for size in SIZES if size not in SMALL_SIZES])
def test_every_tensor_of_a_published_size_has_the_published_name_and_shape(size, published):
    with torch.device("meta"):
        core = OmniMouse(
            replace(SIZES[size], response_loss="poisson"),
            behavior_channels=CHANNEL_ORDER,
            animals=("a", "b"),
        )
    ours = {name: list(value.shape) for name, value in core.state_dict().items()}
    animals = ours.pop(ANIMALS)
    names = core_names(SIZES[size])
    assert set(names) == set(ours)
    assert len(set(names.values())) == len(names)
    assert {names[name]: shape for name, shape in ours.items()} == published[size]["params"]
    assert set(published[size]["buffers"]) == BUFFERS
    assert {f"{ANIMAL_PREFIX}{{animal}}": animals[1:]} == published[size]["per_animal"]


def test_a_sessions_table_has_the_published_names_and_shapes(published):
    table = SessionEmbeddings(7, 256)
    shapes = {name: list(value.shape) for name, value in table.state_dict().items()}
    found = {theirs: shapes[ours] for ours, theirs in session_names("{key}").items()}
    wanted = published["1M"]["per_session"]
    assert found == {
        name: [7 if size == "N" else size for size in shape] for name, shape in wanted.items()
    }


def test_sessions_and_animals_are_read_from_names():
    assert parse_session("sess_params.17797-8-5._neuron_embeddings.weight") == "17797-8-5"
    assert parse_session("sess_to_model_proj.weight") is None
    names = [f"{ANIMAL_PREFIX}{animal}" for animal in ("b", "a")]
    assert parse_animals([*names, "animal_to_model_proj.bias"]) == ("a", "b")
