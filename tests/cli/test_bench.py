"""`omnimouse bench loader`: the document of the contract, and a corpus of holes that is right."""

import json
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.batch.reader import WindowReader
from omnimouse_cli.cli.app import app
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.shard.sparse import STD, known_responses

CONTRACT = {
    "batches_per_second",
    "output_bytes_per_second",
    "cpu_ms_per_batch",
    "wait_fraction",
    "resident_bytes",
    "threads",
    "memcpy_bytes_per_second",
}


def bench(*arguments):
    return CliRunner().invoke(app, ["bench", "loader", *map(str, arguments)])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Two shards of holes, and what was measured on them."""
    folder = tmp_path_factory.mktemp("corpus") / "shards"
    result = bench(folder, "--simulate-corpus", 2, "--batches", 6, "--threads", 2, "--json")
    assert result.exit_code == 0, result.output
    return folder, json.loads(result.stdout)


def test_the_document_has_the_fields_of_the_contract(corpus):
    _, document = corpus
    assert (document["format"], document["version"]) == ("omnimouse-bench-loader", 1)
    assert document.keys() >= CONTRACT
    assert (document["threads"], document["batches"], document["sessions"]) == (2, 6, 2)
    # 8 windows of 4,096 neurons, 60 frames of 36 x 64, 40 samples of 5 channels.
    num_bytes = 4 * 8 * (60 * 4096 + 60 * 36 * 64 + 40 * 5)
    rate = document["batches_per_second"]
    assert document["output_bytes_per_second"] == pytest.approx(rate * num_bytes)
    assert document["windows_per_second"] == pytest.approx(8 * rate)
    assert 0 <= document["wait_fraction"] <= 1
    assert min(document["cpu_ms_per_batch"], document["memcpy_bytes_per_second"]) > 0


@pytest.mark.training
def test_batches_are_drawn_without_torch(corpus):
    folder, _ = corpus
    code = (
        "import sys\n"
        "from omnimouse_cli.cli.app import main\n"
        f"sys.argv = ['omnimouse', 'bench', 'loader', {str(folder)!r}, '--json']\n"
        "sys.argv += ['--batches', '3']\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    document, _, without_torch = done.stdout.strip().rpartition("\n")
    assert without_torch == "False"
    # The bound that the loader promises for a corpus of any size.
    assert json.loads(document)["resident_bytes"] < 300e6


def test_the_last_window_of_the_largest_shard_has_the_known_values(corpus):
    folder, _ = corpus
    dataset = open_dataset(folder)
    session = max(dataset.sessions, key=lambda item: item.path.stat().st_size)
    assert session.path.stat().st_size > 2**32
    # The files are holes: they take a hundredth of their size.
    assert session.path.stat().st_blocks * 512 < session.path.stat().st_size / 100
    num_samples = session.shard.description.responses.clock.num_samples
    neurons = np.array([[0, 5, 4000, session.num_neurons - 1]])
    for access in ("map", "read"):
        reader = WindowReader(dataset, DataConfig(access=access))
        for first in (num_samples - 120, num_samples - 61, num_samples - 60):
            batch = reader.read(session.key, np.array([first]), neurons)
            expected = known_responses(first + np.arange(60), neurons[0]) / STD
            np.testing.assert_array_equal(batch.responses[0].numpy(), expected)
        before = reader.read(session.key, np.array([num_samples - 180]), neurons)
        assert not before.responses.any()


def test_the_table_says_the_same(corpus):
    result = bench(corpus[0], "--batches", 2, "--bfloat16", "--step-ms", 1, "--quiet")
    assert result.exit_code == 0, result.output
    for text in ("stored samples", "memcpy, 1 thread", "ms a batch", "waiting", "resident memory"):
        assert text in result.stdout
    assert "growth over 2 batches" in result.stdout


def test_a_folder_with_something_in_it_is_no_place_for_a_corpus(corpus):
    result = bench(corpus[0], "--simulate-corpus", 1)
    assert result.exit_code == 1
    assert "is not empty: a simulated corpus needs a folder of its own" in result.stderr


def test_a_corpus_for_one_run_is_gone_afterwards(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = bench("--simulate-corpus", 1, "--batches", 1, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["sessions"] == 1
    assert list(tmp_path.iterdir()) == []


def test_a_corpus_has_a_largest_size():
    assert bench("--simulate-corpus", 10_001).exit_code == 2
