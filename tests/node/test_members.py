"""Members that change while nodes run: links to whom the log names, and clients that learn of them."""

from __future__ import annotations

from pathlib import Path

import attrs

from replog.client import Client
from replog.node.events import ChangeMembers
from replog.paxos.ballot import NodeId
from replog.paxos.membership import Member

from .stage import DEADLINE_S, Stage, eventually, stage


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
