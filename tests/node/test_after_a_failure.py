"""After a failure a node says, applies and writes nothing more; a part of a turn that serves one client fails alone."""

from __future__ import annotations

import functools
import importlib.metadata
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from replog.apply.applier import Applier
from replog.apply.submissions import OpenSession, session_key
from replog.errors import StorageError, Unavailable
from replog.node.server import Node
from replog.paxos.ballot import Slot
from replog.paxos.values import NO_OP
from replog.state.memory import MemoryStateStore
from replog.state_machine import Command, State, StateView
from replog.wire.client_messages import Follow, Ping, Query, StatusRequest, Submit
from replog.wire.codec import Hello, Kind, encode_frame

from .machines import Ledger
from .stage import DEADLINE_S, Member, eventually, stage
from .test_failures import Broken, broken, within
from .test_links import is_dropped, is_serving, say_hello

QUIET: dict[str, tuple[str, ...]] = {
    "driver": ("turn", "_step", "_obey", "send_chunk"),
    "applying": ("apply",),
    "sending": ("send", "let_go"),
    "transport": ("send",),
    "clients": ("send", "answer_reads"),
    "followers": ("feed",),
    "applier": ("begin", "run", "begin_flush", "end_flush", "query"),
    "log": ("write", "compact", "install_floor"),
    "state": ("begin_flush", "end_flush", "begin_install", "install_chunk", "finish_install"),
    "log_port": ("write", "compact"),
}
"""What a node that has failed does not do any more. A thread may still finish what was set aside for it before."""


