"""``replog leader transfer``: asks the leader, and says so only when another one leads."""

from __future__ import annotations

from collections.abc import Sequence

from replog.paxos.ballot import NodeId
from replog.wire.client_messages import NotLeader, TransferAnswer, TransferRequest

from .conftest import Replog
from .fake_nodes import FakeNode, fake_cluster


def hand_over_to(nodes: Sequence[FakeNode], new: int) -> None:
    """Node 1 obeys."""

    def on_transfer(request: TransferRequest) -> TransferAnswer:
        nodes[0].status = {"role": "follower", "ballot": f"18.n{new}"}
        nodes[new - 1].status = {"role": "leader", "ballot": f"18.n{new}"}
        return TransferAnswer(request.request, True, "")

    nodes[0].on_transfer = on_transfer


def refuse(nodes: Sequence[FakeNode], reason: str, *, may_pass: bool = False) -> None:
    """Node 1 says no."""
    nodes[0].on_transfer = lambda request: TransferAnswer(request.request, False, reason, may_pass)


def asked(node: FakeNode) -> list[TransferRequest]:
    return [question for question in node.questions if isinstance(question, TransferRequest)]


def test_leadership_arrives_at_the_node_meant(replog: Replog) -> None:
    """Any endpoint will do; the leader is asked, and the new one's ballot is shown."""
    with fake_cluster(3) as nodes:
        hand_over_to(nodes, 3)
        done = replog("leader", "transfer", "n3", "--endpoints", nodes[1].address)
        assert [request.target for request in asked(nodes[0])] == [3]
    assert (done.code, done.out) == (0, "n3 leads at ballot 18.n3 (before: n1 at 17.n1)\n")


def test_without_a_name_anybody_else_will_do(replog: Replog) -> None:
    """The leader chooses; a script is told who it is."""
    with fake_cluster(3) as nodes:
        hand_over_to(nodes, 2)
        done = replog("leader", "transfer", "--endpoints", nodes[0].address, "--json")
        assert [request.target for request in asked(nodes[0])] == [0]
    assert (done.fields["from"], done.fields["leader"], done.fields["ballot"]) == ("n1", "n2", "18.n2")


def test_who_leads_already_is_not_asked(replog: Replog) -> None:
    """What was wanted holds: nothing is done, and it is a success."""
    with fake_cluster(3) as nodes:
        done = replog("leader", "transfer", "n1", "--endpoints", nodes[0].address)
        assert asked(nodes[0]) == []
    assert done.code == 0
    assert "n1 leads already" in done.err


def test_a_refusal_comes_with_its_reason(replog: Replog) -> None:
    """Definitely not done: code 4."""
    with fake_cluster(3) as nodes:
        refuse(nodes, "n2 is not a voter of this cluster")
        done = replog("leader", "transfer", "n2", "--endpoints", nodes[0].address)
        assert len(asked(nodes[0])) == 1
    assert done.code == 4
    assert "n1 does not hand over: n2 is not a voter of this cluster." in done.err


def test_what_may_pass_is_waited_for(replog: Replog) -> None:
    """A target that answered no heartbeat lately may do so in a moment."""
    with fake_cluster(3) as nodes:

        def on_transfer(request: TransferRequest) -> TransferAnswer:
            if len(asked(nodes[0])) == 3:
                hand_over_to(nodes, 2)
            return TransferAnswer(request.request, False, "n2 has not answered lately", True)

        nodes[0].on_transfer = on_transfer
        done = replog("leader", "transfer", "n2", "--endpoints", nodes[0].address)
    assert (done.code, done.out) == (0, "n2 leads at ballot 18.n2 (before: n1 at 17.n1)\n")


def test_what_does_not_pass_in_time_is_a_refusal(replog: Replog) -> None:
    """With the last reason there was."""
    with fake_cluster(3) as nodes:
        refuse(nodes, "n2 has not answered lately", may_pass=True)
        done = replog("leader", "transfer", "n2", "--endpoints", nodes[0].address, "--timeout", "0.3")
        assert len(asked(nodes[0])) > 1
    assert done.code == 4
    assert "n1 does not hand over: n2 has not answered lately." in done.err


def test_who_leads_no_more_names_the_one_to_ask(replog: Replog) -> None:
    """Leadership may move between looking and asking; the one asked may not know at once who leads."""
    with fake_cluster(3) as nodes:

        def send_away(_request: TransferRequest) -> NotLeader:
            return NotLeader(NodeId(2), nodes[1].address) if len(asked(nodes[0])) > 2 else NotLeader(NodeId(0), "")

        nodes[0].on_transfer = send_away

        def on_transfer(request: TransferRequest) -> TransferAnswer:
            nodes[0].status = {"role": "follower"}
            nodes[2].status = {"role": "leader", "ballot": "19.n3"}
            return TransferAnswer(request.request, True, "")

        nodes[1].on_transfer = on_transfer
        done = replog("leader", "transfer", "n3", "--endpoints", nodes[0].address)
    assert (done.code, done.out) == (0, "n3 leads at ballot 19.n3 (before: n1 at 17.n1)\n")


def test_when_nobody_comes_to_lead_nothing_was_done(replog: Replog) -> None:
    """The time is over before anybody took the request: code 3, try again."""
    with fake_cluster(3) as nodes:
        nodes[0].on_transfer = lambda _request: NotLeader(NodeId(0), "")
        done = replog("leader", "transfer", "n3", "--endpoints", nodes[0].address, "--timeout", "0.3")
    assert done.code == 3
    assert "leadership moved while it was asked for, and n1 does not lead; try again." in done.err


def test_a_name_that_is_no_voter_is_the_persons_mistake(replog: Replog) -> None:
    """Nothing is asked of anybody; the voters are named."""
    with fake_cluster(3) as nodes:
        done = replog("leader", "transfer", "n7", "--endpoints", nodes[0].address)
    assert done.code == 2
    assert "n7 is no voter of this cluster; its voters are n1, n2, n3." in done.err


def test_without_a_leader_nobody_can_hand_over(replog: Replog) -> None:
    """The message says what the cluster lacks."""
    with fake_cluster(3) as nodes:
        nodes[1].mood = nodes[2].mood = "hangs_up"
        done = replog("leader", "transfer", "--endpoints", nodes[0].address)
    assert done.code == 3
    assert "nobody leads, so nobody can hand over: 1 of 3 voters up, 2 needed" in done.err


def test_a_hand_over_that_is_not_seen_to_end_is_no_success(replog: Replog) -> None:
    """The leader agreed and still leads when the time is over: nobody knows yet."""
    with fake_cluster(3) as nodes:
        nodes[0].on_transfer = lambda request: TransferAnswer(request.request, True, "")
        done = replog("leader", "transfer", "n2", "--endpoints", nodes[0].address, "--timeout", "0.3")
    assert done.code == 6
    assert "n2 was not seen leading" in done.err
