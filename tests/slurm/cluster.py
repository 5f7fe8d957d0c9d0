"""A real Slurm of two nodes with two GPUs each, all of it on this machine, in one folder.

`python tests/slurm/cluster.py FOLDER` starts one to try commands on, and stops it at Ctrl-C. The
GPUs are terminals in disguise: Slurm hands them out, and nothing can compute on them.
"""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
COMMANDS = ("sbatch", "srun", "scancel", "scontrol", "squeue", "sinfo")
# Any character devices do.
GPU_FILES = ("/dev/tty1", "/dev/tty2")

CONFIGURATION = """
ClusterName=omnimouse
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits as long as a credential lives.
AuthInfo=socket={folder}/munge.sock,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
# A job in `urgent` preempts those in `cpu`, which get SIGTERM and this grace time.
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
# The nodes have more cores than the machine.
SlurmdParameters=config_overrides
{gres}
NodeName=n[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{ports[1]}-{ports[2]}] CPUs=4 {gpus}
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2
"""


def missing_programs() -> list[str]:
    """Return the programs of Slurm that are not installed."""
    return [name for name in (*DAEMONS, *COMMANDS) if _find(name) is None]


def _find(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def free_ports(count: int) -> list[int]:
    """Return consecutive ports that nothing listens on, for one machine's address."""
    for first in range(17_000 + os.getpid() % 997, 19_990, count):
        ports = list(range(first, first + count))
        if all(_is_free(port) for port in ports):
            return ports
    raise RuntimeError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            listener.bind(("0.0.0.0", port))
            return True
    return False


def configure(folder: Path) -> None:
    """Write slurm.conf, gres.conf and the key of munge."""
    has_gpus = all(Path(name).is_char_device() for name in GPU_FILES)
    folder.mkdir(parents=True)
    # Munge refuses a folder in which others may write.
    folder.chmod(0o755)
    (folder / "state").mkdir()
    for node in ("n1", "n2"):
        (folder / f"spool-{node}").mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    if has_gpus:
        lines = [f"Name=gpu Flags=nvidia_gpu_env File={name}" for name in GPU_FILES]
        (folder / "gres.conf").write_text("\n".join(lines) + "\n")
    text = CONFIGURATION.format(
        host=socket.gethostname().split(".", maxsplit=1)[0],
        ports=free_ports(3),
        user=getpass.getuser(),
        folder=folder,
        gres="GresTypes=gpu" if has_gpus else "",
        gpus="Gres=gpu:2" if has_gpus else "",
    )
    (folder / "slurm.conf").write_text(text)


@contextlib.contextmanager
def running_cluster(folder: Path) -> Iterator[Path]:
    """Run a cluster as long as the block; yield its slurm.conf, which SLURM_CONF has to name.

    Args:
        folder: Folder for everything that the daemons need; made here.
    """
    configure(folder)
    configuration = folder / "slurm.conf"
    environment = {**os.environ, "SLURM_CONF": str(configuration)}
    munge = ["munged", "--foreground", "--force", f"--socket={folder}/munge.sock"]
    munge += [f"--key-file={folder}/munge.key", f"--pid-file={folder}/munged.pid"]
    munge += [f"--log-file={folder}/munged.log", f"--seed-file={folder}/munge.seed"]
    commands = [
        munge,
        ["slurmctld", "-D", "-f", str(configuration)],
        ["slurmd", "-D", "-N", "n1", "-f", str(configuration)],
        ["slurmd", "-D", "-N", "n2", "-f", str(configuration)],
    ]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for number, (name, *arguments) in enumerate(commands):
            with (folder / f"{name}-{number}.out").open("wb") as output:
                processes.append(
                    subprocess.Popen(
                        [str(_find(name)), *arguments],
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                        env=environment,
                        start_new_session=True,
                    )
                )
            if name == "munged":
                _wait_until((folder / "munge.sock").exists, folder)
        _wait_until(lambda: _idle_nodes(environment) == 2, folder)
        yield configuration
    finally:
        _stop(processes, environment)


def _idle_nodes(environment: dict[str, str]) -> int:
    done = subprocess.run(
        ["sinfo", "--noheader", "--Node", "--partition=cpu", "--format=%T"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    return done.stdout.split().count("idle")


def _wait_until(is_true, folder: Path, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > deadline:
            logs = "\n".join(path.read_text(errors="replace") for path in folder.glob("*.out"))
            raise RuntimeError(f"Slurm did not start:\n{logs}")
        time.sleep(0.1)


def _stop(processes: list[subprocess.Popen[bytes]], environment: dict[str, str]) -> None:
    """End all jobs, then the daemons, the last one first."""
    if len(processes) > 1 and processes[1].poll() is None:
        deadline = time.monotonic() + 30
        # Jobs that wait are cancelled first; the programs of those that run need not be waited for.
        for options in (["--state=PENDING"], ["--signal=KILL", "--full"], []):
            _cancel(environment, *options)
        while _idle_nodes(environment) < 2 and time.monotonic() < deadline:
            time.sleep(0.2)
            _cancel(environment)
    for process in reversed(processes):
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _cancel(environment: dict[str, str], *options: str) -> None:
    command = ["scancel", f"--user={getpass.getuser()}", *options]
    subprocess.run(command, capture_output=True, env=environment, check=False)


if __name__ == "__main__":
    with running_cluster(Path(sys.argv[1]).resolve()) as path:
        sys.stdout.write(f"export SLURM_CONF={path}\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
