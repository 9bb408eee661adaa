"""The verdict about a cluster: never better than the cluster is, and always with what still works."""

from __future__ import annotations

from typing import Any

from replog.cli.cluster_report import ClusterReport, MemberReport, judge, lag_of
from replog.cli.status import exit_code
from replog.cli_kit.exit_codes import ExitCode

from .clusters import down, up


def judged(*members: MemberReport, voters: int = 3) -> ClusterReport:
    return judge(members, voter_count=voters)


def test_all_voters_up_is_healthy() -> None:
    """Three of three, a leader, nobody far behind: the only healthy there is."""
    report = judged(up(1), up(2), up(3))
    assert (report.verdict, report.leader, report.can_write) == ("healthy", "n1", True)
    assert report.summary == "3 of 3 voters up, n1 leads, writes OK, survives 1 failure"
    assert report.next_steps == ()


def test_a_node_down_is_never_healthy() -> None:
    """A cluster that has lost a voter still writes, and says how near the end is."""
    report = judged(up(1), up(2), down(3))
    assert (report.verdict, report.can_write) == ("degraded", True)
    assert report.summary == "2 of 3 voters up, n1 leads, writes OK, one more failure stops writes"
    assert "n3 (refused)" in report.next_steps[0]
    assert "never `replog init` a node again" in report.next_steps[0]


def test_without_a_quorum_nobody_is_said_to_lead() -> None:
    """A minority whose old leader has not noticed yet can't write, whatever it says about itself."""
    report = judged(up(1), down(2), down(3, "timed out"))
    assert (report.verdict, report.leader, report.can_write) == ("no_quorum", None, False)
    assert report.summary.startswith("1 of 3 voters up, 2 needed: writes and linearizable reads stop")


def test_nobody_answering_asks_for_the_endpoints_first() -> None:
    """With no answer at all the likeliest mistake is where one asked."""
    report = judged(down(1), down(2), down(3))
    assert report.verdict == "no_quorum"
    assert report.summary.endswith("nothing answers")
    assert report.next_steps[0].startswith("nobody answered: check the endpoints")


def test_a_quorum_without_a_leader_is_electing() -> None:
    """Voters that are all up but leaderless can't write at this moment."""
    report = judged(up(1, role="follower"), up(2), up(3))
    assert (report.verdict, report.leader, report.can_write) == ("degraded", None, False)
    assert "electing a leader, writes wait" in report.summary


def test_the_newest_ballot_leads() -> None:
    """An old leader that was paused still claims the lead: the claim at the higher ballot counts, by number."""
    report = judged(up(1, ballot="9.n1"), up(2, role="leader", ballot="10.n2"), up(3, ballot="10.n2"))
    assert report.leader == "n2"


def test_a_silent_voter_is_not_counted() -> None:
    """A node that abstains is up, and no help to a quorum (P10)."""
    report = judged(up(1), up(2), up(3, is_voting=False, problem="promise damaged"))
    assert report.verdict == "degraded"
    assert "2 of 3 voters up" in report.summary
    assert "n3 does not vote" in report.summary
    assert report.next_steps == ("n3 keeps silent: promise damaged; run `replog verify`.",)


def test_a_learner_is_no_voter() -> None:
    """A fourth node without a vote changes no count, up or down."""
    learner = up(4, role="learner", is_voter=False)
    assert judged(up(1), up(2), up(3), learner).verdict == "healthy"
    assert judged(up(1), up(2), down(3), learner).summary.startswith("2 of 3 voters up")


def test_far_behind_is_named() -> None:
    """Catching up for long is a reason to look, though all voters are up."""
    report = judged(up(1), up(2), up(3, applied_through=4_311))
    assert report.verdict == "degraded"
    assert "n3 is 1,200,000 slots behind" in report.summary


def test_lag_counts_from_the_furthest_node() -> None:
    """The lag is against what anybody knows chosen, not against what the node itself knows."""
    late = up(3, chosen_through=100, applied_through=100)
    assert lag_of(late, [up(1), up(2), late]) == 1_204_211


