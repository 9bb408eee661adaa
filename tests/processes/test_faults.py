"""Real replica processes that are killed, stopped and restarted under load: no command is lost, none runs twice."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
import trio

from replog import LocalCluster, local_cluster
from replog.directory.layout import format_directory
from replog.errors import Unavailable
from replog.paxos.ballot import NodeId
from replog.paxos.membership import Membership
from replog.wire.client_messages import NodeMessage, Query, QueryAnswers
from replog.wire.codec import Kind, decode_payload, encode_frame
from replog.wire.dialing import dial
from replog.wire.link import Link, LinkClosed

from .load import DEADLINE_S, MACHINE, Load, check, has_said, load, said, settled, status_of

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

STOP_LIMIT_S = 5.0
QUESTION_LINKS = 16
"""So many that one of them is read before the peers tell the leader that it leads no more."""


async def follower_of(cluster: LocalCluster) -> str:
    leader = await cluster.leader()
    return next(name for name in cluster.nodes if name != leader)


@pytest.mark.parametrize("role", ["leader", "follower"])
async def test_a_node_is_killed_and_comes_back(tmp_path: Path, role: str) -> None:
    """Commands go on without it; it comes back on its directory and is like the others."""
    async with local_cluster(state_machine=MACHINE, data_dir=tmp_path) as cluster:
        async with load(cluster) as the_load:
            for _ in range(2):
                victim = await cluster.leader() if role == "leader" else await follower_of(cluster)
                cluster.kill(victim)
                await cluster.wait_ended(victim)
                await the_load.goes_on(200)
                await cluster.start(victim)
                await the_load.goes_on(100)
        await check(cluster, the_load)


async def test_all_nodes_are_killed_together(tmp_path: Path) -> None:
    """What was acknowledged is on disk; who waits for an answer gets it when they are back."""
    async with local_cluster(state_machine=MACHINE, data_dir=tmp_path) as cluster:
        async with load(cluster) as the_load:
            for _ in range(2):
                for name in cluster.nodes:
                    cluster.kill(name)
                for name in cluster.nodes:
                    await cluster.wait_ended(name)
                async with trio.open_nursery() as nursery:
                    for name in cluster.nodes:
                        nursery.start_soon(cluster.start, name)
                await the_load.goes_on()
        await check(cluster, the_load)


class Questions:
    """Linearizable reads sent to one node over one link, each with what it must at least see."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._floors: dict[int, int] = {}
        self.answered = 0

    def ask(self, floor: int) -> None:
        number = len(self._floors) + 1
        self._floors[number] = floor
        self._link.write(encode_frame(Kind.CLIENT, [Query(number, False, [b"total"])]))

    async def listen(self) -> None:
        """Until the link ends: every answer is at least as new as its question."""
        try:
            while True:
                for _, payload in await self._link.receive():
                    messages: list[NodeMessage] = decode_payload(Kind.NODE, payload, list)
                    for message in messages:
                        if isinstance(message, QueryAnswers):
                            self._check(message)
        except LinkClosed:
            pass

    def _check(self, message: QueryAnswers) -> None:
        for number, answer in enumerate(message.answers, message.first_id):
            assert int(answer) >= self._floors[number], "a stale read was answered as linearizable"
            self.answered += 1


async def test_a_leader_that_was_stopped_never_answers_from_the_past(tmp_path: Path) -> None:
    """It wakes up believing that it leads; what it was asked meanwhile it must not answer from its old state."""
    async with local_cluster(state_machine=MACHINE, data_dir=tmp_path) as cluster:
        async with load(cluster) as the_load:
            leader = await cluster.leader()
            links = [(await dial(cluster.endpoint(leader), b"", "questions"))[0] for _ in range(QUESTION_LINKS)]
            asking = [Questions(link) for link in links]

            def ask() -> None:
                for questions in asking:
                    questions.ask(len(the_load.acknowledged))

            async with trio.open_nursery() as nursery:
                for link, questions in zip(links, asking, strict=True):
                    nursery.start_soon(link.drain_forever)
                    nursery.start_soon(questions.listen)
                ask()
                with trio.fail_after(DEADLINE_S):
                    while not all(questions.answered for questions in asking):  # noqa: ASYNC110 - another process
                        await trio.sleep(0.01)
                cluster.kill(leader, signal.SIGSTOP)
                for _ in range(20):
                    await the_load.goes_on(50)
                    ask()
                cluster.kill(leader, signal.SIGCONT)
                for _ in range(20):
                    await the_load.goes_on(20)
                    ask()
                nursery.cancel_scope.cancel()
            for link in links:
                link.close()
            assert await cluster.leader() != leader
        await check(cluster, the_load)


