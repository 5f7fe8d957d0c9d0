"""A folder of arrays with everything that may stand in it."""

import numpy as np
import pytest


@pytest.fixture
def truth(tmp_path, write_side_files):
    """Writes `tmp_path/m1`; returns responses, their times and the truth of the side files."""
    folder = tmp_path / "m1"
    found = write_side_files(folder)
    generator = np.random.default_rng(5)
    times = 1 + np.arange(220) / 8 + generator.uniform(-2e-4, 2e-4, 220)
    responses = generator.gamma(1, 1, (220, 7)).astype(np.float32)
    np.save(folder / "responses.npy", responses)
    np.save(folder / "times.npy", times)
    rows = [f"{100 + n},{n}.5,{2 * n},-{n},V1,L2/3" for n in range(7)]
    (folder / "neurons.csv").write_text("\n".join(["id,x_um,y_um,z_um,area,layer", *rows]))
    return found | {"responses": responses, "times": times}


@pytest.fixture
def folder(tmp_path, truth):
    """The folder that `truth` writes."""
    assert "responses" in truth
    return tmp_path / "m1"