def test_a_leader_with_a_full_disk_refuses_writes() -> None:
    """Reads go on, writes don't, and the next step says what to do."""
    report = judged(up(1, is_storage_full=True), up(2), up(3))
    assert (report.verdict, report.can_write) == ("degraded", False)
    assert "n1 leads, its disk is full: writes refused, reads OK" in report.summary
    assert "make room on the disk" in report.next_steps[0]


def test_different_states_at_one_slot_are_seen() -> None:
    """Two nodes at the same slot with different digests have diverged; at different slots that means nothing."""
    same = judged(up(1, digest="aa"), up(2, digest="bb", applied_through=1_204_311), up(3, digest="cc"))
    assert same.verdict == "degraded"
    assert "n1 and n2 have different states at slot 1,204,311" in same.summary
    apart = judged(up(1, digest="aa"), up(2, digest="bb"), up(3, digest="bb"))
    assert apart.verdict == "healthy"


def test_endpoints_of_two_clusters_are_not_one_cluster() -> None:
    """Asking nodes of two clusters at once is a mistake worth naming."""
    report = judged(up(1), up(2), up(3, cluster_id="ff" * 16))
    assert (report.verdict, report.failures_survived) == ("degraded", 0)
    assert report.summary == (
        "2 of 3 voters up, n1 leads, writes OK, one more failure stops writes, "
        "another cluster answers at 10.0.0.3:7101: the addresses belong to 2 different clusters"
    )
    assert "an address among the members is wrong" in report.next_steps[0]


def test_a_node_of_another_cluster_is_no_help_to_a_quorum() -> None:
    """Whatever it is called and however many slots it knows chosen."""
    stranger = up(3, cluster_id="ff" * 16, role="leader", ballot="99.n3", chosen_through=9_999_999)
    report = judged(up(1), down(2), stranger)
    assert (report.verdict, report.leader) == ("no_quorum", None)
    assert lag_of(up(1), report.members) == 0


def hearing(node: int, *others: int, deaf: dict[int, str] | None = None, **changes: Any) -> MemberReport:
    """A voter that says whom it hears, and why it does not hear the rest."""
    links = dict.fromkeys((f"n{other}" for other in others), "")
    return up(node, links=links | {f"n{other}": why for other, why in (deaf or {}).items()}, **changes)


def test_a_link_that_is_missing_is_named_and_counted() -> None:
    """All are up, and n3 can lead nobody: if n1 or n2 fails, nothing can be written."""
    report = judged(
        hearing(1, 2, deaf={3: "connection refused"}),
        hearing(2, 1, 3),
        hearing(3, 2, deaf={1: "not connected yet"}),
    )
    assert (report.verdict, report.can_write, report.failures_survived) == ("degraded", True, 0)
    assert report.summary == (
        "3 of 3 voters up, n1 leads, writes OK, one more failure stops writes, n1 and n3 do not hear each other"
    )
    assert report.next_steps == (
        "n1 and n3 do not hear each other: connection refused; not connected yet; "
        'see "a link is missing" in docs/OPERATING.md.',
    )


def test_a_link_that_is_missing_may_cost_no_failure() -> None:
    """Of five one pair apart leaves enough others; healthy is not said all the same."""
    report = judged(hearing(1, deaf={2: "timed out"}), *(up(node) for node in range(2, 6)), voters=5)
    assert (report.verdict, report.failures_survived) == ("degraded", 2)
    assert report.summary.endswith("survives 2 failures, n1 does not hear n2")


def test_a_node_that_nobody_hears_is_named_once() -> None:
    """It is up from here, and no help: the others are one failure away from standing still."""
    alone = {1: "not connected yet", 2: "not connected yet"}
    refusal = "n3 has another incarnation."
    report = judged(
        hearing(1, 2, deaf={3: refusal}),
        hearing(2, 1, deaf={3: refusal}),
        hearing(3, deaf=alone, leader="", ballot="0.n0", applied_through=0),
    )
    assert report.summary.startswith("3 of 3 voters up, n1 leads, writes OK, one more failure stops writes")
    assert "n3 is cut off from n1 and n2" in report.summary
    assert "does not hear" not in report.summary
    assert report.next_steps[0].startswith("n3 is cut off from n1 and n2: n3 has another incarnation; not connected")


