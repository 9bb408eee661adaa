"""A node that goes on from another's state: what it does meanwhile, and what a crash in between leaves."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import crc32c
import pytest
import trio

from replog.client import Client
from replog.errors import StorageFull
from replog.paxos.ballot import Ballot, Slot, node_name
from replog.paxos.effects import LogWrite
from replog.paxos.messages import AcceptedSlot
from replog.paxos.values import Batch, encode_value

from .stage import DEADLINE_S, Crashed, Member, Stage, eventually, stage


async def fill(client: Client, count: int, name: bytes = b"line") -> None:
    """A leader whose disk is full refuses until it has handed over."""
    for number in range(count):
        await submit_somehow(client, b"%s %d" % (name, number))


async def submit_somehow(client: Client, payload: bytes) -> None:
    with trio.fail_after(DEADLINE_S):
        while True:
            try:
                await client.submit(payload, timeout=DEADLINE_S)
            except StorageFull:
                await trio.sleep(0.02)
            else:
                return


async def leave_behind(cluster: Stage, client: Client) -> Member:
    """A follower is down, and nobody who runs has the slots that it lacks."""
    behind = (await cluster.followers())[0]
    await fill(client, 10)
    await behind.crash()
    await fill(client, 80)
    await eventually(lambda: all(member.node.replica.compacted_through > 60 for member in cluster.running))
    return behind


def unable(*_arguments: object) -> None:
    raise Crashed


async def test_a_crash_between_state_and_floor_teaches_nobody_what_lost(tmp_path: Path) -> None:
    """P6: the node had accepted values in the slots that its new state covers; they lost, and they go."""
    async with stage(tmp_path, node={"log_tail_slots": 2}) as cluster, cluster.client() as client:
        behind = await leave_behind(cluster, client)
        log, low = behind.log, Ballot(0, behind.number)
        value = encode_value(Batch(0, [b"lost"]))
        lost = [AcceptedSlot(Slot(n), low, crc32c.crc32c(value), value) for n in range(log.chosen_through + 1, 200)]
        log.write([LogWrite(None, tuple(lost), None)])
        log.install_floor = unable  # type: ignore[method-assign]
        await behind.start()
        behind.is_awaited = True
        await behind.ended()
        del log.__dict__["install_floor"]
        behind.state.crash()
        installed = behind.state.durable_through
        assert installed > 60
        assert log.compacted_through < installed
        behind.new_node()
        assert (behind.node.replica.chosen_through, log.compacted_through) == (installed, installed)
        await behind.run()
        await client.submit(b"one more")
        await cluster.settled()


async def test_a_state_that_goes_over_a_damaged_slot_is_applied_to(tmp_path: Path) -> None:
    """The slot that applying waited for is never repaired: it is gone, and nothing waits for it any more."""
    async with stage(tmp_path, node={"log_tail_slots": 2}) as cluster, cluster.client() as client:
        await client.submit(b"first")
        victim = (await cluster.followers())[0]
        await eventually(lambda: victim.node.driver.jobs.is_durable)
        victim.state.begin_flush = lambda _through: False  # type: ignore[method-assign]
        await fill(client, 20)
        await eventually(lambda: victim.log.chosen_through > victim.state.durable_through + 1)
        await victim.crash()
        del victim.state.__dict__["begin_flush"]
        await fill(client, 80)
        await eventually(lambda: all(member.node.replica.compacted_through > 60 for member in cluster.running))
        victim.log.damage(Slot(victim.state.durable_through + 1))
        await victim.start()
        await fill(client, 20)
        await cluster.settled()
        await client.transfer_leadership(node_name(victim.number))
        await eventually(lambda: victim.node.replica.is_leading)
        await client.submit(b"last", timeout=DEADLINE_S)


async def test_compaction_that_is_due_beside_an_install_ends_nobody(tmp_path: Path) -> None:
    """The writer's thread reports the floor and what it compacts after it; the core hears of the floor first."""
    async with stage(tmp_path, node={"log_tail_slots": 2, "wait_for_commit_s_max": 0.0}) as cluster:
        async with cluster.client() as client, trio.open_nursery() as nursery:
            behind = await leave_behind(cluster, client)
            write: Callable[[list[LogWrite]], None] = behind.log.write

            def slow(writes: list[LogWrite]) -> None:
                time.sleep(0.03)
                write(writes)

            behind.log.write = slow  # type: ignore[method-assign]
            behind.is_write_threaded = True

            async def load() -> None:
                while True:
                    await client.submit(b"more", timeout=DEADLINE_S)

            for _ in range(3):
                nursery.start_soon(load)
            await behind.start()
            jobs = behind.node.driver.jobs
            await eventually(lambda: jobs.chunks_stored and behind.node.replica.compacted_through > 90)
            await trio.sleep(0.5)
            nursery.cancel_scope.cancel()
        assert behind.is_running, behind.error
        del behind.log.__dict__["write"]


def full(*_arguments: object) -> Any:
    raise StorageFull("no room for the state")


@pytest.mark.parametrize("is_full", [False, True])
async def test_a_leader_that_applies_nothing_says_so_and_gives_way(tmp_path: Path, *, is_full: bool) -> None:
    """Its state can't be flushed, because the disk is full or hangs, and so much is unflushed that applying waits."""
    options = {"unflushed_keys_max": 8, "flush_interval_s": 0.02}
    async with stage(tmp_path, node=options, paxos={"apply_stall_rounds": 6}) as cluster, cluster.client() as client:
        leader = await cluster.leader()
        await client.submit(b"first")
        if is_full:
            leader.state.flush = full  # type: ignore[method-assign]
        else:
            leader.state.begin_flush = lambda _through: False  # type: ignore[method-assign]
        await fill(client, 40)
        await eventually(lambda: not leader.node.replica.is_leading)
        await fill(client, 40)
        await eventually(lambda: "nothing was applied" in leader.node.status().problem)
        assert (await cluster.leader()).number != leader.number
        leader.state.__dict__.pop("flush", None)
        leader.state.__dict__.pop("begin_flush", None)
        await cluster.settled()
        await eventually(lambda: leader.node.status().problem == "")


async def test_a_full_leader_leaves_when_a_follower_has_room_again(tmp_path: Path) -> None:
    """Everybody is full, so it stays; the first who has room takes over, and commands go on."""
    async with stage(tmp_path) as cluster, cluster.client() as client:
        leader = await cluster.leader()
        for member in cluster.members:
            member.log.is_full = True
        await eventually(lambda: all(member.node.replica.is_storage_full for member in cluster.members))
        await trio.sleep(0.3)
        leader = await cluster.leader()
        spare = next(member for member in cluster.members if member is not leader)
        spare.log.is_full = False
        await eventually(lambda: spare.node.replica.is_leading)
        await client.submit(b"a", timeout=DEADLINE_S)