async def test_every_node_is_restarted_in_turn(tmp_path: Path) -> None:
    """SIGTERM hands over and ends with 0; a client that retries sees no failed call."""
    async with local_cluster(state_machine=MACHINE, data_dir=tmp_path) as cluster:
        async with load(cluster) as the_load:
            first = await cluster.leader()
            for name in (first, *(other for other in cluster.nodes if other != first)):
                assert await cluster.stop(name, timeout_s=STOP_LIMIT_S) == 0
                await the_load.goes_on()
                await cluster.start(name)
                await the_load.goes_on()
        events = [line["event"] for line in said(cluster, first)]
        assert "stopped" in events
        await check(cluster, the_load)


@pytest.mark.parametrize("tail_slots", [100_000, 50])
async def test_a_node_that_was_away_catches_up_under_load(tmp_path: Path, tail_slots: int) -> None:
    """From the peers' logs, or by fetching the state where they do not reach back any more."""
    settings = {"node": {"log_tail_slots": tail_slots, "flush_interval_s": 0.05}}
    async with local_cluster(state_machine=MACHINE, data_dir=tmp_path, settings=settings) as cluster:
        async with load(cluster) as the_load:
            away = await follower_of(cluster)
            cluster.kill(away)
            await cluster.wait_ended(away)
            await the_load.goes_on(5_000)
            await cluster.start(away)
            before = await status_of(cluster, await cluster.leader())
            with trio.fail_after(DEADLINE_S):
                while (await status_of(cluster, away)).applied_through < before.applied_through:  # noqa: ASYNC110
                    await trio.sleep(0.05)
            stored = (await status_of(cluster, away)).counters["chunks_stored"]
            assert (stored > 0) == (tail_slots == 50)
        await check(cluster, the_load)


async def test_a_directory_that_was_formatted_anew_is_refused(tmp_path: Path) -> None:
    """Its promises are lost (P9): nobody lets it in, each log says why, and the others go on."""
    async with local_cluster(state_machine=MACHINE, data_dir=tmp_path) as cluster:
        async with load(cluster) as the_load:
            victim = "n3"
            for other in ("n1", "n2"):  # each knows the incarnation that it met first
                await has_said(cluster, other, "peer_connected", victim)
            await cluster.stop(victim)
            reformat(cluster, victim, bytes.fromhex((tmp_path / "cluster-id").read_text()))
            await cluster.start(victim)
            for name in cluster.nodes:
                await has_said(cluster, name, "link_refused", "n3 has another incarnation")
            await the_load.goes_on()
        assert (await status_of(cluster, victim)).applied_through == 0
        cluster.kill(victim)
        await cluster.wait_ended(victim)
        await check(cluster, the_load)


async def test_a_node_of_another_cluster_is_refused(tmp_path: Path) -> None:
    """An address that was mistaken for this cluster's harms neither, and both logs say it."""
    async with local_cluster(state_machine=MACHINE, data_dir=tmp_path) as cluster:
        async with load(cluster) as the_load:
            victim = "n1"
            await cluster.stop(victim)
            reformat(cluster, victim, b"another cluster!")
            await cluster.start(victim)
            for name in cluster.nodes:
                await has_said(cluster, name, "link_refused", "belongs to cluster")
            await the_load.goes_on()
        cluster.kill(victim)
        await cluster.wait_ended(victim)
        await check(cluster, the_load)


def reformat(cluster: LocalCluster, name: str, cluster_id: bytes) -> None:
    shutil.rmtree(cluster.data_dir(name))
    voters = tuple(NodeId(int(node[1:])) for node in cluster.nodes)
    membership = Membership(version=1, voters=voters)
    format_directory(cluster.data_dir(name), node=NodeId(int(name[1:])), cluster=cluster_id, membership=membership)


async def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    """A lost disk never becomes an empty node by being started."""
    async with local_cluster(state_machine=MACHINE, data_dir=tmp_path) as cluster:
        async with load(cluster) as the_load:
            await cluster.stop("n2")
            shutil.rmtree(cluster.data_dir("n2"))
            with pytest.raises(Unavailable, match="ended with exit code 4"):
                await cluster.start("n2")
            await the_load.goes_on()
        await check(cluster, the_load)


async def test_leadership_moves_under_load_without_a_failed_call(tmp_path: Path) -> None:
    """On demand, again and again; digests stay equal."""
    async with local_cluster(state_machine=MACHINE, data_dir=tmp_path) as cluster:
        loads: list[Load] = []
        async with load(cluster, name="first") as first, load(cluster, name="second") as second:
            loads += [first, second]
            for _ in range(6):
                target = await follower_of(cluster)
                await first.client.transfer_leadership(target, timeout=DEADLINE_S)
                await first.goes_on(50)
                await second.goes_on(50)
        await settled(cluster)
        await check(cluster, *loads)
