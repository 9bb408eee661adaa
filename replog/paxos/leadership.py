"""Leadership: when this node stands for election, leads, gives way and steps down.

It owns no fact but when it last asked for another leader. It joins what the election, the proposer, the own acceptor,
the reads and this node's fitness say, none of which sees the others. What it protects is that a leader is one in every
respect or in none: proposing and reading begin and end together, and a node whose acceptor has promised another ballot
proposes no more (P2).
"""

from __future__ import annotations

from .acceptor import Acceptor
from .ballot import BALLOT_ZERO, Ballot, NodeId, Slot
from .divergence import Divergence
from .effects import NoHandOver, NoticeKind
from .election import Election
from .fitness import Fitness
from .log_time import LogTime
from .messages import Heartbeat, HeartbeatReply, Nack, TransferLeadership
from .options import PaxosOptions
from .outbox import Outbox
from .peers import Peer
from .proposer import Proposer, Role
from .reads import Reads
from .standing import Standing
from .values import stamp_of

_CLOCK_ROUNDS = 600
"""A leader whose clock is astray asks another one to lead at most once in so many rounds."""


class Leadership:
    """Moves the roles from following to leading and back; what it sends to its own node, the replica handles."""

    def __init__(
        self,
        options: PaxosOptions,
        outbox: Outbox,
        standing: Standing,
        *,
        acceptor: Acceptor,
        proposer: Proposer,
        reads: Reads,
        election: Election,
        fitness: Fitness,
        divergence: Divergence,
        log_time: LogTime,
    ) -> None:
        self._options = options
        self._outbox = outbox
        self._standing = standing
        self._acceptor = acceptor
        self._proposer = proposer
        self._reads = reads
        self._election = election
        self._fitness = fitness
        self._divergence = divergence
        self._log_time = log_time
        self._clock_asked_at_s = float("-inf")
        self._leader_told: NodeId | None = None
        self.ballots_begun = 0
        self.times_leader = 0

    @property
    def leader(self) -> NodeId | None:
        """The node this one follows, itself only while it leads, or None while it knows of none that is alive.

        A candidate follows nobody: it has deposed whom it followed. Nor does a leader whose ballot is over (M5).
        """
        role = self._proposer.role
        if role is Role.FOLLOWING:
            return self._election.leader
        return self._standing.node if role is Role.LEADING and not self._proposer.is_stopped else None

    @property
    def is_clock_astray(self) -> bool:
        return self._standing.node in self._log_time.astray

    @property
    def _can_lead(self) -> bool:
        return self._standing.is_voting and not self._fitness.is_disk_stalled

    # --- rounds ---

    def tick(self, now_s: float, oldest_write_age_s: float) -> None:
        """Judge what is due; but nothing, and nobody, before what came while this process was held up has been read."""
        election = self._election
        if election.has_been_held_up(now_s):
            return
        if now_s >= election.round_at_s:
            self._end_round(now_s)
        if election.take_over_at_s is not None:
            self.take_over_if_due(now_s)
        if oldest_write_age_s or self._fitness.is_disk_stalled:
            self._watch_disk(oldest_write_age_s)

    def end_round_if_due(self, now_s: float) -> None:
        if now_s >= self._election.round_at_s:
            self._end_round(now_s)

    def _end_round(self, now_s: float) -> None:
        self._election.count_silence()
        self._fitness.end_round()
        self._divergence.judge()
        self._log_time.judge()
        self._election.astray = self._log_time.astray
        self._judge(now_s)
        if self._proposer.is_leading:
            if self._election.should_step_down(self._options.leader_patience_rounds):
                self.step_down("it has reached no quorum for too long")
            elif self._election.should_rise():
                self.step_down("a voter is stuck above its ballot")
                self._take_over(now_s)
        elif self._proposer.role is not Role.FOLLOWING and self._election.should_step_down(
            self._options.election_rounds
        ):
            self.step_down("phase 1 came to nothing for one election timeout")
            self._election.on_abandoned()
        self.give_way()
        self._watch_clock(now_s)
        is_leading = self._proposer.is_leading
        chosen_through = self._proposer.chosen_through if is_leading else self._standing.chosen_through
        self._election.begin_round(self._proposer.ballot if is_leading else BALLOT_ZERO, chosen_through, now_s)

    def _judge(self, now_s: float) -> None:
        self._election.judge(self._acceptor.promise, is_leading=self._proposer.is_leading)
        if self._can_lead and self._proposer.role is Role.FOLLOWING:
            self._election.consider(
                self._acceptor.accepted_through,
                self._standing.chosen_through,
                now_s,
                is_able=self._fitness.is_able,
            )

    def on_heartbeat(self, peer: Peer, message: Heartbeat, time_ms: int) -> None:
        """Say how this node is."""
        self._election.on_asked(peer)
        self.answer_heartbeat(peer.node, message, time_ms)

    def answer_heartbeat(self, asker: NodeId, message: Heartbeat, time_ms: int) -> None:
        """What this node says of itself."""
        self._outbox.send(
            asker,
            HeartbeatReply(
                message.round,
                self._acceptor.promise,
                self._proposer.is_leading,
                self._election.is_happy and not self._fitness.is_disk_stalled,
                self._standing.is_voting,
                self._standing.chosen_through,
                self._acceptor.accepted_through,
                self._standing.applied_through,
                self._standing.compacted_through,
                self._divergence.own_slot,
                self._divergence.own_digest,
                not self._fitness.is_able,
                self._election.is_led,
                time_ms,
                bool(self._standing.abstain_reason),
            ),
        )

    def on_heartbeat_reply(self, peer: Peer, message: HeartbeatReply, now_s: float) -> None:
        if self._election.on_reply(peer, message):
            self._log_time.on_clock(peer, message.time_ms)  # one that is too late would tell a late clock
        if self._election.is_ready_to_judge:
            self._judge(now_s)
            self.take_over_if_due(now_s)

    # --- taking over ---

    def take_over_if_due(self, now_s: float) -> None:
        due_s = self._election.take_over_at_s
        if due_s is None or now_s < due_s:
            return
        self._election.take_over_at_s = None
        if self._can_lead and self._election.can_take_over(self._standing.chosen_through):
            self._take_over(now_s)

    def _take_over(self, now_s: float) -> None:
        if not self._standing.is_voting or self._proposer.role is not Role.FOLLOWING:
            return
        above = max(self._acceptor.promise, self._election.highest_seen, self._proposer.ballot)
        assert above.era == self._standing.membership.era, (above, self._standing.membership)  # M3
        self.ballots_begun += 1
        self._proposer.begin(above.next_for(self._standing.node), Slot(self._standing.chosen_through + 1), now_s)

    def on_transfer(self, peer: Peer, message: TransferLeadership, now_s: float) -> None:
        """A leader asks this node to take over; the word of one that was replaced since is late."""
        is_superseded = message.ballot < self._election.highest_seen and peer.node != self._election.leader
        is_late = message.ballot < self._acceptor.promise or is_superseded
        self._election.note_ballot(message.ballot)
        if self._can_lead and self._fitness.is_able and not is_late:
            self._take_over(now_s)

    def on_leader_heard(self, peer: Peer, ballot: Ballot) -> None:
        """A message came from the proposer of ``ballot``."""
        if ballot >= self._acceptor.promise and not self._proposer.is_leading:
            self._election.on_leader_heard(peer.node)

    def on_promised(self, before: Ballot, now_s: float) -> None:
        """The own acceptor may have promised somebody else's ballot: then this node's own is over (P2)."""
        promise = self._acceptor.promise
        if promise == before:
            return
        if promise != self._proposer.ballot:
            self.step_down(f"it promised {promise}")
        self._election.on_promised(promise, now_s)
        assert promise >= self._proposer.ballot, (promise, self._proposer.ballot)  # P2

    def lead_if_ready(self, now_s: float) -> None:
        """Lead once phase 1 is complete and what it says is chosen is learned (P4)."""
        if (
            self._proposer.role is not Role.CATCHING_UP
            or self._standing.chosen_through < self._proposer.catch_up_through
        ):
            return
        assert self._proposer.ballot == self._acceptor.promise, (self._proposer.ballot, self._acceptor.promise)  # P1
        self._proposer.lead(self._standing.chosen_through, now_s)
        for value in self._proposer.values_in_flight:
            self._log_time.on_stamp(stamp_of(value))
        self.times_leader += 1
        self._reads.begin_ballot(self._proposer.ballot)
        self._election.on_leading()
        assert self.leader == self._standing.node, self.leader

    # --- a change of members ---

    def on_stopped(self) -> None:
        """Votes have made a change of members chosen: no read is answered on this ballot's word any more (M5, M13).

        Whoever hears that it is chosen goes on without this leader, so this comes before that word leaves the node.
        """
        self._reads.refuse_all()

    def end_era(self) -> None:
        """The membership of this node's ballot is over; what waits for a slot stays (M5)."""
        self._reads.refuse_all()
        self._proposer.end_era()
        self._election.leader = None

    def begin_era(self, now_s: float) -> bool:
        """Stand for election under the new membership at once; False if this node can't."""
        if not self._can_lead:
            return False
        self._take_over(now_s)
        return True

    def drop_waiting(self, was: Role, reason: str) -> None:
        """What waited for this node's next ballot: there is none."""
        self._proposer.drop_waiting(was, reason)
        self._election.on_abandoned()

    # --- giving way ---

    def step_down(self, reason: str) -> None:
        self._reads.refuse_all()
        self._proposer.step_down(reason)
        assert self.leader != self._standing.node, self.leader

    def on_nack(self, sender: NodeId, message: Nack) -> None:
        self._election.note_ballot(message.promise)
        before = self._proposer.role
        self._proposer.on_nack(sender, message)
        if before is not Role.FOLLOWING and self._proposer.role is Role.FOLLOWING:
            self._reads.refuse_all()
            self._election.on_abandoned()

    def give_way(self) -> None:
        """A leader that can't serve asks somebody who can to take over, in every round until it is heard."""
        if self._proposer.is_leading and not self._fitness.is_able:
            self.hand_over(None)

    def _watch_disk(self, oldest_write_age_s: float) -> None:
        """A leader whose disk hangs hands over; a follower whose disk hangs does not take over."""
        self._fitness.watch_disk(oldest_write_age_s)
        if self._fitness.is_disk_stalled and self._proposer.is_leading:
            self.give_way()
            self.step_down("its disk has not finished a write in time")

    def _watch_clock(self, now_s: float) -> None:
        """A leader whose clock is astray hands over to a voter whose clock is not.

        Log time is a quorum's whoever leads (P11), so this is only worth asking now and then: the other one may not
        reach a quorum.
        """
        if not self._proposer.is_leading or not self.is_clock_astray:
            return
        successor = self._election.best_successor()
        due_s = self._clock_asked_at_s + _CLOCK_ROUNDS * self._options.heartbeat_interval_s
        if successor is not None and successor not in self._log_time.astray and now_s >= due_s:
            self._clock_asked_at_s = now_s
            self.hand_over(successor)

    def hand_over(self, target: NodeId | None) -> NoHandOver | None:
        """Ask ``target`` (None: the most up to date) to take over; returns None, or why it is refused."""
        node, membership = self._standing.node, self._standing.membership
        if not self._proposer.is_leading:
            return NoHandOver(f"n{node} does not lead")
        if len(membership.voters) == 1:
            return NoHandOver("this cluster has no other voter")
        successor = self._election.best_successor() if target is None else target
        if successor is None:
            return NoHandOver("no other voter is reachable and able to lead", may_pass=True)
        if successor == node:
            return NoHandOver(f"n{node} leads already")
        if not membership.is_voter(successor):
            return NoHandOver(f"n{successor} is not a voter of this cluster")
        if not self._election.is_reachable(successor):
            return NoHandOver(f"n{successor} has not answered lately", may_pass=True)
        if not self._election.is_able(successor):
            return NoHandOver(f"n{successor} can't lead: its disk is full, hangs or is not trusted yet", may_pass=True)
        self._outbox.send(successor, TransferLeadership(self._proposer.ballot))
        return None

    def tell_leader(self) -> None:
        """Notice when this node follows somebody else, or nobody."""
        leader = self.leader
        if leader != self._leader_told:
            self._leader_told = leader
            self._outbox.notice(NoticeKind.LEADER_CHANGED, leader=leader)

    def check_invariants(self) -> None:
        """What holds between two inputs: its own ballot is promised, and only a leader reads and is called one."""
        is_leading = self._proposer.is_leading
        assert is_leading == (self._proposer.role is Role.LEADING), self._proposer.role
        if self._proposer.role is not Role.FOLLOWING:
            assert self._proposer.ballot == self._acceptor.promise, (self._proposer.ballot, self._acceptor.promise)
        assert is_leading or not self._reads.is_busy, self._proposer.role
        assert (is_leading and not self._proposer.is_stopped) == (self.leader == self._standing.node), self.leader
        self._election.check_invariants(is_leading=is_leading)
