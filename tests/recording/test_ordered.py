"""Medians and distinct values are NumPy's, and its masked arrays stay away."""

import subprocess
import sys

import numpy as np
import pytest

from omnimouse_cli.recording.ordered import distinct, median


@pytest.mark.parametrize("count", [1, 2, 3, 8, 101])
def test_the_median_is_numpys(count):
    values = np.random.default_rng(count).normal(size=count)
    kept = values.copy()
    assert median(values) == np.median(values)
    np.testing.assert_array_equal(values, kept)


@pytest.mark.parametrize("values", [[], [3.0], [2.0, 2.0], [5.0, -np.inf, 1.0, 5.0, np.inf, 1.0]])
def test_distinct_values_are_numpys(values):
    np.testing.assert_array_equal(distinct(np.array(values)), np.unique(values))


def test_a_recording_is_preprocessed_without_masked_arrays(experanto_session, tmp_path):
    code = (
        "import sys\n"
        "from omnimouse_cli.cli.app import main\n"
        f"sys.argv = ['omnimouse', 'preprocess', {str(experanto_session())!r}]\n"
        f"sys.argv += ['--out', {str(tmp_path / 'shards')!r}, '--json']\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print(sorted({'numpy.ma', 'torch', 'scipy', 'pydantic'} & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.splitlines()[-1:] == ["[]"], run.stderr
    assert (tmp_path / "shards" / "catalogue.json").is_file()
