"""Log time: a quorum's clocks steer it, no minority moves it, and it never goes back (P11)."""

from __future__ import annotations

import itertools

import pytest

from replog.paxos.ballot import NodeId
from replog.paxos.effects import NoticeKind
from replog.paxos.log_time import LogTime
from replog.paxos.membership import Membership
from replog.paxos.options import PaxosOptions
from replog.paxos.outbox import Outbox
from replog.paxos.values import NO_OP, Batch, encode_value, stamp_of

from .build import FIVE, N1, N2, N3, N4, N5, THREE, members

NOW_MS = 1_764_000_000_000
HOUR_MS = 3_600_000
YEARS_MS = 10 * 365 * 24 * HOUR_MS
ONE = Membership(1, (N1,))


class Bench:
    """One node's log time at a monotonic second, with everybody's clock as it is told."""

    def __init__(self, membership: Membership = THREE, offsets: dict[NodeId, int] | None = None) -> None:
        self.now_s = 100.0
        self.offsets = dict.fromkeys(membership.members, 0) | (offsets or {})
        self.turn = Outbox(N1)
        self.standing, self.peers = members(membership)
        self.role = LogTime(PaxosOptions(), self.turn, self.standing, self.peers, self.now_s, self.wall_ms(N1))
        self.hear(*self.offsets)

    def true_ms(self) -> int:
        return NOW_MS + int(self.now_s * 1000)

    def wall_ms(self, node: NodeId) -> int:
        return self.true_ms() + self.offsets[node]

    def hear(self, *nodes: NodeId) -> None:
        for node in nodes:
            if node != N1:
                self.role.on_clock(self.peers[node], self.wall_ms(node))

    def pass_time(self, seconds: float, *, is_heard: bool = True) -> None:
        self.now_s += seconds
        self.role.tick(self.now_s, self.wall_ms(N1))
        self.hear(*(self.offsets if is_heard else ()))

    def ahead_ms(self) -> int:
        """How far the next stamp is ahead of the true time."""
        return self.role.next_stamp_ms() - self.true_ms()

    def told(self) -> list[NoticeKind]:
        for _ in range(2):
            self.role.judge()
        kinds = [notice.kind for notice in self.turn.notices]
        self.turn.clear()
        return kinds


@pytest.mark.parametrize("wrong_ms", [-YEARS_MS, -HOUR_MS, HOUR_MS, YEARS_MS])
@pytest.mark.parametrize("wrong", [N1, N2, N3])
def test_one_wrong_clock_of_three_moves_nothing(wrong: NodeId, wrong_ms: int) -> None:
    """Neither the leader's own nor a follower's, in either direction."""
    bench = Bench(offsets={wrong: wrong_ms})
    for _ in range(5):
        assert bench.ahead_ms() == 0
        bench.pass_time(1)


@pytest.mark.parametrize("wrong", list(itertools.combinations((N1, N2, N3, N4, N5), 2)))
@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, -1)])
def test_two_wrong_clocks_of_five_move_nothing(wrong: tuple[NodeId, NodeId], signs: tuple[int, int]) -> None:
    """Whichever minority it is."""
    bench = Bench(FIVE, {node: sign * YEARS_MS for node, sign in zip(wrong, signs, strict=True)})
    assert bench.ahead_ms() == 0


@pytest.mark.parametrize("wrong_ms", [-HOUR_MS, HOUR_MS])
def test_of_two_clocks_the_earlier_one_counts(wrong_ms: int) -> None:
    """Two make a quorum of two and of three: nothing is believed that only one of them says."""
    for membership in (THREE, Membership(1, (N1, N2))):
        bench = Bench(Membership(1, (N1, N2)), {N2: wrong_ms})
        bench.role.membership = membership
        assert bench.ahead_ms() == min(0, wrong_ms)


def test_a_clock_that_jumps_while_its_node_leads_is_not_followed() -> None:
    """Ten years ahead for a second: sessions and unpaid orders stay."""
    bench = Bench()
    assert bench.ahead_ms() == 0
    bench.offsets[N1] = YEARS_MS
    bench.pass_time(1)
    assert bench.ahead_ms() == 0
    bench.offsets[N1] = 0
    bench.pass_time(1)
    assert bench.ahead_ms() == 0


def test_what_a_quorum_agrees_on_is_believed_at_once() -> None:
    """A cluster that was off for a year, or whose clocks were all set right."""
    bench = Bench(offsets=dict.fromkeys((N1, N2, N3), -YEARS_MS))
    assert bench.ahead_ms() == -YEARS_MS
    bench.offsets = {N1: 0, N2: 0, N3: -YEARS_MS}
    bench.pass_time(0.1)
    assert bench.ahead_ms() == 0


def test_clocks_go_on_while_nobody_is_heard() -> None:
    """Log time goes on by monotonic time; what was heard long ago may have been set right since."""
    bench = Bench(offsets={N1: YEARS_MS})
    bench.role.next_stamp_ms()
    bench.pass_time(30, is_heard=False)
    assert bench.ahead_ms() == 0


def test_stamps_never_fall() -> None:
    """Whatever clocks do and whatever the log holds already."""
    bench = Bench()
    stamps = []
    for offset_ms in (0, -HOUR_MS, YEARS_MS, -YEARS_MS, 0):
        bench.offsets = dict.fromkeys((N1, N2, N3), offset_ms)
        bench.pass_time(0.5)
        stamps += [bench.role.next_stamp_ms(), bench.role.next_stamp_ms()]
    assert stamps == sorted(stamps)


