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


async def test_a_node_of_another_cluster_at_a_members_address() -> None:
    """The member is what is missing; the stranger is shown, and its cluster's other nodes are not."""
    with fake_cluster(3) as nodes, fake_cluster(3) as others:
        for other in others:
            other.cluster = "ff" * 16
        for node in nodes:
            node.members = {**node.members, nodes[2].number: others[0].address}
        report = await survey([nodes[0].address], timeout_s=5.0)
    rows = [(member.node, member.up, member.problem) for member in report.members]
    assert sorted(rows) == [
        ("n1", True, ""),
        ("n1", True, ""),
        ("n2", True, ""),
        ("n3", False, "n1 of another cluster answers at its address"),
    ]
    assert report.summary.startswith("2 of 3 voters up, n1 leads, writes OK, one more failure stops writes")
    assert "another cluster answers at " in report.summary
    assert "n3 (n1 of another cluster answers at its address)" in report.next_steps[0]


async def test_addresses_that_were_mixed_up() -> None:
    """n2 answers where n3 is said to be: n3 is what is missing."""
    with fake_cluster(3) as nodes:
        for node in nodes:
            node.members = {**node.members, nodes[2].number: nodes[1].address.replace("127.0.0.1", "localhost")}
        report = await survey([nodes[0].address], timeout_s=5.0)
    assert [(member.node, member.up) for member in report.members] == [("n1", True), ("n2", True), ("n3", False)]
    assert report.members[2].problem == "n2 answers at its address"


async def test_most_nodes_say_which_cluster_is_meant() -> None:
    """A wrong endpoint that is asked first does not make the right ones strangers."""
    with fake_cluster(3) as nodes, fake_cluster(1) as (other,):
        other.cluster = "ff" * 16
        report = await survey([other.address, nodes[0].address, nodes[1].address], timeout_s=5.0)
    assert report.cluster_id == nodes[0].report().cluster_id
    assert report.summary.startswith("3 of 3 voters up, n1 leads, writes OK, survives 1 failure, another cluster")


async def test_a_second_look_tells_whether_a_node_moves() -> None:
    """One that is behind in two looks, at the same slot, stands still; one that goes on does not."""
    with fake_cluster(3) as nodes:
        nodes[1].status = {"applied_through": 7}
        nodes[2].status = {"applied_through": 7}
        nodes[2].on_asked = lambda: nodes[2].status.update(applied_through=nodes[2].status["applied_through"] + 1)
        report = await survey([nodes[0].address], timeout_s=5.0)
    assert [member.is_stuck for member in report.members] == [False, True, False]
    assert "n2 is 113 slots behind and does not move" in report.summary


async def test_what_the_nodes_hear_is_judged() -> None:
    """The survey passes on what each node says of its links."""
    with fake_cluster(3) as nodes:
        nodes[0].status = {"links": {"n2": "", "n3": "timed out"}}
        report = await survey([nodes[0].address], timeout_s=5.0)
    assert report.summary.endswith("one more failure stops writes, n1 does not hear n3")
