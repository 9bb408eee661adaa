"""Members that change while nodes run: links to whom the log names, and clients that learn of them."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from replog.client import Client, decode_entry
from replog.errors import ChangeRefused
from replog.node.events import ChangeMembers
from replog.paxos.ballot import NodeId
from replog.paxos.membership import Member

from .stage import DEADLINE_S, ROOT_HOST, Stage, eventually, stage


def numbers(*nodes: int) -> tuple[NodeId, ...]:
    return tuple(map(NodeId, nodes))


async def change(cluster: Stage, voters: tuple[int, ...], learners: tuple[int, ...] = ()) -> None:
    """Ask whoever leads, again and again, until it is so everywhere among those."""

    def is_done() -> bool:
        for member in cluster.running:
            replica = member.node.replica
            membership = replica.membership
            if replica.is_leading and (membership.voters, membership.learners) != (voters, learners):
                told = tuple(Member(NodeId(node), cluster[node].address) for node in (*voters, *learners))
                member.node.put(ChangeMembers(numbers(*voters), numbers(*learners), None, told))
        concerned = [cluster[node].node.replica for node in (*voters, *learners)]
        return all((one.membership.voters, one.membership.learners) == (voters, learners) for one in concerned)

    await eventually(is_done, f"the voters are {voters}, the learners {learners}")


async def submit(client: Client, words: list[bytes]) -> None:
    for word in words:
        await client.submit(word, timeout=DEADLINE_S)


async def test_one_node_grows_to_three(tmp_path: Path) -> None:
    """The newcomers know where the founder is, and nobody knew of them; the log says where they are."""
    async with stage(tmp_path, count=1, newcomers=2) as cluster, cluster.client(1) as client:
        await submit(client, [b"a"] * 5)
        for number in (2, 3):
            await cluster[number].start()
        await change(cluster, (1,), (2, 3))
        await change(cluster, (1, 2, 3))
        await submit(client, [b"a"] * 5)
        await cluster.settled()
        assert cluster[3].node.status().members == {f"n{n}": cluster[n].address for n in (1, 2, 3)}
        await eventually(lambda: cluster[2].node.transport.peers_connected == {1, 3}, "the newcomers are linked too")


async def test_all_members_are_replaced_and_a_client_follows(tmp_path: Path) -> None:
    """{1,2,3} -> {4,5,6} in one step (M11): the client was given the founders, all of which are gone then."""
    async with stage(tmp_path, count=3, newcomers=3) as cluster, cluster.client(1, 2, 3) as client:
        await submit(client, [b"a"] * 5)
        for number in (4, 5, 6):
            await cluster[number].start()
        await change(cluster, (1, 2, 3), (4, 5, 6))
        await change(cluster, (4, 5, 6))
        await submit(client, [b"a"])
        for number in (1, 2, 3):
            await cluster[number].crash()
        await submit(client, [b"a"] * 4)
        await cluster.settled()
        reply = (await client.submit(b"a", timeout=DEADLINE_S)).reply
        assert reply == b"11"


async def test_a_node_that_was_away_finds_members_it_never_heard_of(tmp_path: Path) -> None:
    """{1,2,3} -> {3,4,5} while n3 is down, n1 and n2 gone for good: the others know where it is, and dial it (M6)."""
    async with stage(tmp_path, count=3, newcomers=2) as cluster, cluster.client() as client:
        await submit(client, [b"a"] * 5)
        for number in (4, 5):
            await cluster[number].start()
        await change(cluster, (1, 2, 3), (4, 5))
        await cluster[3].crash()
        leader = await cluster.leader()
        told = ChangeMembers(numbers(3, 4, 5), ())
        await eventually(
            lambda: (leader.node.put(told), cluster[4].node.replica.membership.version == 3)[1], "the members change"
        )
        for number in (1, 2):
            await cluster[number].crash()
        await cluster[3].start()
        await eventually(lambda: cluster[3].node.replica.membership.version == 3, "n3 has heard of it")
        await submit(client, [b"a"] * 5)
        await cluster.settled()


async def test_a_member_that_moved_is_found_where_the_log_says(tmp_path: Path) -> None:
    """Its old address is dead; a logged change says the new one to everybody."""
    async with stage(tmp_path, count=3, newcomers=1) as cluster, cluster.client(2, 3) as client:
        await submit(client, [b"a"])
        moved = cluster[1]
        await moved.crash()
        moved.port, cluster[4].port = cluster[4].port, moved.port
        moved.config = attrs.evolve(moved.config, members={**moved.config.members, NodeId(1): moved.address})
        await change_address(cluster, moved.address)
        await moved.start()
        await submit(client, [b"a"] * 3)
        await cluster.settled()
        assert cluster[2].node.status().members["n1"] == moved.address


async def change_address(cluster: Stage, address: str) -> None:
    def is_done() -> bool:
        for member in cluster.running:
            if member.node.replica.is_leading:
                member.node.put(ChangeMembers(numbers(1, 2, 3), (), None, (Member(NodeId(1), address),)))
        return all(member.node.driver.following.reach.addresses[NodeId(1)] == address for member in cluster.running)

    await eventually(is_done, "the others know where n1 is")


# --- what a client asks ---


async def added(client: Client, cluster: Stage, *newcomers: int) -> None:
    """They are started, learners, and have caught up."""
    before = await client.members()
    for number in newcomers:
        await cluster[number].start()
    await client.change_members(
        before.voters,
        (*before.learners, *(f"n{number}" for number in newcomers)),
        addresses={f"n{number}": cluster[number].address for number in newcomers},
        timeout=DEADLINE_S,
    )


async def test_a_client_grows_a_cluster(tmp_path: Path) -> None:
    """One to three to five; what it is told afterwards is what the log says."""
    async with stage(tmp_path, count=1, newcomers=4) as cluster, cluster.client(1) as client:
        await submit(client, [b"a"] * 3)
        await added(client, cluster, 2, 3)
        three = await client.change_members(["n1", "n2", "n3"], timeout=DEADLINE_S)
        assert (three.voters, three.quorum_count, three.failures_survived) == (("n1", "n2", "n3"), 2, 1)
        await added(client, cluster, 4, 5)
        five = await client.change_members([f"n{number}" for number in range(1, 6)], timeout=DEADLINE_S)
        assert (five.version, five.failures_survived, five.next_node) == (5, 2, "n6")
        assert five.addresses == {f"n{number}": cluster[number].address for number in range(1, 6)}
        assert (await client.submit(b"a")).reply == b"4"
        await cluster.settled()


async def test_a_dead_node_is_replaced_in_one_step(tmp_path: Path) -> None:
    """n3's disk is lost: n4 takes its place, and at no moment are there two or four voters."""
    async with stage(tmp_path, count=3, newcomers=1) as cluster, cluster.client(1, 2) as client:
        await submit(client, [b"a"] * 3)
        await cluster[3].crash()
        await added(client, cluster, 4)
        members = await client.change_members(["n1", "n2", "n4"], timeout=DEADLINE_S)
        assert (members.voters, members.learners, members.version) == (("n1", "n2", "n4"), (), 3)
        assert (await client.submit(b"a")).reply == b"4"


