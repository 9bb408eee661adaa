"""Nodes and clients in one program: what a client can ask, and what every answer promises."""

from __future__ import annotations

from contextlib import AsyncExitStack, aclosing
from functools import partial
from pathlib import Path

import pytest
import trio

from replog.client import Client, Consistency, decode_entry
from replog.errors import CommandFailed, CommandTooLarge, OutcomeUnknown, Overloaded, Refused, StorageFull, Unavailable

from .stage import DEADLINE_S, Stage, eventually, stage


async def submit_all(client: Client, payloads: list[bytes]) -> dict[bytes, bytes]:
    """Each payload from a caller of its own; the replies."""
    replies: dict[bytes, bytes] = {}

    async def submit(payload: bytes) -> None:
        replies[payload] = (await client.submit(payload, timeout=DEADLINE_S)).reply

    async with trio.open_nursery() as nursery:
        for payload in payloads:
            nursery.start_soon(submit, payload)
    return replies


async def test_a_command_is_run_on_every_replica(tmp_path: Path) -> None:
    """The receipt has the reply and the place, and all replicas come to the same digest."""
    async with stage(tmp_path) as cluster, cluster.client() as client:
        first = await client.submit(b"a")
        second = await client.submit(b"a")
        assert (first.reply, second.reply) == (b"1", b"2")
        assert (first.slot, first.offset) < (second.slot, second.offset)
        await cluster.settled()


async def test_one_node_is_a_cluster(tmp_path: Path) -> None:
    """A cluster of one needs nobody's vote but its own."""
    async with stage(tmp_path, count=1) as cluster, cluster.client() as client:
        assert (await client.submit(b"a")).reply == b"1"


async def test_many_callers_share_frames_and_slots(tmp_path: Path) -> None:
    """Commands that wait together are one submission, so the cost between the ends is not per command."""
    async with stage(tmp_path) as cluster, cluster.client() as client:
        await client.submit(b"first")
        before = (await cluster.leader()).node.driver.serving.submissions
        replies = await submit_all(client, [b"%d" % number for number in range(500)])
        assert set(replies.values()) == {b"1"}
        assert (await cluster.leader()).node.driver.serving.submissions - before < 50
        await cluster.settled()


async def test_many_commands_of_one_caller_keep_their_order(tmp_path: Path) -> None:
    """``submit_many`` answers in order, with ascending places."""
    async with stage(tmp_path) as cluster, cluster.client() as client:
        receipts = await client.submit_many([b"a"] * 5_000)
        assert [receipt.reply for receipt in receipts] == [b"%d" % number for number in range(1, 5_001)]
        places = [(receipt.slot, receipt.offset) for receipt in receipts]
        assert places == sorted(places)
        assert await client.submit_many([]) == []


async def test_more_bytes_than_one_frame_holds(tmp_path: Path) -> None:
    """Callers with large commands share a connection; no frame becomes larger than a node takes."""
    async with (
        stage(tmp_path, transport={"client_payload_bytes_max": 1_100_000}) as cluster,
        cluster.client() as client,
    ):
        await client.submit(b"first")
        replies = await submit_all(client, [b"%03d" % number * 200_000 for number in range(8)])
        assert set(replies.values()) == {b"1"}
        receipts = await client.submit_many([b"%03d" % (number + 500) * 100_000 for number in range(12)])
        assert {receipt.reply for receipt in receipts} == {b"1"}


async def test_more_reads_than_one_frame_holds(tmp_path: Path) -> None:
    """Reads that wait together are asked in frames that a node takes."""
    async with (
        stage(tmp_path, transport={"client_payload_bytes_max": 1_100_000}) as cluster,
        cluster.client() as client,
    ):
        await client.submit(b"first")
        answers: list[bytes] = []

        async def ask(request: bytes) -> None:
            answers.append(await client.query(request, timeout=DEADLINE_S))

        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(ask, b"%05d" % number * 10_000)
        assert answers == [b"0"] * 50


