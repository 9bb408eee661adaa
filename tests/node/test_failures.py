"""What a node does when something in it fails: it ends and says why, or mends the damage; half a node never goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import trio
from structlog.testing import capture_logs

from replog.errors import StateDiverged, StorageError, StorageFull
from replog.paxos.ballot import Slot
from replog.wire.client_messages import Ping

from .machines import Moody, Signed
from .stage import DEADLINE_S, Member, Stage, eventually, stage


class Broken(Exception):
    """Raised where a test wants it."""


def broken(*_arguments: object, **_named: object) -> NoReturn:
    raise Broken("on purpose")


def broken_in(task: str, call: Callable[[], None]) -> Callable[[], None]:
    """``call``, broken for the task of that name alone: in trio's own tasks an error is the end of everything."""
    return lambda: broken() if trio.lowlevel.current_task().name.endswith(task) else call()


def within(error: BaseException | None) -> list[BaseException]:
    """What is inside the groups that nurseries make."""
    if isinstance(error, BaseExceptionGroup):
        return [inner for part in error.exceptions for inner in within(part)]
    return [error] if error is not None else []


TASKS: dict[str, Callable[[Member], Any]] = {
    "turns": lambda member: setattr(member.node, "turn", broken),
    "alarm": lambda member: setattr(member.node, "_wake", broken_in("ring_forever", member.node._wake)),
    "idle clients": lambda member: setattr(member.node.clients, "idle_links", broken),
    "thrift": lambda member: setattr(member.node.driver.sending.thrifty, "_is_chosen", broken),
    "the log's writer": lambda member: setattr(member.log, "write", broken),
    "compaction": lambda member: setattr(member.log, "compact", broken),
    "the scrub": lambda member: setattr(member.log, "scrub", broken),
    "the watch over the room": lambda member: setattr(member.log, "is_nearly_full", broken),
    "reading to apply": lambda member: setattr(member.node.applier, "run", broken),
    "the flush": lambda member: setattr(member.state, "flush", broken),
    "the end of a flush": lambda member: setattr(member.state, "end_flush", broken),
}


@pytest.mark.parametrize("task", TASKS)
async def test_a_task_that_raises_ends_the_node_with_its_error(tmp_path: Path, task: str) -> None:
    """The others go on without it, and it comes back when it is started again."""
    options = {"log_tail_slots": 0, "idle_timeout_s": 0.1}
    async with stage(tmp_path, node=options) as cluster, cluster.client() as client:
        await client.submit(b"a")
        victim = await cluster.leader()
        TASKS[task](victim)
        async with cluster.client(victim.number) as asker, trio.open_nursery() as nursery:

            async def ask() -> None:
                while True:
                    asker._traffic._write([Ping(1)])
                    await client.submit(b"b", timeout=DEADLINE_S)

            nursery.start_soon(ask)
            error = await victim.ended()
            nursery.cancel_scope.cancel()
        assert any(isinstance(inner, Broken) for inner in within(error)), error
        assert (await client.submit(b"c", timeout=DEADLINE_S)).reply == b"1"
        for name in ("write", "compact", "scrub", "is_nearly_full"):
            victim.log.__dict__.pop(name, None)
        for name in ("flush", "end_flush"):
            victim.state.__dict__.pop(name, None)
        victim.state.crash()
        await victim.start()
        await client.submit(b"d", timeout=DEADLINE_S)
        await cluster.settled()


async def test_a_peers_file_that_cannot_be_written_ends_the_node(tmp_path: Path) -> None:
    """Who was met must not be forgotten (P9), so a node that can't remember it does not go on."""
    async with stage(tmp_path, starts=False) as cluster:
        (tmp_path / "n1").mkdir()
        cluster[1].new_node()
        (tmp_path / "n1").rmdir()
        await cluster[1].run()
        await cluster[2].start()
        error = await cluster[1].ended()
        assert any(isinstance(inner, StorageError) for inner in within(error)), error


async def test_an_image_that_cannot_be_opened_ends_the_node_that_sends_it(tmp_path: Path) -> None:
    """Sending a state is a task like any other."""
    async with stage(tmp_path, node={"log_tail_slots": 2}) as cluster, cluster.client() as client:
        behind = (await cluster.followers())[0]
        await behind.crash()
        await leave_behind(cluster, client)
        for member in cluster.running:
            member.state.open_snapshot = broken  # type: ignore[method-assign]
        await behind.start()
        await eventually(lambda: len(cluster.running) < 3)
        (sender,) = [member for member in cluster.members if not member.is_running]
        assert any(isinstance(inner, Broken) for inner in within(await sender.ended()))


