"""Log time: what a leader stamps its batches with, steered by the clocks of a quorum of the voters.

It owns what is known of everybody's wall clock and the newest stamp of the log. It does not know who leads, and nothing
that safety rests on reads it. Rule protected: stamps never fall along the log, whoever made them, and rise above what
monotonic time allows only if a quorum's clocks say so (P11).

A clock is kept as its distance from this node's monotonic one, so it goes on by itself between two words of its owner.
The *quorum's clock* is the latest time that a quorum of the voters agrees has come. No minority can push it ahead, so
one clock that is years ahead moves nothing, wherever its node stands; one that is years behind moves nothing either,
unless the quorum needs it.

Where log time is ahead of that clock, because an older program or a quorum of wrong clocks once took it there, it goes
on a tenth slower until the clock has arrived: what a state machine measures by it still ends, and it never goes back.
"""

from __future__ import annotations

import math

from .ballot import NodeId
from .effects import NoticeKind
from .options import PaxosOptions
from .outbox import Outbox
from .peers import Peer, Peers
from .standing import Standing

_ROUNDS_REMEMBERED = 2
"""For so many election timeouts what a node said of its clock is gone by."""
_COMPARED_EVERY_S = 0.02
"""Clocks go on by themselves; for so long a stamp goes by what was last compared."""
SLEW = 0.1
"""How much slower log time goes while it is ahead, and how fast it follows a clock that nobody confirms."""


class LogTime:
    """The voters' clocks, as one node hears them, and the stamp that follows from them."""

    def __init__(
        self, options: PaxosOptions, outbox: Outbox, standing: Standing, peers: Peers, now_s: float, time_ms: int
    ) -> None:
        self._offset_max_ms = options.clock_offset_max_s * 1000
        self._outbox = outbox
        self._standing = standing
        self._peers = peers
        self.astray: frozenset[NodeId] = frozenset()
        """Whose clocks were further from the quorum's than ``clock_offset_max_s`` in the last two rounds."""
        self._suspected: frozenset[NodeId] = frozenset()
        self._now_s = now_s
        self._time_ms = time_ms
        self._heard_max_s = _ROUNDS_REMEMBERED * options.election_rounds * options.heartbeat_interval_s
        self._believed_ms = self._own_lead_ms
        self._stamp_ms = 0.0
        self._stamped_at_s = now_s
        self._is_astray_told = False
        self._is_ahead_told = False
        self._compared_ms: float | None = None
        self._compared_at_s = -math.inf

    # --- what is heard ---

    def tick(self, now_s: float, time_ms: int) -> None:
        """Time passed: ``now_s`` monotonic seconds, ``time_ms`` this node's wall clock."""
        if self._standing.membership.voters == (self._standing.node,):
            self._follow(time_ms - now_s * 1000, now_s - self._now_s)
        self._time_ms = time_ms
        self._now_s = now_s

    def _follow(self, own_ms: float, elapsed_s: float) -> None:
        """Nobody can confirm a step of a lone voter's clock: one that is too large is followed slowly."""
        step_ms = own_ms - self._believed_ms
        if abs(step_ms) > self._offset_max_ms:
            step_max_ms = SLEW * elapsed_s * 1000
            step_ms = max(-step_max_ms, min(step_max_ms, step_ms))
        self._believed_ms += step_ms

    @property
    def _own_lead_ms(self) -> float:
        return self._time_ms - self._now_s * 1000

    def on_clock(self, peer: Peer, time_ms: int) -> None:
        """A node told its wall clock; one of an older release tells none (0) and counts as agreeing with this one."""
        peer.clock_lead_ms = time_ms - self._now_s * 1000 if time_ms else self._own_lead_ms
        peer.clock_heard_s = self._now_s

    def is_known(self, peer: Peer) -> bool:
        """Whether a word of its clock is fresh enough to go by: one that was wrong may have been set right since."""
        return self._now_s - peer.clock_heard_s <= self._heard_max_s

    def on_stamp(self, stamp_ms: int) -> None:
        """A batch of the log carries this stamp: no later one may carry less."""
        if stamp_ms > self._stamp_ms:
            self._stamp_ms = stamp_ms
            self._stamped_at_s = self._now_s

    # --- what follows ---

    def next_stamp_ms(self) -> int:
        """The log time of a batch that is made now."""
        if self._now_s - self._compared_at_s > _COMPARED_EVERY_S:
            self._compared_ms = self._quorum_lead_ms()
            self._compared_at_s = self._now_s
        stamp_ms = self._current_ms(self._compared_ms)
        assert stamp_ms >= self._stamp_ms, (stamp_ms, self._stamp_ms)  # P11
        self._stamp_ms = stamp_ms
        self._stamped_at_s = self._now_s
        return int(stamp_ms)

    def _current_ms(self, lead_ms: float | None) -> float:
        """By this lead of the quorum's clock; whoever only asks must change nothing that a stamp follows from."""
        elapsed_ms = (self._now_s - self._stamped_at_s) * 1000
        if lead_ms is None:
            return self._stamp_ms + elapsed_ms
        return max(self._stamp_ms + elapsed_ms * (1 - SLEW), lead_ms + self._now_s * 1000)

    def _quorum_lead_ms(self) -> float | None:
        if self._standing.membership.voters == (self._standing.node,):
            return self._believed_ms
        leads_ms = self._leads_ms()
        membership = self._standing.membership
        known = sorted((leads_ms[voter] for voter in membership.voters if voter in leads_ms), reverse=True)
        count = membership.quorum_count
        return known[count - 1] if len(known) >= count else None

    def _leads_ms(self) -> dict[NodeId, float]:
        """The clocks that may be gone by, this node's own among them."""
        fresh = {peer.node: peer.clock_lead_ms for peer in self._peers.values() if self.is_known(peer)}
        fresh[self._standing.node] = self._own_lead_ms
        return fresh

    @property
    def offset_ms(self) -> int | None:
        """How far this node's clock is ahead of the quorum's (negative: behind); None while that is not known."""
        lead_ms = self._quorum_lead_ms()
        return None if lead_ms is None else round(self._own_lead_ms - lead_ms)

    @property
    def ahead_ms(self) -> int:
        """How far log time is ahead of the quorum's clock; 0 if it is not."""
        lead_ms = self._quorum_lead_ms()
        return 0 if lead_ms is None else round(self._current_ms(lead_ms) - lead_ms - self._now_s * 1000)

    @property
    def is_ahead(self) -> bool:
        """Whether log time has to wait for the clocks for long."""
        return self.ahead_ms > self._offset_max_ms

    def judge(self) -> None:
        """Once a round: whose clock is astray, this node's own, and log time itself; a change is told.

        One round is not enough: where all clocks are set at once, the others' are heard a round later than one's own.
        """
        lead_ms = self._quorum_lead_ms()
        if lead_ms is None:
            return  # nobody to compare with: what was true last stands
        before = self._suspected
        self._suspected = frozenset(
            node for node, other_ms in self._leads_ms().items() if abs(other_ms - lead_ms) > self._offset_max_ms
        )
        self.astray = before & self._suspected
        is_astray, is_ahead = self._standing.node in self.astray, self.is_ahead
        if is_astray != self._is_astray_told:
            kind = NoticeKind.CLOCK_ASTRAY if is_astray else NoticeKind.CLOCK_AGREES
            self._outbox.notice(kind, offset_ms=self.offset_ms)
        if is_ahead and not self._is_ahead_told:
            self._outbox.notice(NoticeKind.LOG_TIME_AHEAD, ahead_ms=self.ahead_ms)
        self._is_astray_told, self._is_ahead_told = is_astray, is_ahead