async def test_large_answers_come_as_they_are_taken(tmp_path: Path) -> None:
    """Small requests may have large answers: together they are more than one frame and one buffer hold."""
    async with stage(tmp_path) as cluster, cluster.client() as client:
        sizes: list[int] = []

        async def ask(consistency: Consistency) -> None:
            sizes.append(len(await client.query(b"?1000000", consistency=consistency, timeout=DEADLINE_S)))

        async with trio.open_nursery() as nursery:
            for _ in range(40):
                nursery.start_soon(ask, "linearizable")
                nursery.start_soon(ask, "stale")
        assert sizes == [1_000_000] * 80
        with pytest.raises(CommandFailed, match="an answer has at most"):
            await client.query(b"?40000000")


async def test_a_read_sees_what_was_acknowledged(tmp_path: Path) -> None:
    """A linearizable read from another client, connected to a follower, sees the command."""
    async with stage(tmp_path) as cluster:
        (follower, *_) = await cluster.followers()
        async with cluster.client() as writer, cluster.client(follower.number) as reader:
            for number in range(1, 20):
                await writer.submit(b"a")
                assert await reader.query(b"a") == b"%d" % number


async def test_a_stale_read_is_answered_by_whoever_is_connected(tmp_path: Path) -> None:
    """It needs no leader and no quorum."""
    async with stage(tmp_path) as cluster:
        async with cluster.client() as client:
            await client.submit(b"a")
        await cluster.settled()
        (stays, goes) = await cluster.followers()
        await (await cluster.leader()).crash()
        await goes.crash()
        async with cluster.client(stays.number) as client:
            assert await client.query(b"a", consistency="stale") == b"1"


async def test_a_command_that_raises_is_an_answer(tmp_path: Path) -> None:
    """Its writes are undone, it says what was raised, and the cluster goes on."""
    async with stage(tmp_path) as cluster, cluster.client() as client:
        with pytest.raises(CommandFailed, match="ValueError: !no"):
            await client.submit(b"!no")
        assert await client.query(b"total") == b"0"
        await client.submit(b"a")
        await cluster.settled()


async def test_a_query_that_raises_is_an_answer(tmp_path: Path) -> None:
    """The others that were asked with it have theirs."""
    async with stage(tmp_path) as cluster, cluster.client() as client:
        with pytest.raises(CommandFailed, match="ValueError: !no"):
            await client.query(b"!no")
        with pytest.raises(CommandFailed, match="ValueError: !no"):
            await client.query(b"!no", consistency="stale")
        assert await client.query(b"a") == b"0"


async def test_a_wrong_consistency_is_the_callers_mistake(tmp_path: Path) -> None:
    """Nothing is asked."""
    async with stage(tmp_path, count=1) as cluster, cluster.client() as client:
        with pytest.raises(ValueError, match="consistency"):
            await client.query(b"a", consistency="eventual")  # type: ignore[arg-type]


async def test_a_command_above_the_limit_is_never_sent(tmp_path: Path) -> None:
    """The largest one that is allowed goes through; one byte more is refused here."""
    async with stage(tmp_path, node={"command_bytes_max": 10_000}) as cluster, cluster.client() as client:
        await client.submit(b"first")
        assert (await client.submit(b"x" * 10_000)).reply == b"1"
        with pytest.raises(CommandTooLarge, match="10,000"):
            await client.submit(b"x" * 10_001)
        with pytest.raises(CommandTooLarge):
            await client.submit_many([b"a", b"x" * 10_001])
        assert await client.query(b"a") == b"0"


async def test_a_read_above_the_limit_is_never_sent(tmp_path: Path) -> None:
    """It would be dropped with its connection, again and again."""
    async with stage(tmp_path, node={"command_bytes_max": 10_000}) as cluster, cluster.client() as client:
        await client.submit(b"first")
        with pytest.raises(CommandTooLarge):
            await client.query(b"x" * 2_000_000)


