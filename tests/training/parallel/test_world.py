"""A process reads its rank from its environment, and ranks raise the same errors."""

import pickle
from pathlib import Path

import pytest
import torch

from omnimouse_cli.errors import DamagedCheckpointError, OmniMouseError
from omnimouse_cli.training.parallel.world import (
    Launcher,
    World,
    first_host,
    leave_step,
    read_launcher,
    select_device,
)


def test_without_a_launcher_a_process_is_alone():
    assert read_launcher({}) == Launcher()


def test_torchrun_says_rank_world_and_local_rank():
    environment = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_ADDR": "a"}
    assert read_launcher(environment) == Launcher(rank=5, num_ranks=8, local_rank=1, gpu=1)


STEP = {
    "SLURM_PROCID": "9",
    "SLURM_STEP_NUM_TASKS": "16",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_NODELIST": "gpu[03,07]",
    "SLURM_JOB_ID": "123456",
    "SLURM_STEP_ID": "0",
}


def test_srun_says_them_in_its_own_words_and_the_first_machine_listens():
    launcher = read_launcher(STEP)
    assert (launcher.rank, launcher.num_ranks) == (9, 16)
    assert (launcher.local_rank, launcher.host) == (1, "gpu03")
    assert read_launcher({**STEP, "SLURM_STEP_NUM_NODES": "1"}).host == "127.0.0.1"


def test_steps_of_a_job_have_ports_of_their_own_that_the_system_does_not_give_out():
    ports = [
        read_launcher({**STEP, "SLURM_JOB_ID": job, "SLURM_STEP_ID": str(step)}).port
        for job in ("123456", "123457")
        for step in range(500)
    ]
    assert len(set(ports)) == 1000
    assert min(ports) >= 20_000
    assert max(ports) < 32_768


def test_the_address_that_a_job_script_names_is_taken():
    launcher = read_launcher({**STEP, "MASTER_ADDR": "a", "MASTER_PORT": "1"})
    assert (launcher.host, launcher.port) == (None, 0)


@pytest.mark.parametrize(
    ("visible", "on_node", "gpu"),
    [
        # --gpus-per-task=1: each task sees its own GPU.
        ("1", "2", 0),
        # --gpus-per-task=2: the two of this task.
        ("2,3", "4", 0),
        # --gres=gpu:2: each task sees both.
        ("0,1", "2", 1),
        # --gres=gpu:1: two tasks see the only one, which one of them cannot have.
        ("0", "1", 1),
        ("", "", 1),
    ],
)
def test_a_task_of_srun_takes_a_gpu_of_its_own(monkeypatch, visible, on_node, gpu):
    variables = {"CUDA_VISIBLE_DEVICES": visible, "SLURM_GPUS_ON_NODE": on_node}
    launcher = read_launcher({**STEP, **{name: text for name, text in variables.items() if text}})
    assert launcher.gpu == gpu
    num_visible = len(visible.split(","))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_visible)
    if gpu < num_visible:
        assert select_device("auto", launcher.gpu) == torch.device("cuda", gpu)
    else:
        with pytest.raises(OmniMouseError, match="needs a GPU of its own and there are 1"):
            select_device("auto", launcher.gpu)


def test_a_task_that_leaves_its_step_is_alone():
    variables = dict(STEP)
    leave_step(variables)
    assert read_launcher(variables) == Launcher()


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


def _damaged():
    raise DamagedCheckpointError("it is damaged", hint="remove it")


def _missing_file():
    return Path("/nonexistent/file").read_text()


ERRORS = [
    (_damaged, DamagedCheckpointError, "it is damaged"),
    (_missing_file, OmniMouseError, "/nonexistent/file: No such file or directory"),
]


@pytest.mark.parametrize(("compute", "kind", "message"), ERRORS)
def test_an_error_of_the_first_rank_is_raised_by_all_with_its_type(
    monkeypatch, compute, kind, message
):
    sent = []

    def broadcast(objects):
        """Send from the first rank, whose call comes first; receive on the other one."""
        if sent:
            objects[:] = pickle.loads(sent[0])
        else:
            sent.append(pickle.dumps(objects))

    monkeypatch.setattr(torch.distributed, "broadcast_object_list", broadcast)
    for rank in (0, 1):
        with pytest.raises(OmniMouseError) as caught:
            World(rank=rank, num_ranks=2).on_first_rank(compute)
        assert type(caught.value) is kind
        assert caught.value.message == message
        assert caught.value.hint


@pytest.mark.parametrize(("compute", "kind", "message"), ERRORS)
def test_no_rank_goes_on_where_another_one_has_failed(monkeypatch, compute, kind, message):
    sent = []

    def all_gather(values, value):
        sent.append(pickle.dumps(value))
        values[:] = [pickle.loads(content) for content in reversed(sent)]

    monkeypatch.setattr(torch.distributed, "all_gather_object", all_gather)
    for rank, own in ((1, compute), (0, lambda: "a value")):
        with pytest.raises(OmniMouseError) as caught:
            World(rank=rank, num_ranks=2).on_every_rank(own)
        assert (type(caught.value), caught.value.message) == (kind, message)
    assert World().on_every_rank(lambda: "a value") == "a value"
