"""A replica inside a program: real directories, real disks; and the client from programs of every kind."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import attrs
import pytest
import trio

import replog
from replog import blocking
from replog.client import Receipt
from replog.config import ReplicaConfig
from replog.directory.layout import format_directory
from replog.errors import CommandFailed, ConfigError, Lacking, Refused, StorageError, Unavailable
from replog.paxos.ballot import NodeId
from replog.paxos.membership import Membership

from .machines import Ledger
from .stage import CLUSTER, DEADLINE_S, eventually, stage


def config_of(path: Path, number: int, ports: list[int]) -> ReplicaConfig:
    members = {NodeId(index): f"127.0.0.1:{port}" for index, port in enumerate(ports, 1)}
    return ReplicaConfig(data_dir=path / f"n{number}", members=members)


def formatted(path: Path, number: int, ports: list[int]) -> ReplicaConfig:
    """Settings of a node whose directory has been made."""
    config = config_of(path, number, ports)
    membership = Membership(version=1, voters=tuple(config.members))
    format_directory(config.data_dir, node=NodeId(number), cluster=CLUSTER, membership=membership)
    return config


async def test_a_replica_lives_as_long_as_its_block(tmp_path: Path, unused_ports: list[int]) -> None:
    """It is used like a client; after the block everything is on disk and comes back."""
    config = formatted(tmp_path, 1, unused_ports[:1])
    async with replog.open_replica(config, Ledger()) as replica:
        assert (await replica.submit(b"a")).reply == b"1"
        receipts = await replica.submit_many([b"a", b"b"])
        assert [receipt.reply for receipt in receipts] == [b"2", b"1"]
        assert await replica.query(b"a") == b"2"
        assert await replica.query(b"a", consistency="stale") == b"2"
        with pytest.raises(CommandFailed, match="ValueError") as caught:
            await replica.query(b"!no", consistency="stale")
        assert caught.value.text.startswith("ValueError")
        assert await replica.read(b"a", consistency="stale") == (b"2", replica.status().applied_through)
        with pytest.raises(CommandFailed) as caught:
            await replica.submit_many([b"!no", b"c"])
        failed, receipt = caught.value.results
        assert isinstance(failed, CommandFailed)
        assert isinstance(receipt, Receipt)
        assert (failed.slot, failed.offset + 1) == (receipt.slot, receipt.offset)
        assert replica.status().role == "leader"
        with pytest.raises(Refused):
            await replica.transfer_leadership("n2")
    async with replog.open_replica(config, Ledger()) as replica:
        assert await replica.query(b"a") == b"2"
        assert (await replica.submit(b"a")).reply == b"3"


async def test_three_replicas_in_one_program(tmp_path: Path, unused_ports: list[int]) -> None:
    """Each of them takes commands, whoever leads, and the state is the same in all of them."""
    configs = [formatted(tmp_path, number, unused_ports) for number in (1, 2, 3)]
    async with (
        replog.open_replica(configs[0], Ledger()) as first,
        replog.open_replica(configs[1], Ledger()) as second,
        replog.open_replica(configs[2], Ledger()) as third,
    ):
        for number, replica in enumerate((first, second, third), 1):
            assert (await replica.submit(b"a", timeout=DEADLINE_S)).reply == b"%d" % number
        replicas = (first, second, third)
        await eventually(lambda: len({replica.status().digest for replica in replicas}) == 1)
        leader = next(replica for replica in replicas if replica.status().role == "leader")
        target = next(replica.status().node for replica in replicas if replica is not leader)
        await leader.transfer_leadership(target)
        await eventually(lambda: all(replica.status().leader == target for replica in replicas))
        assert (await first.submit(b"a", timeout=DEADLINE_S)).reply == b"4"


async def test_what_the_block_raises_comes_out_as_it_is(tmp_path: Path, unused_ports: list[int]) -> None:
    """Not wrapped in a group; and the replica has been stopped in order."""
    config = formatted(tmp_path, 1, unused_ports[:1])
    with pytest.raises(KeyError, match="mine"):  # noqa: PT012 - the block is what is tested
        async with replog.open_replica(config, Ledger()) as replica:
            await replica.submit(b"a")
            raise KeyError("mine")
    async with replog.open_replica(config, Ledger()) as replica:
        assert replica.status().durable_through >= 2
        assert await replica.query(b"a") == b"1"


async def test_a_cancelled_block_leaves_everything_in_order(tmp_path: Path, unused_ports: list[int]) -> None:
    """Cancelling from outside, in the middle of commands, flushes and frees the directory."""
    config = formatted(tmp_path, 1, unused_ports[:1])
    done = 0
    with trio.CancelScope() as scope:
        async with replog.open_replica(config, Ledger()) as replica:
            while True:
                await replica.submit(b"a")
                done += 1
                if done == 20:
                    scope.cancel()
    assert scope.cancelled_caught
    async with replog.open_replica(config, Ledger()) as replica:
        assert int(await replica.query(b"a")) in (20, 21)


async def test_a_replica_that_fails_ends_the_block_with_its_reason(tmp_path: Path, unused_ports: list[int]) -> None:
    """The program hears of it at once, wherever it waits."""
    config = formatted(tmp_path, 1, unused_ports[:1])
    with trio.fail_after(DEADLINE_S), pytest.raises(StorageError, match="on purpose"):  # noqa: PT012 - as above
        async with replog.open_replica(config, Ledger()) as replica:
            await replica.submit(b"a")
            replica._node.fail(StorageError("on purpose"))
            await trio.sleep_forever()


async def test_run_replica_serves_until_it_is_cancelled(tmp_path: Path, unused_ports: list[int]) -> None:
    """In a nursery of the program's own."""
    config = formatted(tmp_path, 1, unused_ports[:1])
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: replog.run_replica(config, Ledger(), task_status=task_status))
        async with replog.connect([config.members[NodeId(1)]]) as client:
            assert (await client.submit(b"a")).reply == b"1"
        nursery.cancel_scope.cancel()