async def test_the_log_can_be_followed(tmp_path: Path) -> None:
    """All slots from the first on, in order and without gaps, while they are made."""
    async with stage(tmp_path) as cluster, cluster.client() as client:
        receipts = [await client.submit(b"%d" % number) for number in range(300)]
        seen = []
        with trio.fail_after(DEADLINE_S):
            async with aclosing(client.follow(1)) as entries:
                async for entry in entries:
                    seen.append(entry)
                    if entry.slot == receipts[-1].slot:
                        break
        assert [entry.slot for entry in seen] == list(range(1, receipts[-1].slot + 1))
        assert any(decode_entry(entry).commands for entry in seen)


async def test_following_goes_on_after_a_node_is_lost(tmp_path: Path) -> None:
    """The next slot is asked from another node, and none comes twice."""
    async with stage(tmp_path) as cluster, cluster.client() as client:
        await client.submit_many([b"%d" % number for number in range(50)])
        slots: list[int] = []

        async def follow() -> None:
            async with aclosing(client.follow(1)) as entries:
                async for entry in entries:
                    slots.append(entry.slot)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            await eventually(lambda: len(slots) > 2)
            for member in cluster.members:
                await member.crash()
                await member.start()
                receipt = await client.submit(b"more", timeout=DEADLINE_S)
                await eventually(lambda last=receipt.slot: slots[-1] >= last)
            nursery.cancel_scope.cancel()
        assert slots == list(range(1, slots[-1] + 1))


async def compact_all(cluster: Stage, client: Client) -> None:
    """Give every node something to drop, and wait until it has."""
    for number in range(30):
        await client.submit(b"%d" % number)
    await eventually(lambda: all(member.node.replica.compacted_through > 10 for member in cluster.running))


@pytest.mark.parametrize("down", [0, 1])
async def test_following_what_is_compacted_away_is_refused(tmp_path: Path, down: int) -> None:
    """The error says where the log begins; a node that is down does not keep the asker waiting for ever."""
    async with stage(tmp_path, node={"log_tail_slots": 2}) as cluster, cluster.client() as client:
        await compact_all(cluster, client)
        for follower in (await cluster.followers())[:down]:
            await follower.crash()
        with trio.fail_after(DEADLINE_S), pytest.raises(Refused, match="the log begins at slot"):
            async for _ in client.follow(1):
                pass


async def test_a_node_says_how_it_is(tmp_path: Path) -> None:
    """Each connected node describes itself."""
    async with stage(tmp_path) as cluster:
        async with cluster.client() as client:
            await client.submit(b"a")
        await cluster.settled()
        leader = await cluster.leader()
        for member in cluster.members:
            async with cluster.client(member.number) as client:
                status = await client.status()
            assert status.node == f"n{member.number}"
            assert status.role == ("leader" if member is leader else "follower")
            assert status.leader_address == leader.address
            assert status.members == {f"n{other.number}": other.address for other in cluster.members}
            assert status.applied_through >= 2
            assert len(bytes.fromhex(status.digest)) == 16


async def test_leadership_is_handed_over_on_demand(tmp_path: Path) -> None:
    """To the node named, and a client that is connected elsewhere is sent to who can do it."""
    async with stage(tmp_path) as cluster, cluster.client() as client:
        (target, other) = await cluster.followers()
        async with cluster.client(other.number) as asker:
            await asker.transfer_leadership(f"n{target.number}")
        await eventually(lambda: target.node.replica.is_leading)
        assert (await client.submit(b"a", timeout=DEADLINE_S)).reply == b"1"
        with pytest.raises(Refused, match="not handed over: n9 is not a voter"):
            await client.transfer_leadership("n9")
        with pytest.raises(ValueError, match="'two' is no node"):
            await client.transfer_leadership("two")


