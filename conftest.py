"""The folder in which examples of the public functions run: a recording, shards and a run."""

import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent / "tests"
PACKAGE = Path(__file__).parent / "omnimouse_cli"
EXAMPLES = (PACKAGE, PACKAGE / "api")


@pytest.fixture(scope="session")
def api_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recordings/, shards/ and runs/demo, a finished run of random weights."""
    specification = importlib.util.spec_from_file_location("runs", TESTS / "run/runs.py")
    assert specification is not None
    assert specification.loader is not None
    runs = importlib.util.module_from_spec(specification)
    sys.modules.setdefault("runs", runs)
    specification.loader.exec_module(runs)
    folder = tmp_path_factory.mktemp("api")
    dataset = runs.simulated(folder, neurons=6, minutes=1.0)
    run = runs.write_run(folder / "runs/demo", dataset)
    summary = {
        "format": "omnimouse-summary",
        "version": 1,
        "parameters": {"core": 1000, "tables": 100},
        "unique_tokens": 10_800,
        "validation": {"neural_loss": 0.5},
    }
    (run / "summary.json").write_text(json.dumps(summary))
    return folder


@pytest.fixture(scope="module")
def few_mei_references() -> Iterator[None]:
    """A few natural stimuli and gratings; hundreds take half a minute."""
    from omnimouse_cli.probing import mei_references

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mei_references, "MOST_NATURAL", 10)
        patch.setattr(mei_references, "DIRECTIONS", 4)
        patch.setattr(mei_references, "SPATIAL_FREQUENCIES", (0.06,))
        yield


@pytest.fixture(autouse=True)
def _examples_run_in_a_folder_of_data(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Examples of the public functions name folders of the working directory."""
    if isinstance(request.node, pytest.DoctestItem) and request.node.path.parent in EXAMPLES:
        folder = request.getfixturevalue("tmp_path") / "work"
        shutil.copytree(request.getfixturevalue("api_folder"), folder)
        monkeypatch.chdir(folder)
        if request.node.path.name == "mei.py":
            request.getfixturevalue("few_mei_references")