async def test_a_change_is_refused_with_its_code_and_its_next_step(tmp_path: Path) -> None:
    """M10: nothing is done, and the error says so; what is so already is a success."""
    async with stage(tmp_path, count=3, newcomers=1) as cluster, cluster.client() as client:
        voters = ["n1", "n2", "n3"]
        calls: list[tuple[str, dict[str, Any]]] = [
            ("no_voters", {"voters": []}),
            ("two_roles", {"voters": voters, "learners": ["n1"]}),
            ("no_learner", {"voters": [*voters, "n4"]}),
            ("other_version", {"voters": ["n1", "n2"], "if_version": 7}),
            ("address_taken", {"voters": voters, "addresses": {"n1": cluster[2].address}}),
        ]
        for code, asked in calls:
            with pytest.raises(ChangeRefused, match=r"the members are as before: .*; .*\.") as caught:
                await client.change_members(**asked)
            assert caught.value.code == code
        dead = f"{ROOT_HOST}:{cluster[4].port}"
        assert (await client.change_members(voters, ["n4"], addresses={"n4": dead}, is_dry_run=True)).version == 1
        assert (await client.change_members(voters, ["n4"], addresses={"n4": dead})).learners == ("n4",)
        assert (await client.change_members(voters, ["n4"])).version == 2
        with pytest.raises(ChangeRefused) as caught:
            await client.change_members([*voters, "n4"], timeout=0.3)
        assert caught.value.code == "behind"
        assert (await client.change_members(voters)).version == 3
        with pytest.raises(ChangeRefused) as caught:
            await client.change_members(voters, ["n4"])
        assert caught.value.code == "id_used"
        for wrong in ({"voters": "n1"}, {"voters": ["me"]}, {"voters": voters, "if_version": 0}):
            with pytest.raises((TypeError, ValueError)):
                await client.change_members(**wrong)


async def test_two_operators_at_once(tmp_path: Path) -> None:
    """Each names the version that it has seen: the log's order decides, and the other hears that nothing was done."""
    async with stage(tmp_path, count=3) as cluster, cluster.client() as one, cluster.client() as other:
        outcomes: list[str] = []

        async def ask(client: Client, voters: list[str]) -> None:
            try:
                await client.change_members(voters, if_version=1)
            except ChangeRefused as refused:
                outcomes.append(refused.code)
            else:
                outcomes.append("done")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, one, ["n1", "n2"])
            nursery.start_soon(ask, other, ["n2", "n3"])
        assert sorted(outcomes) in (["done", "other_version"], ["done", "lost"])
        assert len({member.node.replica.membership for member in cluster.running}) <= 2


async def test_a_follower_of_the_log_sees_the_change(tmp_path: Path) -> None:
    """The entry says who votes and where they are."""
    async with stage(tmp_path, count=3) as cluster, cluster.client() as client:
        await client.change_members(["n1", "n2"], ["n3"])
        with trio.fail_after(DEADLINE_S):
            async with aclosing(client.follow()) as entries:
                async for entry in entries:
                    found = decode_entry(entry)
                    if found.version == 2:
                        break
        assert (found.voters, found.learners) == (("n1", "n2"), ("n3",))
        assert found.addresses["n3"] == cluster[3].address
