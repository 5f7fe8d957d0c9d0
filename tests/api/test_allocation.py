"""What a step frees is not given back to the system, to be mapped anew in the next."""

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.training

PROGRAM = """
import resource
import sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from omnimouse_cli.api.allocation import keep_freed_memory

def faults_of_a_step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        [np.ones(5_000_000) for _ in range(2)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def faults_of_steps():
    faults_of_a_step()
    return faults_of_a_step()

first = faults_of_a_step()
keep_freed_memory()
if sys.argv[1] == "main":
    print(first, faults_of_steps())
else:
    with ThreadPoolExecutor(1) as pool:
        print(first, pool.submit(faults_of_steps).result())
"""


@pytest.mark.parametrize("thread", ["main", "other"])
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there is no glibc here")
def test_a_second_step_finds_its_memory_where_the_first_left_it(thread):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, thread], capture_output=True, text=True, check=True
    )
    before, after = map(int, done.stdout.split())
    # 80 MB in pages of 4 KiB, unless the system gives huge ones.
    assert after < before / 4