async def test_a_hand_over_waits_for_a_leader_and_its_target(tmp_path: Path) -> None:
    """Asked of a node that is alone, it is done when two more have come, the target last."""
    async with stage(tmp_path, starts=False) as cluster, cluster.client(1) as client, trio.open_nursery() as nursery:
        await cluster[1].start()
        nursery.start_soon(partial(client.transfer_leadership, "n3", timeout=DEADLINE_S))
        await client.status()
        await client.status()  # so the request sent before it was answered, too
        await cluster[2].start()
        await cluster.leader()
        await cluster[3].start()
        await eventually(lambda: cluster[3].node.replica.is_leading)


async def test_a_target_that_stays_away_is_refused_in_the_end(tmp_path: Path) -> None:
    """With the leader's reason; it leads on."""
    async with stage(tmp_path) as cluster, cluster.client() as client:
        (target, _other) = await cluster.followers()
        await target.crash()
        with pytest.raises(Refused, match=f"n{target.number} has not answered lately"):
            await client.transfer_leadership(f"n{target.number}", timeout=0.5)
        assert (await client.submit(b"a", timeout=DEADLINE_S)).reply == b"1"


async def test_clients_go_on_through_changes_of_leader(tmp_path: Path) -> None:
    """Every command is run once, whoever led when it was sent."""
    async with stage(tmp_path) as cluster, cluster.client() as client:
        done: list[bytes] = []

        async def submit_forever(name: str) -> None:
            number = 0
            while True:
                number += 1
                payload = f"{name}/{number}".encode()
                receipt = await client.submit(payload, timeout=DEADLINE_S)
                assert receipt.reply == b"1"
                done.append(payload)

        async with trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(submit_forever, f"caller{number}")
            for _ in range(3):
                leader = await cluster.leader()
                await leader.crash()
                before = len(done)
                await eventually(lambda count=before: len(done) > count + 20, "commands go on")
                await leader.start()
                await eventually(lambda count=before: len(done) > count + 40, "commands go on")
            nursery.cancel_scope.cancel()
        for payload in done:
            assert await client.query(payload) == b"1"
        await cluster.settled()


async def test_without_a_quorum_the_outcome_is_unknown(tmp_path: Path) -> None:
    """What was sent may be done later, and is then done once at most; the error says so and where it was sent."""
    async with stage(tmp_path) as cluster, cluster.client() as client:
        await client.submit(b"first")
        leader = await cluster.leader()
        for member in await cluster.followers():
            await member.crash()
        with pytest.raises(OutcomeUnknown, match="may be done"):
            await client.submit(b"a", timeout=0.2)
        for member in cluster.members:
            if member is not leader:
                await member.start()
        await client.submit(b"b", timeout=DEADLINE_S)
        assert await client.query(b"a") in (b"0", b"1")
        await cluster.settled()


async def test_nobody_there_is_said_by_name(tmp_path: Path) -> None:
    """Never sent, so definitely not done; each node that can't be reached is named with its reason."""
    async with stage(tmp_path, starts=False) as cluster, cluster.client() as client:
        with pytest.raises(Unavailable, match="definitely not done") as caught:
            await client.submit(b"a", timeout=1.0)
        for address in cluster.endpoints:
            assert address in str(caught.value)
        assert "refused" in str(caught.value)
        with pytest.raises(Unavailable):
            await client.query(b"a", timeout=0.2)
        with pytest.raises(Unavailable):
            await client.status(timeout=0.2)


async def test_what_the_queue_does_not_hold_is_overload(tmp_path: Path) -> None:
    """A leader that can't take a submission says so, again and again; at the deadline it is definitely not done.

    Unless the deadline falls between sending and hearing: then the client can't know, and says that.
    """
    async with stage(tmp_path, paxos={"queue_bytes_max": 5_000}) as cluster, cluster.client() as client:
        await client.submit(b"first")
        errors: list[Exception] = []
        while not any(isinstance(error, Overloaded) for error in errors):
            with pytest.raises((Overloaded, OutcomeUnknown), match=r"queue is full|may be done") as caught:
                await client.submit(b"x" * 6_000, timeout=0.2)
            errors.append(caught.value)
        assert (await client.submit(b"a", timeout=DEADLINE_S)).reply == b"1"
        assert await client.query(b"x" * 64) == b"0"


