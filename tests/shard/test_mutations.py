"""Shards with damaged bytes are read or refused in a sentence, by everything that reads them."""

import os
import random
import shutil

import pytest

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.batch.loader import Loader
from omnimouse_cli.batch.windows import window_table
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.errors import OmniMouseError, ShardError
from omnimouse_cli.reporter import Silent
from omnimouse_cli.shard import open_catalogue, open_shard
from omnimouse_cli.shard.catalogue import refresh_catalogue
from omnimouse_cli.shard.read import RECORDED
from omnimouse_cli.shard.summary import summarize

pytestmark = pytest.mark.slow

# The long run: OMNIMOUSE_MUTATIONS=2000 pytest tests/shard/test_mutations.py
NUM_MUTATIONS = int(os.environ.get("OMNIMOUSE_MUTATIONS", "150"))


@pytest.fixture
def folder(make_recording, converted, tmp_path):
    converted(make_recording(session="7-1-0"))
    refresh_catalogue(tmp_path, Silent())
    return tmp_path


def mutate(whole: bytes, shard, rng: random.Random) -> bytes:
    """Change some bytes of the header, of a small tensor or of anything, or cut some out."""
    raw, start = bytearray(whole), shard.header.data_start
    small = [e for n, e in shard.header.tensors.items() if not n.startswith(RECORDED)]
    kind = rng.choice(("header", "small", "cut", "gap", "zeros", "noise"))
    if kind in ("header", "small"):
        entry = rng.choice([e for e in small if e.last_byte > e.first_byte])
        span = (
            (0, start) if kind == "header" else (start + entry.first_byte, start + entry.last_byte)
        )
        for _ in range(rng.randint(1, 6)):
            raw[rng.randrange(*span)] = rng.randrange(256)
        return bytes(raw)
    first, length = rng.randrange(len(raw)), rng.randint(1, 20_000)
    if kind == "cut":
        del raw[first:]
    elif kind == "gap":
        del raw[first : first + length]
    else:
        length = min(length, len(raw) - first)
        raw[first : first + length] = bytes(length) if kind == "zeros" else rng.randbytes(length)
    return bytes(raw)


def read_everything(folder) -> None:
    catalogue = open_catalogue(folder)
    for entry in catalogue.entries:
        shard = open_shard(catalogue.path_of(entry))
        summarize(shard)
        window_table(shard, tiers=("train",), include_blanks=True)
    dataset, config = open_dataset(folder), DataConfig(batch_size=1)
    dataset.require_windows(config)
    dataset.normalization(config, dataset.sessions[0].key)
    with Loader(dataset, config, seed=1, rank=0, num_ranks=1) as loader:
        next(loader)
    refresh_catalogue(folder, Silent())


def test_mutated_shards_are_read_or_refused_in_a_sentence(folder, tmp_path_factory):
    rng, mutated = random.Random(5), tmp_path_factory.mktemp("mutated")
    path = folder / "7-1-0.safetensors"
    whole, shard = path.read_bytes(), open_shard(path)
    refusals = []
    for number in range(NUM_MUTATIONS):
        (mutated / "catalogue.json").unlink(missing_ok=True)
        if number % 2:
            shutil.copy(folder / "catalogue.json", mutated / "catalogue.json")
        (mutated / path.name).write_bytes(mutate(whole, shard, rng))
        try:
            read_everything(mutated)
        except OmniMouseError as error:
            refusals.append(error.message)
    assert all("7-1-0" in message or "catalogue" in message for message in refusals)
    assert len(refusals) > NUM_MUTATIONS / 3


@pytest.mark.parametrize("name", ["trials.tier", "valid.responses", "screen.frame_index"])
def test_one_flipped_bit_of_a_small_tensor_is_noticed_when_it_is_read(folder, name):
    path = folder / "7-1-0.safetensors"
    shard, raw = open_shard(path), bytearray(path.read_bytes())
    raw[shard.header.data_start + shard.header.tensors[name].first_byte] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ShardError, match=f"damaged: tensor `{name}` does not match its checksum"):
        open_shard(path).tensor(name)
