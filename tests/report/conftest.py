"""Tables with a known law, run folders with a known summary, published tables."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from omnimouse_cli.files import write_document
from omnimouse_cli.report.table import RunRow, RunTable

TRUTH = {"E": 1.0, "alpha": 0.35, "beta": 0.3}
SIZES = np.geomspace(1e6, 1e8, 4)
AMOUNTS = np.geomspace(1e9, 3.2e10, 4)


def known_law(sizes, amounts, *, ratio):
    """A and B that give the largest run this gain of data over gain of parameters."""
    gain = 0.05
    by_parameters, by_tokens = gain / np.sqrt(ratio), gain * np.sqrt(ratio)
    return {
        **TRUTH,
        "A": by_parameters / TRUTH["alpha"] * sizes[-1] ** TRUTH["alpha"],
        "B": by_tokens / TRUTH["beta"] * amounts[-1] ** TRUTH["beta"],
    }


@pytest.fixture(scope="session")
def grid():
    """Make a table of runs with a known law; returns the table and the law."""

    def make(
        *,
        sizes=SIZES,
        amounts=AMOUNTS,
        seeds=3,
        noise=0.002,
        ratio=8.0,
        draw=0,
        law=None,
        subsets=None,
        effect=0.0,
    ):
        generator = np.random.default_rng(draw)
        law = law or known_law(sizes, amounts, ratio=ratio)
        shape = (len(amounts), subsets or 1)
        effects = generator.normal(0, effect, shape) if effect else np.zeros(shape)
        rows = []
        for size, (number, amount), subset, seed in itertools.product(
            sizes, enumerate(amounts), range(subsets or 1), range(seeds)
        ):
            tokens = law["B"] * amount ** -law["beta"]
            if "break" in law and amount > law["break"]:
                tokens *= (amount / law["break"]) ** (law["beta"] - law["beta2"])
            loss = law["E"] + law["A"] * size ** -law["alpha"] + tokens
            loss *= np.exp(effects[number, subset] + generator.normal(0, noise))
            rows.append(
                RunRow(
                    run=f"{size:.3g}-{amount:.3g}-{subset}-{seed}",
                    source="simulated",
                    parameters=float(size),
                    tokens=float(amount),
                    loss=float(loss),
                    seed=seed,
                    subset=None if subsets is None else str(subset),
                    compute=float(6 * size * amount),
                )
            )
        return RunTable(title="simulated", rows=tuple(rows)), law

    return make


@pytest.fixture
def write_run():
    """Write a finished run's folder; a value of None takes a field away."""

    def write(folder: Path, **changes):
        folder.mkdir(parents=True)
        (folder / "config.toml").write_text('[model]\nresponse_loss = "poisson"\n')
        summary = {
            "run": folder.name,
            "model": "nano",
            "parameters": {"core": 1_000_000, "tables": 250_000, "total": 1_250_000},
            "windows_seen": 1000,
            "unique_tokens": 5_000_000,
            "tokens_seen": 15_000_000,
            "epochs": 3.0,
            "sessions": 2,
            "animals": 1,
            "seed": 7,
            "split": "validation of 2 sessions",
            "validation": {"neural_loss": 0.5, "records": []},
            "wall_seconds": 60.0,
            "device": "cpu",
            "flops": 6e13,
        } | changes
        kept = {name: value for name, value in summary.items() if value is not None}
        write_document(folder / "summary.json", "summary", kept)
        return folder

    return write


@pytest.fixture(scope="session")
def openlm(shared_folder):
    """104 language-model runs (mlfoundations/scaling); skips where they are absent."""
    return _published(shared_folder, "openlm_overtraining_104.csv")


@pytest.fixture(scope="session")
def translation(shared_folder):
    """Learning curves of translation models (google-research); skips where they are absent."""
    return _published(shared_folder, "nmt_google.csv")


def _published(shared_folder, name):
    path = shared_folder / "data" / "scaling" / name
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    return path
