"""What crowds and strangers cost a cluster of real processes: ``python -m tests.processes.crowds [WHAT ...]``.

``idle``: 1,100 clients at each node that say nothing, where a process may have 1,024 files open at first, and where it
may never have more. ``probes``: 10,000 connections that are closed at once. ``unread``: 100 clients that ask for 16 MiB
each and take nothing. ``begun``: 250 links with all of a frame of 8 MiB but its end. ``sessions``: 12,000 sessions
opened by one client over many links. For each it says whether every node goes on, who still gets in, and what it took.
"""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import trio
from msgspec.msgpack import encode

from replog import LocalCluster, local_cluster
from replog.apply.submissions import OpenSession, session_key
from replog.client import ask_status
from replog.errors import ReplogError
from replog.node.clients import SESSIONS_A_LINK_MAX
from replog.paxos.ballot import parse_node
from replog.wire.client_messages import Query, Submit
from replog.wire.codec import HEADER_BYTES, Hello, Kind, encode_frame

from .load import MACHINE, has_said, said

BIG = "tests.processes.big_machine:Big"
FILES = 1024
IDLE = 1100
PROBES = 10_000
UNREAD, ANSWER_BYTES = 100, 16 * 2**20
BEGUN, FRAME_BYTES = 250, 8 * 2**20
SESSIONS = 12_000
HELLO = encode_frame(Kind.HELLO, Hello(b"", 0, b"", "crowd"))
WAIT_S = 60.0


# --- strangers, in plain sockets ---


def connected(address: str, *, receive_bytes: int = 0) -> tuple[socket.socket, bool]:
    """A link that has greeted, and whether it was let in."""
    host, _, port = address.rpartition(":")
    sock = socket.socket()
    if receive_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.settimeout(WAIT_S)
    sock.connect((host, int(port)))
    sock.sendall(HELLO)
    try:
        welcome = sock.recv(4096)
    except OSError:
        welcome = b""
    return sock, len(welcome) > HEADER_BYTES and b"places for clients" not in welcome


@contextmanager
def crowd_of(address: str, count: int, *frames: bytes, receive_bytes: int = 0) -> Iterator[int]:
    """So many links that send this and take nothing, whatever the node does about it; how many were let in."""
    with ExitStack() as stack:
        welcome = 0
        for _ in range(count):
            sock, is_welcome = connected(address, receive_bytes=receive_bytes)
            stack.enter_context(sock)
            welcome += is_welcome
            with suppress(OSError):  # the node may have enough of it
                for frame in frames:
                    sock.sendall(frame)
        yield welcome


def hold_crowds() -> None:
    """A process of its own, so that its limits are not the nodes': reads ``ADDRESS COUNT`` lines and holds crowds."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with ExitStack() as stack:
        for line in sys.stdin:
            address, count = line.split()
            print(stack.enter_context(crowd_of(address, int(count))), flush=True)


class Holder:
    """``hold_crowds`` in a process."""

    def __init__(self) -> None:
        program = "from tests.processes.crowds import hold_crowds; hold_crowds()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def hold(self, address: str, count: int) -> int:
        """How many of them were let in."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(address, count, file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@asynccontextmanager
async def few_files(soft: int, hard: int | None = None) -> AsyncIterator[None]:
    """Processes that are started inside may have so many files open. A hard limit comes back for root alone."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard or before[1]))
    try:
        yield
    finally:
        if resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= before[1]:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)


# --- what became of the nodes ---


def most_memory(cluster: LocalCluster) -> int:
    """The most bytes that any node has ever held."""
    peaks = []
    for pid in cluster.pids.values():
        text = Path(f"/proc/{pid}/status").read_text()
        peaks.append(int(text.partition("VmHWM:")[2].split()[0]) * 1024)
    return max(peaks)


async def get_in(cluster: LocalCluster, payload: bytes) -> None:
    """Commands that ask get in at every node, and a client with its command somewhere."""
    for name in cluster.nodes:
        await ask_status(cluster.endpoint(name), timeout=WAIT_S)
    async with cluster.client(name="gets in") as client:
        await client.submit(payload, timeout=WAIT_S)


async def restart_one(cluster: LocalCluster) -> str:
    """A node that comes back finds its peers' doors open."""
    leader = await cluster.leader()
    name = next(name for name in cluster.nodes if name != leader)
    cluster.kill(name)
    await cluster.wait_ended(name)
    await cluster.start(name)
    for other in cluster.nodes:
        if parse_node(other) < parse_node(name):
            await has_said(cluster, name, "peer_connected", other)
    return name


def host_lines(cluster: LocalCluster) -> Counter[str]:
    """How many lines each node has logged of strangers and clients."""
    count: Counter[str] = Counter()
    for name in cluster.nodes:
        count[name] = sum(":" in line.get("other", "") for line in said(cluster, name))
    return count


