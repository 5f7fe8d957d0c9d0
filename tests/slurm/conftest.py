"""A real Slurm for the tests of this folder, and a working folder with shards."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 300


class Slurm:
    """Commands of Slurm, and of omnimouse in its jobs.

    Args:
        configuration: The slurm.conf of the cluster.
        home: Working folder, in which jobs run.
    """

    def __init__(self, configuration: Path, home: Path) -> None:
        self.home = home
        self.configuration = configuration
        programs = home / "programs"
        programs.mkdir()
        (programs / "omnimouse").write_text(
            f'#!/bin/sh\nexec {sys.executable} -m omnimouse_cli "$@"\n'
        )
        (programs / "omnimouse").chmod(0o755)
        self.environment = {
            **os.environ,
            "SLURM_CONF": str(configuration),
            "PYTHONPATH": str(ROOT),
            "PATH": f"{programs}:{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
        }

    def run(self, *command: str, code: int = 0, **variables: str) -> str:
        """Run a command; return what it prints, of one that fails the errors."""
        done = subprocess.run(
            command,
            cwd=self.home,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}\n{self.logs()}"
        return done.stderr if code else done.stdout

    def wait(self, is_true, job: str) -> None:
        """Wait until something is true of a job."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_true():
            assert time.monotonic() < deadline, f"{self.state(job)}\n{self.logs()}"
            time.sleep(0.2)

    def state(self, job: str) -> str:
        """Return what Slurm says of a job."""
        return self.run("scontrol", "show", "job", job, "--oneliner")

    def wait_for_end(self, job: str) -> None:
        """Wait until no task of a job runs or waits."""
        self.wait(lambda: not self.run("squeue", "--noheader", "--jobs", job).strip(), job)

    def logs(self) -> str:
        """Return what jobs have printed."""
        paths = sorted(self.home.rglob("*.log")) + sorted(self.home.rglob("*.out"))
        return "\n".join(f"== {path}\n{path.read_text()}" for path in paths)


@pytest.fixture(scope="session")
def configuration():
    """The slurm.conf of a cluster that runs as long as the tests."""
    specification = importlib.util.spec_from_file_location(
        "cluster", Path(__file__).parent / "cluster.py"
    )
    cluster = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(cluster)
    missing = cluster.missing_programs()
    if missing:
        pytest.skip(
            f"Slurm is not installed here: {', '.join(missing)} (apt-get install slurm-wlm munge)"
        )
    # The path of a socket may have about 100 letters.
    folder = Path(tempfile.mkdtemp(prefix="omnimouse-slurm-"))
    try:
        with cluster.running_cluster(folder / "cluster") as path:
            yield path
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def slurm(configuration, home):
    """Slurm, in a working folder with shards of two sessions."""
    return Slurm(configuration, home)