async def opened(config: ReplicaConfig) -> None:
    with trio.fail_after(DEADLINE_S):
        async with replog.open_replica(config, Ledger()):
            raise AssertionError("it must not start")


async def test_an_unformatted_directory_is_refused(tmp_path: Path, unused_ports: list[int]) -> None:
    """Starting never formats (P9)."""
    with pytest.raises(Refused, match="not formatted"):
        await opened(config_of(tmp_path, 1, unused_ports))


async def test_members_that_are_not_the_founded_ones_are_refused(tmp_path: Path, unused_ports: list[int]) -> None:
    """A quorum of other members would be no quorum."""
    config = formatted(tmp_path, 1, unused_ports)
    with pytest.raises(ConfigError, match=r"no address of n2, n3"):
        await opened(attrs.evolve(config, members={NodeId(1): "127.0.0.1:1"}))


async def test_an_address_in_use_is_named(tmp_path: Path, unused_ports: list[int]) -> None:
    """And the directory is free again afterwards."""
    config = formatted(tmp_path, 1, unused_ports[:1])
    (listener,) = await trio.open_tcp_listeners(unused_ports[0], host="127.0.0.1")
    async with listener:
        with pytest.raises(ConfigError, match="can't listen on"):
            await opened(config)
    async with replog.open_replica(config, Ledger()) as replica:
        await replica.submit(b"a")


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (errno.EADDRINUSE, ConfigError, "end the process that uses it, or set bind"),
        (errno.EADDRNOTAVAIL, ConfigError, "no network interface of this machine has it: set bind"),
        (errno.EACCES, ConfigError, "ports below 1024 need a privilege"),
        (errno.EPERM, ConfigError, "a sandbox or a firewall forbids it"),
        (errno.EAFNOSUPPORT, ConfigError, "set bind to another address"),
        (errno.EMFILE, Lacking, "raise this process's limit of open files"),
        (errno.ENOMEM, Lacking, "give the process more memory"),
    ],
)
async def test_why_an_address_can_not_be_listened_on_says_what_to_do(
    tmp_path: Path,
    unused_ports: list[int],
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    kind: type[Exception],
    words: str,
) -> None:
    """Each reason has a step of its own, and only what may be otherwise at the next start is said to be lacking."""

    async def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    config = formatted(tmp_path, 1, unused_ports[:1])
    monkeypatch.setattr(trio, "open_tcp_listeners", refuse)
    with pytest.raises(kind, match="can't listen on") as caught:
        await opened(config)
    assert words in str(caught.value)
    assert os.strerror(code) in str(caught.value)


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (socket.EAI_NONAME, ConfigError, "can't listen on node.test:7101: unknown host"),
        (socket.EAI_AGAIN, Unavailable, "its name can't be looked up at the moment"),
    ],
)
async def test_an_own_name_that_stands_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception], words: str
) -> None:
    """A wrong setting is one; a resolver that fails for now is a reason to start again."""

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(code, "it failed")

    config = attrs.evolve(formatted(tmp_path, 1, [7101]), bind="node.test:7101")
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(kind, match=words):
        await opened(config)