def test_voters_that_hear_nobody_are_no_quorum() -> None:
    """Each is reached from here, and none by another."""
    report = judged(hearing(1, deaf={2: "x", 3: "x"}), hearing(2, deaf={1: "x", 3: "x"}), hearing(3, deaf={1: "x"}))
    assert (report.verdict, report.leader, report.can_write, report.failures_survived) == ("no_quorum", None, False, -1)
    assert report.summary.startswith("3 of 3 voters up, none of which hears another: writes and linearizable")
    assert "n1 and n2 do not hear each other" in report.summary


def test_whom_a_member_follows_counts() -> None:
    """A leader whom a quorum does not follow takes no writes; one who follows nobody is named."""
    report = judged(up(1), up(2, leader=""), up(3, leader=""))
    assert (report.verdict, report.can_write) == ("degraded", False)
    assert "n1 leads, but 1 of 2 needed follow it: writes wait" in report.summary
    report = judged(up(1), up(2), up(3, leader="n2"))
    assert (report.verdict, report.can_write) == ("degraded", True)
    assert "n3 follows n2" in report.summary


def test_a_lag_that_does_not_move_is_named() -> None:
    """However small it is."""
    report = judged(up(1), up(2), up(3, applied_through=1_204_069, is_stuck=True))
    assert report.verdict == "degraded"
    assert "n3 is 242 slots behind and does not move" in report.summary
    assert judged(up(1), up(2), up(3, applied_through=1_204_069)).verdict == "healthy"


def test_five_voters_survive_two() -> None:
    """What is left before writes stop is counted from the quorum."""
    assert "survives 2 failures" in judged(*(up(node) for node in range(1, 6)), voters=5).summary
    assert "survives 1 failure" in judged(*(up(node) for node in range(1, 5)), down(5), voters=5).summary


def test_states_without_a_majority_are_a_verdict_of_their_own() -> None:
    """Writes go on, but no answer can be trusted, and that is what the first word says."""
    report = judged(*(up(node, is_contradicted=True, problem="its state differs from n9's") for node in (1, 2, 3)))
    assert (report.verdict, report.can_write) == ("contradicted", True)
    assert "n1 and n2 and n3 can't say whose state is right: no answer can be trusted" in report.summary
    assert "the replicas contradict" in report.next_steps[0]
    assert exit_code(report) == ExitCode.BUG


def test_two_contradict_while_the_third_is_down() -> None:
    """Without a quorum that is the verdict; the doubt is told beside it, and so is the next step."""
    report = judged(up(1, is_contradicted=True), up(2, is_contradicted=True), down(3))
    assert (report.verdict, exit_code(report)) == ("contradicted", ExitCode.BUG)
    alone = judged(up(1, is_contradicted=True), down(2), down(3))
    assert (alone.verdict, exit_code(alone)) == ("no_quorum", ExitCode.UNREACHABLE)
    assert alone.summary.endswith("n1 can't say whose state is right: no answer can be trusted")
    assert "the replicas contradict" in alone.next_steps[0]


def test_a_wrong_clock_is_named_and_writes_go_on() -> None:
    """The verdict says whose clock, and what to do."""
    report = judged(up(1), up(2, is_clock_right=False, problem="its clock is 10.0 y ahead"), up(3))
    assert (report.verdict, exit_code(report)) == ("degraded", ExitCode.OK)
    assert "n2: its clock is 10.0 y ahead" in report.summary
    assert 'see "a clock is wrong"' in report.next_steps[0]


def test_ballots_of_changed_members_are_compared() -> None:
    """Of two that say they lead, the one whose members are newer; one that can't be read is below both."""
    report = judged(up(1, ballot="v2/1.n1"), up(2, role="leader", ballot="v3/1.n2"), up(3, role="leader", ballot="odd"))
    assert report.leader == "n2"
