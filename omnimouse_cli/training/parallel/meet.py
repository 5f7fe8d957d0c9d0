"""How ranks find each other: a store, one attempt of which all are part, heartbeat connections."""

import json
import secrets
import socket
import time
import uuid
from collections.abc import Mapping
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore

from omnimouse_cli.errors import OmniMouseError

# Environment variable of torchrun: whether it serves the store, to all attempts of a job.
STORE_IS_SERVED = "TORCHELASTIC_USE_AGENT_STORE"
# Ranks of a large job start minutes apart.
MEET_SECONDS = 600.0
_POLL_SECONDS = 0.05
_TRY_SECONDS = 10.0
CONNECT_SECONDS = 30.0
_ATTEMPTS = "omnimouse/attempts"


def open_store(host: str, port: int, *, serves: bool) -> Store:
    """Return the store through which ranks exchange short texts.

    Args:
        host: Machine that serves the store.
        port: TCP port of the store on that machine.
        serves: Whether this process serves it.

    Raises:
        OmniMouseError: The port is in use, or nothing answers at it.
    """
    deadline = time.monotonic() + MEET_SECONDS
    while True:
        try:
            return TCPStore(
                host,
                port,
                is_master=serves,
                wait_for_workers=False,
                # Short, so that signals are noticed in between.
                timeout=timedelta(seconds=_TRY_SECONDS),
            )
        except dist.DistError as error:
            if serves:
                raise OmniMouseError(
                    f"rank 0 cannot listen at port {port} of {host}",
                    hint="another training may use this port: set MASTER_PORT to a free one",
                ) from error
            if time.monotonic() > deadline:
                raise OmniMouseError(
                    f"rank 0 does not answer at port {port} of {host}",
                    hint="check that rank 0 has started, and that the network lets this port pass",
                ) from error


def store_address(variables: Mapping[str, str]) -> tuple[str, int, bool]:
    """Return host and port of the store that torchrun or the user names, and who serves it.

    Args:
        variables: The environment, for example `os.environ`.

    Returns:
        Host, port, and whether a launcher serves the store; otherwise rank 0 does.

    Raises:
        OmniMouseError: MASTER_ADDR or MASTER_PORT is missing.
    """
    try:
        host, port = variables["MASTER_ADDR"], int(variables["MASTER_PORT"])
    except (KeyError, ValueError) as error:
        raise OmniMouseError(
            "there are several ranks, and MASTER_ADDR and MASTER_PORT do not say where they meet",
            hint="start them with torchrun, srun, or --procs or --gpus",
        ) from error
    return host, port, variables.get(STORE_IS_SERVED) == "True"


def meet(store: Store, host: str, rank: int, num_ranks: int) -> tuple[Store, dict[int, Connection]]:
    """Wait for all ranks of this attempt, and connect each to the first one.

    A launcher that starts the ranks again keeps its store with the keys of the attempt before. So
    each rank chooses a random name, and the first rank answers it by this name.

    Args:
        store: The same for all ranks and attempts.
        host: Name of the machine of rank 0.
        rank: Number of this rank.
        num_ranks: World size.

    Returns:
        A store for this attempt alone, and the connections for heartbeats, by rank.

    Raises:
        OmniMouseError: A rank did not come.
    """
    try:
        if rank == 0:
            hub = Hub(host)
            attempt = _gather(store, num_ranks, {"address": hub.address, "token": hub.token})
            links = hub.accept(num_ranks)
        else:
            attempt, offer = _join(store, rank)
            hub_host, hub_port = offer["address"]
            links = {0: connect((hub_host, hub_port), offer["token"], rank)}
    except (OSError, dist.DistError) as error:
        raise OmniMouseError(
            f"rank {rank} of {num_ranks} cannot connect with the others: {error}",
            hint="check that the machines reach each other, and the first message of each rank",
        ) from error
    store.set_timeout(timedelta(seconds=MEET_SECONDS))
    return PrefixStore(f"omnimouse/{attempt}", store), links