@contextmanager
def watched(member: Member, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Everything of ``QUIET`` that this member begins after its failure."""
    node, begun = member.node, list[str]()
    owners: dict[str, Any] = {
        "sending": node.driver.sending,
        "followers": node.clients.followers,
        "applying": node.driver.applying,
        "log": member.log,
        "state": member.state,
    }

    def watch(owner: Any, name: str) -> None:
        whole = getattr(owner, name)

        @functools.wraps(whole)
        def watching(*arguments: Any, **named: Any) -> Any:
            if node._failure is not None:
                begun.append(name)
            return whole(*arguments, **named)

        monkeypatch.setattr(owner, name, watching)

    for owner, names in QUIET.items():
        for name in names:
            watch(owners.get(owner) or getattr(node, owner), name)
    yield begun
    monkeypatch.undo()


def after(calls: int, whole: Callable[..., Any], error: BaseException) -> Callable[..., Any]:
    """``whole``, until it has been called so often; then it raises, in the middle of what its caller does."""
    left = calls

    def breaking(*arguments: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise error
        return whole(*arguments, **named)

    return breaking


PARTS: dict[str, Callable[[Member], tuple[Any, str]]] = {
    "a step of the core": lambda member: (member.node.replica, "take_effects"),
    "a message of a peer": lambda member: (member.node.replica, "on_message"),
    "the end of a write": lambda member: (member.node.replica, "on_written"),
    "a write": lambda member: (member.log, "write"),
    "applying": lambda member: (member.node.applier, "run"),
    "a row of a slot": lambda member: (member.state, "write"),
    "the end of a slot": lambda member: (member.node.applier._digest, "close"),
    "the answers": lambda member: (member.node.clients, "send"),
    "the outcomes": lambda member: (member.node.clients, "on_outcomes"),
    "what is kept for a peer": lambda member: (member.node.driver.sending.thrifty, "with_kept"),
    "the alarm": lambda member: (member.node._alarm, "set"),
    "sending": lambda member: (member.node.transport, "send"),
    "a flush": lambda member: (member.state, "flush"),
}


@pytest.mark.parametrize("is_leader", [True, False], ids=["leader", "follower"])
@pytest.mark.parametrize("part", PARTS)
async def test_a_part_of_a_turn_that_raises_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, is_leader: bool
) -> None:
    """The node ends with that reason, the others go on, nobody is told wrong, and the slot is applied again whole."""
    error = StorageError("on purpose")
    batch = [b"a", b"b", b"c", b"d"]
    options = {"log_tail_slots": 0, "flush_interval_s": 0.005}
    async with stage(tmp_path, node=options) as cluster, cluster.client() as client:
        rounds = 0
        await client.submit_many(batch)
        victim = await cluster.leader() if is_leader else (await cluster.followers())[0]
        with watched(victim, monkeypatch) as begun:
            owner, name = PARTS[part](victim)
            monkeypatch.setattr(owner, name, after(6, getattr(owner, name), error))
            with trio.fail_after(DEADLINE_S):
                while victim.is_running:
                    rounds += 1
                    receipts = await client.submit_many(batch, timeout=DEADLINE_S)
                    assert [receipt.reply for receipt in receipts] == [b"%d" % (rounds + 1)] * 4
            assert error in within(await victim.ended())
        assert not begun
        assert [await client.query(payload, timeout=DEADLINE_S) for payload in batch] == [b"%d" % (rounds + 1)] * 4
        victim.state.crash()
        await victim.start()
        await client.submit(b"e", timeout=DEADLINE_S)
        await cluster.settled()


async def test_half_a_slot_is_never_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store fails in the middle of a slot: what was put before has not happened; after a start all of it does."""
    batch = [b"a", b"b", b"c", b"d"]
    async with (
        stage(tmp_path, count=1, node={"flush_interval_s": 60.0}) as cluster,
        cluster.client() as client,
        cluster.client() as other,  # with two of them, turns are taken by the node's own task
        trio.open_nursery() as nursery,
    ):
        await client.submit(b"x")
        await other.submit(b"x")
        victim = cluster[1]
        monkeypatch.setattr(victim.state, "write", after(2, victim.state.write, StorageError("on purpose")))
        receipts: list[list[bytes]] = []

        async def submit() -> None:
            receipts.append([receipt.reply for receipt in await client.submit_many(batch, timeout=DEADLINE_S)])

        nursery.start_soon(submit)
        assert isinstance(await victim.ended(), StorageError)
        victim.state.crash()
        assert [victim.state.get(b"n/" + payload) for payload in batch] == [None] * 4
        monkeypatch.undo()
        await victim.start()
        await eventually(lambda: receipts)
        assert receipts == [[b"1"] * 4]
        assert [await client.query(payload) for payload in batch] == [b"1"] * 4


async def test_nothing_is_sent_when_a_write_ends_after_the_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk may finish what it is at; the messages that waited for it stay where they are."""
    gate, is_writing, is_written = threading.Event(), threading.Event(), threading.Event()
    options = {"wait_for_commit_s_max": 0.0}
    async with stage(tmp_path, is_write_threaded=True, node=options) as cluster, cluster.client() as client:
        await client.submit(b"a", timeout=DEADLINE_S)
        victim = (await cluster.followers())[0]
        write = victim.log.write

        def slow(writes: Any) -> None:
            is_writing.set()
            assert gate.wait(DEADLINE_S)
            write(writes)
            is_written.set()

        with watched(victim, monkeypatch) as begun:
            monkeypatch.setattr(victim.log, "write", slow)
            await client.submit(b"b", timeout=DEADLINE_S)
            await eventually(is_writing.is_set)
            assert victim.node.driver.sending._held
            victim.node.fail(Broken("on purpose"))
            gate.set()
            assert any(isinstance(inner, Broken) for inner in within(await victim.ended()))
        assert is_written.is_set()
        assert not begun


async def test_a_flush_that_ends_after_the_failure_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be durable; the node does not go on from there, least of all does it drop slots."""
    gate, is_flushing = threading.Event(), threading.Event()
    async with stage(tmp_path, node={"log_tail_slots": 0}) as cluster, cluster.client() as client:
        await client.submit(b"a")
        victim = (await cluster.followers())[0]
        flush = victim.state.flush

        def slow() -> None:
            is_flushing.set()
            assert gate.wait(DEADLINE_S)
            flush()

        with watched(victim, monkeypatch) as begun:
            monkeypatch.setattr(victim.state, "flush", slow)
            await client.submit(b"b")
            await eventually(is_flushing.is_set)
            victim.node.fail(Broken("on purpose"))
            gate.set()
            await victim.ended()
        assert not begun


async def test_a_turn_within_a_turn_is_a_failure(tmp_path: Path) -> None:
    """It would see what is half done."""
    async with stage(tmp_path) as cluster, cluster.client() as client:
        victim = await cluster.leader()
        victim.node.clients.send = victim.node.turn  # type: ignore[method-assign]
        await client.submit(b"a", timeout=DEADLINE_S)
        assert any(isinstance(inner, AssertionError) for inner in within(await victim.ended()))


async def test_an_event_that_nobody_knows_ends_the_node_and_not_the_program(tmp_path: Path) -> None:
    """What threads bring to the event loop runs in trio's own task."""
    async with stage(tmp_path, is_write_threaded=True) as cluster, cluster.client() as client:
        await client.submit(b"a", timeout=DEADLINE_S)
        victim = (await cluster.followers())[0]
        victim.node.log_port._soon(object())  # type: ignore[arg-type]  # nothing that can happen
        assert any(isinstance(inner, KeyError) for inner in within(await victim.ended()))
        assert (await client.submit(b"a", timeout=DEADLINE_S)).reply == b"2"


async def test_a_failed_node_answers_no_read(tmp_path: Path) -> None:
    """Not even the program that it lives in."""
    async with stage(tmp_path) as cluster:
        victim = cluster[1]
        assert victim.node.answer_stale(b"a") == (b"0", False)
        victim.node.fail(Broken("on purpose"))
        with pytest.raises(Unavailable):
            victim.node.answer_stale(b"a")
        await victim.ended()


def test_a_state_applied_by_half_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks it: no further slot, no answer, no flush."""
    applier = Applier(Ledger(), MemoryStateStore())
    applier.apply(Slot(1), NO_OP)
    monkeypatch.setattr(applier._digest, "close", broken)
    with pytest.raises(Broken):
        applier.apply(Slot(2), NO_OP)
    monkeypatch.undo()
    for refused in (
        lambda: applier.apply(Slot(2), NO_OP),
        lambda: applier.apply(Slot(3), NO_OP),
        lambda: applier.query(b"a"),
        applier.begin_flush,
    ):
        with pytest.raises(StorageError, match="half applied"):
            refused()


# --- one client's matter ---


class Wicked(Ledger):
    """Queries that raise what is no ordinary error."""

    def query(self, view: StateView, request: bytes) -> bytes:
        match request:
            case b"exit":
                raise SystemExit(3)
            case b"memory":
                raise MemoryError
            case b"disk":
                raise StorageError("of its own")
        return super().query(view, request)


async def test_a_query_can_not_end_a_node(tmp_path: Path) -> None:
    """Over the wire and in place alike."""
    async with stage(tmp_path, count=1, machine=lambda _number: Wicked()) as cluster:
        link, _ = await say_hello(cluster[1], Hello(b"", 0, b""))
        link.write(encode_frame(Kind.CLIENT, [Query(1, True, [b"exit", b"memory", b"disk"])]))
        assert cluster[1].node.answer_stale(b"exit") == (b"SystemExit: 3", True)
        assert cluster[1].node.answer_stale(b"disk") == (b"StorageError: of its own", True)
        assert await is_serving(cluster[1])
        link.close()


async def test_ids_that_can_not_be_answered_end_their_link(tmp_path: Path) -> None:
    """The answers to the later reads would have ids that do not fit."""
    async with stage(tmp_path, count=1) as cluster:
        link, _ = await say_hello(cluster[1], Hello(b"", 0, b""))
        link.write(encode_frame(Kind.CLIENT, [Query(2**64 - 1, True, [b"?900000"] * 12)]))
        assert await is_dropped(link)
        assert await is_serving(cluster[1])


SERVING: dict[str, tuple[Callable[[Node], Any], str]] = {
    "its frames": (lambda node: node._doors, "on_client_messages"),
    "a submission": (lambda node: node.clients, "on_submit"),
    "a report": (lambda node: node, "status"),
    "a read": (lambda node: node.clients, "_answer"),
    "the log": (lambda node: node.clients.followers, "_feed"),
}


@pytest.mark.parametrize("part", SERVING)
async def test_what_fails_for_one_client_ends_its_link_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """The node lives, and the client that comes back is served."""
    async with stage(tmp_path, count=1) as cluster:
        find, name = SERVING[part]
        monkeypatch.setattr(find(cluster[1].node), name, broken)
        link, _ = await say_hello(cluster[1], Hello(b"", 0, b""))
        ask = [
            Ping(1),
            Submit(0, msgspec.msgpack.encode(OpenSession(session_key(b"s" * 16))), b"s" * 16),
            StatusRequest(1),
            Query(1, True, [b"a"]),
            Follow(1, 10),
        ]
        link.write(encode_frame(Kind.CLIENT, ask))
        assert await is_dropped(link)
        monkeypatch.undo()
        assert await is_serving(cluster[1])


async def test_what_fails_on_a_peers_link_ends_that_link_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made again, and the cluster goes on meanwhile."""
    async with stage(tmp_path) as cluster, cluster.client() as client:
        victim = (await cluster.followers())[0]
        monkeypatch.setattr(victim.node._doors, "on_peer_messages", broken)
        assert (await client.submit(b"a", timeout=DEADLINE_S)).reply == b"1"
        await eventually(lambda: victim.node.transport.counts["failed"] > 2)
        monkeypatch.undo()
        await cluster.settled()


async def test_a_program_that_is_not_installed_reports_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version is known from the start, or nobody's concern."""

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    async with stage(tmp_path, count=1) as cluster, cluster.client() as client:
        for name in ("version", "distribution"):
            monkeypatch.setattr(importlib.metadata, name, missing)
        assert (await client.status()).node == "n1"


# --- an interrupt from the keyboard ---


class Interrupted(Ledger):
    """Ctrl-C is pressed while it works."""

    def __init__(self) -> None:
        self.went_on = 0

    def apply(self, state: State, command: Command) -> bytes:
        if command.payload == b"^c":
            signal.raise_signal(signal.SIGINT)
            self.went_on += 1
        return super().apply(state, command)

    def query(self, view: StateView, request: bytes) -> bytes:
        if request == b"^c":
            signal.raise_signal(signal.SIGINT)
            self.went_on += 1
        return super().query(view, request)


@pytest.mark.parametrize("how", ["command", "query", "query in place"])
def test_an_interrupt_waits_until_the_turn_is_over(tmp_path: Path, how: str) -> None:
    """The program gets it; no command and no query looks as if it had failed."""
    machine, nodes = Interrupted(), list[Node]()

    async def main() -> None:
        async with stage(tmp_path, count=1, machine=lambda _number: machine) as cluster:
            nodes.append(cluster[1].node)
            async with cluster.client() as client:
                await client.submit(b"a", timeout=DEADLINE_S)
                match how:
                    case "command":
                        await client.submit(b"^c", timeout=DEADLINE_S)
                    case "query":
                        await client.query(b"^c", timeout=DEADLINE_S)
                    case "query in place":
                        assert cluster[1].node.answer_stale(b"^c") == (b"0", False)
                await trio.sleep(DEADLINE_S)

    with pytest.raises(BaseException) as raised:  # noqa: PT011 - it may come in a group
        trio.run(main)
    assert any(isinstance(inner, KeyboardInterrupt) for inner in within(raised.value))
    assert machine.went_on == 1
    assert nodes[0].applier.commands_failed == 0
    assert not isinstance(nodes[0]._failure, KeyboardInterrupt)