async def test_an_image_that_cannot_be_stored_ends_the_node_that_receives_it(tmp_path: Path) -> None:
    """Receiving one too."""
    async with stage(tmp_path, node={"log_tail_slots": 2}) as cluster, cluster.client() as client:
        behind = (await cluster.followers())[0]
        await behind.crash()
        await leave_behind(cluster, client)
        behind.state.install_chunk = broken  # type: ignore[method-assign]
        await behind.start()
        assert any(isinstance(inner, Broken) for inner in within(await behind.ended()))


async def leave_behind(cluster: Stage, client: Any) -> None:
    """Commands until nobody who runs has the beginning of the log."""
    for number in range(60):
        await client.submit(b"%d" % number, timeout=DEADLINE_S)
    await eventually(lambda: all(member.node.replica.compacted_through > 30 for member in cluster.running))


# --- what is mended ---


@pytest.mark.parametrize("piece_bytes", [100, 2**20])
async def test_a_node_below_the_floor_receives_the_state(tmp_path: Path, piece_bytes: int) -> None:
    """In one piece or in many, while commands go on; afterwards it is like the others."""
    options = {"log_tail_slots": 2, "state_piece_bytes": piece_bytes}
    async with stage(tmp_path, node=options) as cluster, cluster.client() as client:
        behind = (await cluster.followers())[0]
        await behind.crash()
        await leave_behind(cluster, client)
        await behind.start()
        for number in range(100):
            await client.submit(b"more%d" % number, timeout=DEADLINE_S)
        await cluster.settled()
        assert behind.node.driver.jobs.chunks_stored >= 1
        assert behind.node.replica.is_voting
        async with cluster.client(behind.number) as reader:
            assert await reader.query(b"59", consistency="stale") == b"1"


async def test_a_transfer_that_is_cut_off_goes_on(tmp_path: Path) -> None:
    """Its sender ends in the middle; another node, or the same one again, sends the rest or a new snapshot."""
    options = {"log_tail_slots": 2, "state_piece_bytes": 50}
    async with stage(tmp_path, node=options) as cluster, cluster.client() as client:
        behind = (await cluster.followers())[0]
        await behind.crash()
        await leave_behind(cluster, client)
        await behind.start()
        await eventually(lambda: behind.node.driver.jobs.chunks_stored > 3)
        senders = [member for member in cluster.members if member.node.driver.jobs.chunks_sent and member is not behind]
        for sender in senders:
            await sender.crash()
            await sender.start()
        await client.submit(b"more", timeout=DEADLINE_S)
        await cluster.settled()
        assert senders
        async with cluster.client(behind.number) as reader:
            assert await reader.query(b"59", consistency="stale") == b"1"


async def test_damage_in_what_is_chosen_is_repaired_before_it_is_applied(tmp_path: Path) -> None:
    """A node that has to read its log again finds a damaged slot, gets it from a peer and goes on (P10)."""
    async with stage(tmp_path, node={"flush_interval_s": 60.0, "scrub_interval_s": 60.0}) as cluster:
        async with cluster.client() as client:
            receipts = [await client.submit(b"%d" % number) for number in range(30)]
        await cluster.settled()
        victim = (await cluster.followers())[0]
        await eventually(lambda: victim.log.chosen_through > receipts[20].slot)
        await victim.crash()
        for receipt in (receipts[5], receipts[6], receipts[15]):
            victim.log.damage(Slot(receipt.slot))
        with capture_logs() as lines:
            await victim.start()
            await cluster.settled()
        assert not victim.log.damaged
        assert "damage_repaired" in {line["event"] for line in lines}


async def test_damage_is_found_and_repaired_without_being_needed(tmp_path: Path) -> None:
    """The scrub reads what nobody asks for, while the peers still have it."""
    async with stage(tmp_path) as cluster, cluster.client() as client:
        receipts = [await client.submit(b"%d" % number) for number in range(10)]
        await cluster.settled()
        victim = (await cluster.followers())[0]
        await eventually(lambda: victim.log.chosen_through >= receipts[5].slot)
        victim.log.damage(Slot(receipts[3].slot))
        assert victim.log.damaged
        await eventually(lambda: not victim.log.damaged)
        assert victim.is_running


async def test_damage_in_a_promise_makes_a_node_abstain(tmp_path: Path) -> None:
    """It can't know what it promised: it says so and does not vote, and the others go on (P9)."""
    async with stage(tmp_path) as cluster, cluster.client() as client:
        await client.submit(b"a")
        victim = (await cluster.followers())[0]
        await victim.crash()
        victim.log.damage_promise()
        await victim.start()
        assert (await client.submit(b"a", timeout=DEADLINE_S)).reply == b"2"
        await cluster.settled()
        status = victim.node.status()
        assert not status.is_voting
        assert "promise" in status.problem