async def test_a_directory_belongs_to_one_process(tmp_path: Path, unused_ports: list[int]) -> None:
    """A second one on it is refused, in this process or in another, and the first goes on."""
    config = formatted(tmp_path, 1, unused_ports[:1])
    elsewhere = attrs.evolve(config, bind=f"127.0.0.1:{unused_ports[1]}")
    async with replog.open_replica(config, Ledger()) as replica:
        with pytest.raises(Refused):
            await opened(elsewhere)
        program = "import sys; from replog.directory.layout import open_directory as o; from pathlib import Path as P; "
        done = await trio.run_process(
            [sys.executable, "-c", program + "o(P(sys.argv[1]))", str(config.data_dir)],
            check=False,
            capture_stderr=True,
        )
        assert done.returncode != 0
        assert f"process (id {os.getpid()})".encode() in done.stderr
        assert (await replica.submit(b"a")).reply == b"1"


# --- the client elsewhere ---


async def test_the_client_lives_in_an_asyncio_program(tmp_path: Path) -> None:
    """The same client, the same answers, many callers, a change of leader, cancellation and following the log."""

    async def program(endpoints: list[str]) -> None:
        async with replog.connect(endpoints) as client:
            receipts = await asyncio.gather(*(client.submit(b"a", timeout=DEADLINE_S) for _ in range(200)))
            assert sorted(int(receipt.reply) for receipt in receipts) == list(range(1, 201))
            await client.transfer_leadership()
            assert (await client.submit(b"a", timeout=DEADLINE_S)).reply == b"201"
            assert await client.query(b"a") == b"201"
            assert await client.query(b"a", consistency="stale") in {b"%d" % number for number in range(202)}
            with pytest.raises(CommandFailed):
                await client.submit(b"!no", timeout=DEADLINE_S)
            slots = []
            entries = client.follow(1)
            async for entry in entries:
                slots.append(entry.slot)
                if len(slots) == 5:
                    break
            await entries.aclose()
            assert slots == [1, 2, 3, 4, 5]
            task = asyncio.create_task(client.submit(b"b", timeout=DEADLINE_S))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await client.submit(b"c", timeout=DEADLINE_S)).reply == b"1"
            with pytest.raises(KeyError, match="mine"):
                async with replog.connect(endpoints):
                    raise KeyError("mine")

    async with stage(tmp_path) as cluster:
        await trio.to_thread.run_sync(asyncio.run, program(cluster.endpoints))


async def test_the_blocking_client_serves_any_thread(tmp_path: Path) -> None:
    """For scripts and web frameworks: the same methods, from many threads at once."""

    def program(endpoints: list[str]) -> None:
        with blocking.connect(endpoints) as client:
            replies: list[int] = []

            def submit() -> None:
                for _ in range(20):
                    replies.append(int(client.submit(b"a", timeout=DEADLINE_S).reply))

            threads = [threading.Thread(target=submit) for _ in range(5)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(replies) == list(range(1, 101))
            assert client.query(b"a") == b"100"
            assert [receipt.reply for receipt in client.submit_many([b"b", b"b"])] == [b"1", b"2"]
            assert client.status().node.startswith("n")
            client.transfer_leadership()
            with pytest.raises(CommandFailed):
                client.submit(b"!no", timeout=DEADLINE_S)
            entries = client.follow(1)
            assert [next(entries).slot for _ in range(3)] == [1, 2, 3]
            entries.close()  # type: ignore[attr-defined]
            with pytest.raises(ValueError, match="consistency"):
                client.query(b"a", consistency="eventual")  # type: ignore[arg-type]
            assert client.read(b"b").reply == b"2"
            with pytest.raises(CommandFailed) as caught:
                client.submit_many([b"c", b"!no", b"c"], timeout=DEADLINE_S)
            assert [type(result) for result in caught.value.results] == [Receipt, CommandFailed, Receipt]
            assert client.query(b"c") == b"2"

    async with stage(tmp_path) as cluster:
        await trio.to_thread.run_sync(program, cluster.endpoints)


async def test_a_blocking_client_without_a_cluster_says_so(unused_ports: list[int]) -> None:
    """The error is the same, and nothing is left behind."""

    def program() -> None:
        with blocking.connect([f"127.0.0.1:{unused_ports[0]}"]) as client, pytest.raises(Unavailable):
            client.submit(b"a", timeout=0.3)

    await trio.to_thread.run_sync(program)


def test_importing_the_client_does_not_import_the_server() -> None:
    """A web program that only asks need not load the disk's library."""
    program = "import sys, replog, replog.blocking; replog.connect; print('lmdb' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("endpoints", [[], ["nonsense"], ["127.0.0.1:"], [":7101"]])
async def test_wrong_endpoints_are_said_at_once(endpoints: list[str]) -> None:
    """Before anything is tried."""
    with pytest.raises(ValueError, match=r"host:port"):
        async with replog.connect(endpoints):
            pass
