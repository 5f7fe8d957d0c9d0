"""What a step frees is not given back to the system, to be mapped anew in the next."""

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.training

PROGRAM = """
import resource
import numpy as np
from omnimouse_cli.api.allocation import keep_freed_memory

def faults_of_a_step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        np.ones(8_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first = faults_of_a_step()
keep_freed_memory()
faults_of_a_step()
print(first, faults_of_a_step())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there is no glibc here")
def test_a_second_step_finds_its_memory_where_the_first_left_it():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    before, after = map(int, done.stdout.split())
    # 64 MB in pages of 4 KiB, unless the system gives huge ones.
    assert after < before / 4