def test_a_log_that_is_years_ahead_goes_on_a_tenth_slower() -> None:
    """A leap of the past never goes back, and what is measured by log time still ends."""
    bench = Bench()
    bench.role.on_stamp(bench.true_ms() + YEARS_MS)
    first = bench.role.next_stamp_ms()
    bench.pass_time(3600)
    assert bench.role.next_stamp_ms() - first == 0.9 * HOUR_MS
    for _ in range(3000):
        bench.pass_time(0.0005)
        last = bench.role.next_stamp_ms()
    assert 1300 < last - first - 0.9 * HOUR_MS < 1360


def test_log_time_arrives_where_the_clocks_are() -> None:
    """Ten seconds ahead are gone after a hundred."""
    bench = Bench()
    bench.role.on_stamp(bench.true_ms() + 10_000)
    bench.pass_time(99)
    assert 0 < bench.ahead_ms() <= 101
    bench.pass_time(2)
    assert bench.ahead_ms() == 0


def test_a_lone_clock_that_jumps_is_followed_slowly() -> None:
    """Nobody confirms it, so in an hour it has gained six minutes; steps within the bound count at once."""
    bench = Bench(ONE)
    bench.offsets[N1] = 3_000
    bench.pass_time(1)
    assert bench.ahead_ms() == 3_000
    bench.offsets[N1] = YEARS_MS
    for _ in range(3600):
        bench.pass_time(1)
    assert bench.ahead_ms() == pytest.approx(3_000 + HOUR_MS / 10, abs=5)
    assert bench.told() == [NoticeKind.CLOCK_ASTRAY]


def test_a_lone_clock_is_believed_when_its_node_starts() -> None:
    """A machine that was off for a year has no other."""
    bench = Bench(ONE)
    bench.role.on_stamp(bench.true_ms() - YEARS_MS)
    assert bench.ahead_ms() == 0


def test_an_older_release_that_tells_no_clock_counts_as_agreeing() -> None:
    """While a cluster is upgraded node by node, the leader's clock is believed as before."""
    bench = Bench(offsets={N1: HOUR_MS})
    for node in (N2, N3):
        bench.role.on_clock(bench.peers[node], 0)
    assert bench.ahead_ms() == HOUR_MS


def test_too_few_clocks_say_nothing() -> None:
    """Log time goes on from the newest stamp by monotonic time alone."""
    bench = Bench(ONE)
    bench.standing.on_membership(Membership(2, THREE.voters))
    bench.role.on_stamp(bench.true_ms() - HOUR_MS)
    bench.pass_time(2)
    assert (bench.role.offset_ms, bench.role.next_stamp_ms() - bench.true_ms()) == (None, -HOUR_MS)


def test_a_clock_that_is_astray_is_named_and_told_once() -> None:
    """By every node of every node, and again when it agrees."""
    bench = Bench(offsets={N1: 6_000})
    assert bench.told() == [NoticeKind.CLOCK_ASTRAY]
    assert (bench.told(), bench.role.astray, bench.role.offset_ms) == ([], {N1}, 6_000)
    bench.offsets = {N1: 0, N2: -6_000, N3: 0}
    bench.pass_time(0.1)
    assert bench.told() == [NoticeKind.CLOCK_AGREES]
    assert bench.role.astray == {N2}


def test_clocks_that_are_set_together_are_not_astray() -> None:
    """One's own shows it at once, the others' in the next round."""
    bench = Bench()
    bench.offsets = dict.fromkeys((N1, N2, N3), HOUR_MS)
    bench.pass_time(0.05, is_heard=False)
    bench.role.judge()
    bench.pass_time(0.1)
    bench.role.judge()
    assert (bench.turn.notices, bench.role.astray) == ([], frozenset())


def test_a_log_time_that_is_ahead_is_told_until_the_clocks_arrive() -> None:
    """Level-triggered for the status, once for the log."""
    bench = Bench()
    bench.role.on_stamp(bench.true_ms() + HOUR_MS)
    assert (bench.told(), bench.told(), bench.role.is_ahead) == ([NoticeKind.LOG_TIME_AHEAD], [], True)
    bench.pass_time(10 * 3600)
    assert (bench.told(), bench.role.is_ahead) == ([], False)


def test_a_stamp_is_read_off_the_first_bytes() -> None:
    """At every width of its encoding, and of nothing but a batch."""
    for time_ms in (0, 1, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, NOW_MS, 2**63):
        assert stamp_of(encode_value(Batch(time_ms, [b"x" * 300]))) == time_ms
    assert (stamp_of(NO_OP), stamp_of(encode_value(THREE)), stamp_of(b"")) == (0, 0, 0)


def test_asking_how_far_log_time_is_ahead_changes_no_stamp() -> None:
    """A status may be asked at any moment, and is no event: the same events must lead to the same stamps."""
    asked, left_alone = Bench(), Bench()
    for bench in (asked, left_alone):
        bench.role.next_stamp_ms()
        bench.offsets = dict.fromkeys(bench.offsets, 400)
        bench.pass_time(0.021)
    assert asked.role.ahead_ms == 0
    for bench in (asked, left_alone):
        bench.offsets = dict.fromkeys(bench.offsets, 900)
        bench.pass_time(0.01)
    assert asked.role.next_stamp_ms() == left_alone.role.next_stamp_ms()