async def test_a_busy_leader_makes_clients_wait_and_keeps_them(tmp_path: Path) -> None:
    """While nothing leaves the queue clients are not read; they hear that it lives, and nobody dials again."""
    options = {"queue_submissions_max": 2, "window_slots": 1, "election_rounds": 40}
    async with stage(tmp_path, paxos=options) as cluster:
        leader = await cluster.leader()
        followers = await cluster.followers()
        async with AsyncExitStack() as clients:
            connected = [await clients.enter_async_context(cluster.client(leader.number)) for _ in range(6)]
            async with trio.open_nursery() as nursery:
                for client in connected:
                    await client.submit(b"first")
                for member in followers:
                    await member.crash()
                replies: list[bytes] = []

                async def submit(client: Client, payload: bytes) -> None:
                    replies.append((await client.submit(payload, timeout=DEADLINE_S)).reply)

                for number, client in enumerate(connected):
                    nursery.start_soon(submit, client, b"%d" % number)
                reconnects = [client.reconnects for client in connected]
                await trio.sleep(0.8)  # longer than a client bears silence; the leader steps down after 2 s
                assert [client.reconnects for client in connected] == reconnects
                for member in followers:
                    await member.start()
                await eventually(lambda: len(replies) == len(connected))
                assert set(replies) == {b"1"}


async def test_a_full_disk_is_said_and_passes(tmp_path: Path) -> None:
    """New commands are refused at once, reads go on, and everything recovers when there is room."""
    async with stage(tmp_path) as cluster, cluster.client() as client:
        await client.submit(b"a")
        for member in cluster.members:
            member.log.is_full = True
        await eventually(lambda: all(member.node.status().is_storage_full for member in cluster.members))
        with pytest.raises((StorageFull, OutcomeUnknown), match=r"make room|may be done"):
            await _submit_until_refused(client)
        async with cluster.client() as other:
            with pytest.raises(StorageFull, match="make room"):
                await other.submit(b"new client", timeout=DEADLINE_S)
        assert await client.query(b"a") == b"1"
        for member in cluster.members:
            member.log.is_full = False
        await eventually(lambda: not any(member.node.status().is_storage_full for member in cluster.members))
        assert (await client.submit(b"b", timeout=DEADLINE_S)).reply == b"1"


async def _submit_until_refused(client: Client) -> None:
    """A command whose answer got lost as the full leader handed over may be done: it is asked again to its deadline."""
    with trio.fail_after(DEADLINE_S):
        while True:
            await client.submit(b"again", timeout=1.0)


async def test_a_leader_with_a_full_disk_hands_over(tmp_path: Path) -> None:
    """As long as another node has room, commands go on."""
    async with stage(tmp_path) as cluster, cluster.client() as client:
        await client.submit(b"a")
        leader = await cluster.leader()
        leader.log.is_full = True
        await eventually(lambda: not leader.node.replica.is_leading)
        assert (await client.submit(b"a", timeout=DEADLINE_S)).reply == b"2"


async def test_a_full_disk_lets_go_of_slots_that_were_kept_beyond_the_tail(tmp_path: Path) -> None:
    """The log keeps them while there is room; once there is none they go, though no command comes that would ask."""
    async with stage(tmp_path) as cluster, cluster.client() as client:
        (keeper, *_) = await cluster.followers()
        log = keeper.log
        keeper.log.compaction_target = lambda through, **_tail: through if log.is_full else log.compacted_through
        last = await client.submit(b"a")
        await cluster.settled()
        await eventually(lambda: keeper.state.durable_through >= last.slot)
        assert log.compacted_through == 0
        log.is_full = True
        await eventually(lambda: log.compacted_through >= last.slot)