def _gather(store: Store, num_ranks: int, offer: Mapping[str, object]) -> int:
    """Wait as the first rank until all others have come; return the number of the attempt."""
    attempt = int(store.add(_ATTEMPTS, 1))
    answer = json.dumps({**offer, "attempt": attempt})
    missing = set(range(1, num_ranks))
    deadline = time.monotonic() + MEET_SECONDS
    while missing:
        for rank in sorted(missing):
            if store.check([f"omnimouse/{attempt}/here/{rank}"]):
                missing.discard(rank)
            elif store.check([f"omnimouse/hello/{rank}"]):
                # It may be of an earlier attempt: then no rank reads the answer.
                name = store.get(f"omnimouse/hello/{rank}").decode()
                store.set(f"omnimouse/answer/{name}", answer)
        if time.monotonic() > deadline:
            names = ", ".join(map(str, sorted(missing)))
            raise OmniMouseError(
                f"of {num_ranks} ranks, {names} did not start within {MEET_SECONDS:.0f} s",
                hint="their first messages, on their machines, say why",
            )
        time.sleep(_POLL_SECONDS)
    store.set(f"omnimouse/{attempt}/complete", "")
    return attempt


def _join(store: Store, rank: int) -> tuple[int, dict[str, Any]]:
    """Join the first rank; return the number of the attempt, and what the first rank offers."""
    name = uuid.uuid4().hex
    store.set(f"omnimouse/hello/{rank}", name)
    _wait_for(store, f"omnimouse/answer/{name}")
    offer = json.loads(store.get(f"omnimouse/answer/{name}"))
    attempt = int(offer["attempt"])
    store.set(f"omnimouse/{attempt}/here/{rank}", "")
    _wait_for(store, f"omnimouse/{attempt}/complete")
    return attempt, offer


def _wait_for(store: Store, key: str) -> None:
    deadline = time.monotonic() + MEET_SECONDS
    # In short steps, so that signals are noticed.
    while not store.check([key]):
        if time.monotonic() > deadline:
            raise OmniMouseError(
                f"rank 0 did not start, or not all others did, within {MEET_SECONDS:.0f} s",
                hint="their first messages, on their machines, say why",
            )
        time.sleep(_POLL_SECONDS)


class Hub:
    """The socket at which the first rank listens for the others.

    Args:
        host: Name or address of this machine by which the others reach it.
    """

    def __init__(self, host: str) -> None:
        self._socket = socket.create_server((host if host == "127.0.0.1" else "", 0))
        self.address = (host, int(self._socket.getsockname()[1]))
        self.token = secrets.token_hex(16)

    def accept(self, num_ranks: int) -> dict[int, Connection]:
        """Return a connection to every other rank; one without the right token is closed.

        Raises:
            OSError: A rank has not connected in time.
        """
        links: dict[int, Connection] = {}
        deadline = time.monotonic() + CONNECT_SECONDS
        with self._socket:
            while len(links) < num_ranks - 1:
                self._socket.settimeout(max(0.01, deadline - time.monotonic()))
                client, _ = self._socket.accept()
                link = _connection(client)
                rank = _read_introduction(link, self.token)
                if rank is None:
                    link.close()
                else:
                    links[rank] = link
        return links


def connect(address: tuple[str, int], token: str, rank: int) -> Connection:
    """Return a connection to the first rank.

    Raises:
        OSError: It cannot be reached.
    """
    link = _connection(socket.create_connection(address, timeout=CONNECT_SECONDS))
    link.send_bytes(json.dumps({"token": token, "rank": rank}).encode())
    return link


def _connection(stream: socket.socket) -> Connection:
    stream.setblocking(True)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Connection(stream.detach())


def _read_introduction(link: Connection, token: str) -> int | None:
    """Return the rank at the other end; None if it does not send a rank and the right token."""
    try:
        if not link.poll(1.0):
            return None
        content: Any = json.loads(link.recv_bytes(1024))
        if secrets.compare_digest(str(content["token"]), token):
            return int(content["rank"])
    except (EOFError, OSError, ValueError, TypeError, KeyError):
        pass
    return None
