"""From any endpoint to the whole cluster: who is found, how each is named, and what counts as a voter."""

from __future__ import annotations

from replog.cli.survey import survey

from .fake_nodes import fake_cluster


async def test_one_endpoint_finds_every_member() -> None:
    """Whoever answers names the others, and they are asked too."""
    with fake_cluster(3) as nodes:
        report = await survey([nodes[1].address], timeout_s=5.0)
    assert [(member.node, member.address, member.up) for member in report.members] == [
        (node.name, node.address, True) for node in nodes
    ]
    assert (report.verdict, report.leader, report.cluster_id) == ("healthy", "n1", nodes[0].report().cluster_id)


async def test_a_member_that_is_down_has_its_name_and_its_reason() -> None:
    """A node that can't speak for itself is named by the others."""
    with fake_cluster(3) as nodes:
        nodes[2].mood = "hangs_up"
        report = await survey([nodes[0].address], timeout_s=5.0)
    last = report.members[2]
    assert (last.node, last.up, last.is_voter, last.problem) == ("n3", False, True, "closed the connection")
    assert report.verdict == "degraded"


async def test_a_node_that_hangs_costs_only_its_own_row() -> None:
    """The others are shown as they are, within the one deadline."""
    with fake_cluster(3) as nodes:
        nodes[0].mood = "hangs"
        nodes[1].status = {"role": "leader", "ballot": "18.n2"}
        report = await survey([node.address for node in nodes], timeout_s=0.5)
    assert [member.up for member in report.members] == [False, True, True]
    assert report.leader == "n2"


async def test_a_node_reached_by_two_addresses_is_one_row() -> None:
    """An endpoint may be another name of a member's address."""
    with fake_cluster(3) as nodes:
        other_name = nodes[0].address.replace("127.0.0.1", "localhost")
        report = await survey([other_name, nodes[0].address], timeout_s=5.0)
    assert [member.node for member in report.members] == ["n1", "n2", "n3"]
    assert report.members[0].address == nodes[0].address


async def test_a_member_behind_another_address_is_up() -> None:
    """Advertised addresses may be of use to the nodes only; an endpoint that reaches the node is enough."""
    with fake_cluster(1) as (node,):
        node.members = {node.number: "127.0.0.1:1"}
        report = await survey([node.address], timeout_s=5.0)
    assert [(member.node, member.up) for member in report.members] == [("n1", True)]


async def test_without_any_answer_the_endpoints_are_counted() -> None:
    """Nothing is known but what was asked: that many voters, all of them down."""
    with fake_cluster(2) as nodes:
        addresses = [node.address for node in nodes]
    report = await survey(addresses, timeout_s=5.0)
    assert report.summary.startswith("0 of 2 voters up, 2 needed")
    assert {member.node for member in report.members} == {"?"}
    assert [member.address for member in report.members] == sorted(addresses)


async def test_an_endpoint_that_nobody_knows_is_no_missing_learner() -> None:
    """A wrong endpoint beside right ones is named as that, and the voters are counted without it."""
    with fake_cluster(1) as (stranger,):
        wrong = stranger.address
    with fake_cluster(3) as nodes:
        report = await survey([nodes[0].address, wrong], timeout_s=5.0)
    assert report.summary == (
        f"3 of 3 voters up, n1 leads, writes OK, survives 1 failure, {wrong} is no member's address"
    )


async def test_the_newest_membership_says_who_votes() -> None:
    """A node that was away for a change counts by what the others know."""
    with fake_cluster(3) as nodes:
        for node in nodes[1:]:
            node.status = {"membership_version": 2, "voters": ["n1", "n2"], "learners": ["n3"]}
        nodes[2].mood = "hangs_up"
        report = await survey([nodes[0].address], timeout_s=5.0)
    assert report.summary.startswith("2 of 2 voters up")
    assert "learner n3 down" in report.summary