async def test_a_state_machine_that_differs_is_caught(tmp_path: Path) -> None:
    """The node whose state differs from the others' stops, with the slot; the others go on."""
    async with (
        stage(
            tmp_path,
            machine=lambda number: Moody(is_different=number == 2),
            sessions={"digest_interval_slots": 1},
        ) as cluster,
        cluster.client() as client,
    ):
        await client.submit(b"a")
        await cluster.settled()
        await client.submit(b"odd", timeout=DEADLINE_S)
        error = await cluster[2].ended()
        (told,) = [str(inner) for inner in within(error) if isinstance(inner, StateDiverged)]
        for cause in ("slot", "not deterministic", "Python", "[sessions]", "damaged"):
            assert cause in told
        assert (await client.submit(b"a", timeout=DEADLINE_S)).reply == b"2"
        assert len(cluster.running) == 2


async def test_states_that_all_differ_are_told_by_all_for_as_long_as_they_do(tmp_path: Path) -> None:
    """Nobody can say who is right: everybody goes on, and says so in its status and its log."""
    with capture_logs() as logs:
        async with (
            stage(tmp_path, machine=Signed, sessions={"digest_interval_slots": 1}) as cluster,
            cluster.client() as client,
        ):
            await client.submit(b"a")
            await eventually(
                lambda: all(member.node.status().is_contradicted for member in cluster.running), "all three say so"
            )
            assert (await client.submit(b"a", timeout=DEADLINE_S)).reply.startswith(b"2")
            assert len(cluster.running) == 3
            status = cluster[1].node.status()
            assert "its state differs from" in status.problem
            assert status.is_clock_right
            assert abs(status.clock_offset_ms or 0) < 5_000
    told = [line for line in logs if line["event"] == "state_contradicted"]
    assert {line["log_level"] for line in told} == {"warning"}


async def test_a_state_disk_without_room_is_waited_for(tmp_path: Path) -> None:
    """The flush is tried again until there is room; what is not durable stays in memory meanwhile."""
    async with stage(tmp_path) as cluster, cluster.client() as client:
        await client.submit(b"a")
        member = (await cluster.followers())[0]
        whole_flush = member.state.flush

        def full() -> NoReturn:
            raise StorageFull("no room")

        member.state.flush = full  # type: ignore[method-assign]
        await client.submit(b"b")
        await eventually(lambda: member.node.status().is_storage_full)
        member.state.flush = whole_flush  # type: ignore[method-assign]
        await eventually(lambda: not member.node.status().is_storage_full)
        await eventually(lambda: member.state.durable_through == member.node.applied_through)


async def test_a_clean_stop_hands_over_and_flushes(tmp_path: Path) -> None:
    """Clients wait for a message instead of a timeout, and nothing has to be replayed."""
    async with stage(tmp_path) as cluster, cluster.client() as client:
        await client.submit(b"a")
        leader = await cluster.leader()
        await leader.stop()
        assert leader.state.durable_through == leader.node.applied_through
        others = [member for member in cluster.members if member is not leader]
        assert any(member.node.replica.is_leading for member in others)
        assert (await client.submit(b"a", timeout=DEADLINE_S)).reply == b"2"


async def test_everything_is_there_after_all_crash_together(tmp_path: Path) -> None:
    """What was acknowledged is on a quorum's disks, whatever was flushed."""
    async with stage(tmp_path, node={"flush_interval_s": 60.0}) as cluster, cluster.client() as client:
        for _ in range(3):
            await client.submit_many([b"a"] * 10, timeout=DEADLINE_S)
            for member in cluster.members:
                await member.crash()
            for member in cluster.members:
                await member.start()
        assert await client.query(b"a", timeout=DEADLINE_S) == b"30"
        await cluster.settled()


async def test_applying_waits_for_a_flush_that_is_slower(tmp_path: Path) -> None:
    """Changed keys in memory are bounded: a flush begins without waiting for its time, and applying waits for it."""
    keys_max, commands = 8, 60
    gate = threading.Event()
    options = {"flush_interval_s": 60.0, "unflushed_keys_max": keys_max}
    async with stage(tmp_path, node=options) as cluster, cluster.client() as client, trio.open_nursery() as nursery:
        state = (await cluster.leader()).state
        flush, answered = state.flush, 0

        def flush_when_let() -> None:
            assert gate.wait(DEADLINE_S)
            flush()

        async def submit() -> None:
            nonlocal answered
            for number in range(commands):
                await client.submit(b"%d" % number)
                answered += 1

        state.flush = flush_when_let  # type: ignore[method-assign]
        nursery.start_soon(submit)
        await eventually(lambda: answered >= keys_max and state.unflushed_keys >= keys_max)
        await trio.sleep(0.1)
        assert state.unflushed_keys < 2 * keys_max
        assert answered < commands
        gate.set()
        await eventually(lambda: answered == commands)
