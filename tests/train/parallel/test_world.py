"""A process reads its rank from what launchers put into the environment."""

import pytest

from omnimouse_cli.train.parallel.world import (
    Launcher,
    first_host,
    read_launcher,
)


def test_without_a_launcher_a_process_is_alone():
    assert read_launcher({}) == Launcher()


def test_torchrun_says_rank_world_and_local_rank():
    environment = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_ADDR": "a"}
    assert read_launcher(environment) == Launcher(rank=5, num_ranks=8, local_rank=1)


def test_srun_says_them_in_its_own_words_and_the_first_machine_listens():
    environment = {
        "SLURM_PROCID": "9",
        "SLURM_STEP_NUM_TASKS": "16",
        "SLURM_LOCALID": "1",
        "SLURM_STEP_NODELIST": "gpu[03,07]",
        "SLURM_JOB_ID": "123456",
    }
    launcher = read_launcher(environment)
    assert (launcher.rank, launcher.num_ranks) == (9, 16)
    assert (launcher.local_rank, launcher.host) == (1, "gpu03")
    assert 20_000 <= launcher.port < 40_000


def test_a_batch_script_without_srun_is_alone():
    assert (
        read_launcher({"SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_JOB_ID": "1"}) == Launcher()
    )


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("node7", "node7"),
        ("node7,node9", "node7"),
        ("gpu[03-05,9],login", "gpu03"),
        ("rack[1-2]-gpu", "rack1-gpu"),
        ("a-b-12", "a-b-12"),
    ],
)
def test_the_first_of_a_node_list_is_found(nodes, first):
    assert first_host(nodes) == first