# --- the measurements ---


async def idle(folder: Path, *, hard: int | None, count: int = IDLE) -> list[int]:
    """How many of the clients that say nothing each node holds, while peers, ``status`` and a client get in."""
    holder = Holder()
    try:
        async with few_files(FILES, hard), local_cluster(state_machine=BIG, data_dir=folder) as cluster:
            held = [await trio.to_thread.run_sync(holder.hold, address, count) for address in cluster.endpoints]
            for name in cluster.nodes:
                await ask_status(cluster.endpoint(name), timeout=WAIT_S)
            await restart_one(cluster)
            assert len(cluster.pids) == len(cluster.nodes)
            return held
    finally:
        holder.close()


async def probes(folder: Path, count: int = PROBES) -> Counter[str]:
    """How many lines each node logs of connections that are closed at once; one that is up meets all of them."""
    async with local_cluster(state_machine=MACHINE, data_dir=folder) as cluster:
        host, _, port = cluster.endpoints[0].rpartition(":")

        def probe() -> None:
            for _ in range(count):
                socket.create_connection((host, int(port)), WAIT_S).close()

        await trio.to_thread.run_sync(probe)
        await get_in(cluster, b"gets in")
        return host_lines(cluster)


async def _beside(folder: Path, frames: Callable[[], list[bytes]], count: int, receive_bytes: int = 0) -> int:
    """The most memory a node took for a crowd that sends this, while others get in."""
    async with local_cluster(state_machine=BIG, data_dir=folder) as cluster:
        await get_in(cluster, b"1")
        with ExitStack() as stack:

            def gather() -> None:
                stack.enter_context(crowd_of(cluster.endpoints[0], count, *frames(), receive_bytes=receive_bytes))

            await trio.to_thread.run_sync(gather)
            await get_in(cluster, b"1")
            async with cluster.client(name="reads") as client:
                assert len(await client.query(b"1000000", timeout=WAIT_S)) == 1_000_000
            assert len(cluster.pids) == len(cluster.nodes)
            return most_memory(cluster)


async def unread(folder: Path, count: int = UNREAD) -> int:
    question = encode_frame(Kind.CLIENT, [Query(1, True, [b"%d" % ANSWER_BYTES])])
    return await _beside(folder, lambda: [question], count, receive_bytes=4096)


async def begun(folder: Path, count: int = BEGUN) -> int:
    whole = encode_frame(Kind.CLIENT, [Query(1, True, [bytes(FRAME_BYTES - 100)])])
    return await _beside(folder, lambda: [whole[:-1]], count)


async def sessions(folder: Path, count: int = SESSIONS) -> tuple[int, bool]:
    """How many sessions are open after one client wanted so many, and whether another one's goes on."""
    async with local_cluster(state_machine=BIG, data_dir=folder) as cluster, cluster.client(name="victim") as victim:
        await victim.submit(b"1")
        leader = await cluster.leader()

        def attack() -> None:
            for first in range(0, count, SESSIONS_A_LINK_MAX):
                secrets = [
                    number.to_bytes(16, "big") for number in range(first, min(count, first + 2 * SESSIONS_A_LINK_MAX))
                ]
                asked = [Submit(0, encode(OpenSession(session_key(secret))), secret) for secret in secrets]
                sock, _ = connected(cluster.endpoint(leader))
                with sock:
                    sock.sendall(encode_frame(Kind.CLIENT, asked))
                    sock.recv(4096)

        await trio.to_thread.run_sync(attack)
        try:
            await victim.submit(b"1")
            goes_on = True
        except ReplogError:
            goes_on = False
        return (await ask_status(cluster.endpoint(leader))).sessions_open, goes_on


MEASUREMENTS: dict[str, Callable[[Path], Any]] = {
    f"idle: clients let in at each node, of {IDLE:,}, soft limit {FILES:,}": lambda folder: idle(folder, hard=None),
    f"hard: clients let in at each node, of {IDLE:,}, hard limit {FILES:,}": lambda folder: idle(folder, hard=FILES),
    f"probes: lines logged by each node of {PROBES:,} connections": probes,
    f"unread: most memory of a node, {UNREAD} clients that do not read {ANSWER_BYTES:,} bytes each": unread,
    f"begun: most memory of a node, {BEGUN} links inside a frame of {FRAME_BYTES:,} bytes": begun,
    f"sessions open after one client opened {SESSIONS:,}, and whether another's goes on": sessions,
}


def main(*words: str) -> None:
    for name, measure in MEASUREMENTS.items():
        if words and name.partition(" ")[0].rstrip(":") not in words:
            continue
        with tempfile.TemporaryDirectory(prefix="replog-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
            found = trio.run(measure, Path(folder))
        print(f"{name}: {dict(found) if isinstance(found, Counter) else found}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
