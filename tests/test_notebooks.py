"""The notebooks of examples/ run from beginning to end, shorter than as they are shown."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
# What a notebook trains and asks for minutes, and what is enough to show that it runs.
SHORTER = {
    "own_recording": {
        "minutes=12": "minutes=2",
        "neurons=80": "neurons=12",
        "minutes=4": "steps=2",
    },
    "trained_twin": {
        "TRAINING_MINUTES = 12, 9": "TRAINING_STEPS = 2, 2",
        # The linear start is run by the other notebook.
        "minutes=TRAINING_MINUTES": 'steps=TRAINING_STEPS, set={"model.decoder.linear_rank": None}',
        "neurons=128": "neurons=8",
        "[:48]": "[:3]",
        "chosen.tolist())": "chosen.tolist()), directions=4, spatial=[0.05], temporal=[2.0], "
        "noise_windows=16, gradient_windows=1, pictures=1",
        '"best:5"': '"best:2", starts=1, steps=2',
        # A few stimuli beside the most exciting ones; hundreds take half a minute.
        "import omnimouse_cli as om": "import omnimouse_cli as om\n"
        "from omnimouse_cli.probing import mei_references\n"
        "mei_references.MOST_NATURAL, mei_references.DIRECTIONS = 10, 4\n"
        "mei_references.SPATIAL_FREQUENCIES = (0.06,)",
    },
    "scaling_verdict": {"bootstrap=200": "bootstrap=20"},
}


def test_every_notebook_is_run():
    assert {path.stem for path in EXAMPLES.glob("*.ipynb")} == set(SHORTER)


@pytest.mark.parametrize("name", SHORTER)
def test_outputs_are_shown_and_none_is_an_error(name):
    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not any(output.output_type == "error" for output in outputs)
    assert not any(output.get("name") == "stderr" for output in outputs)


@pytest.mark.training
@pytest.mark.parametrize("name", SHORTER)
def test_the_notebook_runs(name, tmp_path, monkeypatch):
    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    for long, short in SHORTER[name].items():
        assert any(long in cell.source for cell in notebook.cells), long
        for cell in notebook.cells:
            cell.source = cell.source.replace(long, short)
    # The kernel is this Python, wherever other kernels are installed; it keeps no history.
    monkeypatch.setenv("JUPYTER_PATH", "")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    folder = tmp_path / "work"
    folder.mkdir()
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    assert list(folder.iterdir())
