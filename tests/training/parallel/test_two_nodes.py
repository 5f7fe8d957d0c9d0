"""Two simulated nodes: network namespaces on this machine, an agent of torchrun in each."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from omnimouse_cli.files import read_document
from omnimouse_cli.run.metrics_log import read_metrics

STEPS = 24
SETS = ["model.d_model=16", "model.layers=1", "model.d_embedding=8", "data.batch_size=2"]
SETS += ["train.log_every=1", "train.batches_per_step=2", "train.checkpoint_every=3"]
TRAIN = ["train", "shards", "--steps", str(STEPS), "--device", "cpu"]
# The command of a job queue: it starts the run, or continues it.
TRAIN += ["--out", "run", "--resume"]
TRAIN += [word for text in SETS for word in ("--set", text)]


class Node:
    """A network namespace with one address, and the processes in it.

    Args:
        name: Of the namespace and its end of the cable.
        address: IPv4 address.
    """

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address = name, address
        self.agents: list[subprocess.Popen[bytes]] = []

    def start(self, head: str, folder: Path, log: Path) -> subprocess.Popen[bytes]:
        """Start the agent of torchrun and its rank; they meet at the node `head`."""
        agent = ["-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
        agent += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{head}:29400", "--rdzv-id", "two"]
        # The address says nothing to torchrun: both namespaces have the machine's host name.
        agent += ["--rdzv-conf", f"is_host={int(self.address == head)}"]
        agent += ["--max-restarts", "3", "--local-addr", self.address, "-m", "omnimouse_cli"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": self.name}
        # Otherwise torchrun tells a node that has come again nowhere where the ranks meet.
        environment["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
        with log.open("ab") as stream:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.name, sys.executable, *agent, *TRAIN],
                cwd=folder,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=stream,
            )
        self.agents.append(process)
        return process

    def kill(self) -> None:
        """Kill all processes, as when a node loses its power."""
        pids = subprocess.run(
            ["ip", "netns", "pids", self.name], capture_output=True, text=True, check=True
        ).stdout.split()
        for pid in pids:
            os.kill(int(pid), signal.SIGKILL)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def nodes() -> Iterator[tuple[Node, Node]]:
    """Two nodes that reach each other and nothing else."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("network namespaces need root and iproute2 (apt-get install iproute2)")
    stem = f"om{os.getpid() % 100_000}"
    first, second = Node(f"{stem}a", "10.213.7.1"), Node(f"{stem}b", "10.213.7.2")
    try:
        try:
            _ip("netns", "add", first.name)
            _ip("netns", "add", second.name)
            _ip("link", "add", first.name, "netns", first.name, "type", "veth", "peer",
                "name", second.name, "netns", second.name)  # fmt: skip
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces cannot be made here: {error.stderr.decode().strip()}")
        for node in (first, second):
            _ip("-n", node.name, "address", "add", f"{node.address}/24", "dev", node.name)
            _ip("-n", node.name, "link", "set", node.name, "up")
            _ip("-n", node.name, "link", "set", "lo", "up")
        yield first, second
    finally:
        for node in (first, second):
            if Path("/run/netns", node.name).exists():
                node.kill()
                for agent in node.agents:
                    agent.wait()
                _ip("netns", "del", node.name)


def _last_step(home: Path) -> int:
    steps = [0]
    for path in home.glob("run/metrics.jsonl"):
        lines = path.read_text().splitlines()
        steps += [json.loads(line)["step"] for line in lines if line.endswith("}")]
    return max(steps)


@pytest.mark.training
@pytest.mark.slow
@pytest.mark.cluster
def test_a_node_that_is_lost_and_comes_again_changes_no_loss(nodes, make_shards, session, tmp_path):
    shards = make_shards([session(), session(key="2-1-1", num_neurons=4)])
    for name in ("alone", "home"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shards").symlink_to(shards)
    first, second = nodes
    log = tmp_path / "log"
    home = tmp_path / "home"
    agents = [node.start(first.address, home, log) for node in nodes]
    deadline = time.monotonic() + 300
    while not list(home.glob("run/checkpoints/step-*")) or _last_step(home) < 5:
        assert agents[0].poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    second.kill()
    agents[1].wait()
    assert _last_step(home) < STEPS
    # torchrun needs 15 seconds to notice that a node is gone, and takes it for a third one before.
    time.sleep(20)
    agents[1] = second.start(first.address, home, log)
    codes = [agent.wait(timeout=300) for agent in agents]
    assert codes == [0, 0], log.read_text()
    assert "continuing from run/checkpoints/step-" in log.read_text()
    run = home / "run"
    subprocess.run(
        [sys.executable, "-m", "omnimouse_cli", *TRAIN, "--quiet"],
        cwd=tmp_path / "alone",
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
    )
    losses = [
        [line["loss"] for line in read_metrics(path) if "loss" in line]
        for path in (tmp_path / "alone" / "run", run)
    ]
    assert len(losses[1]) == STEPS
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    summary = read_document(run / "summary.json", "summary")
    assert summary["steps"] == STEPS
