"""Every role of one node, built around one record of what the node knows of itself and one of its peers.

The roles never see each other. Here is what may be asked of them from outside; ``Replica`` is what happens to them.
"""

from __future__ import annotations

import random as random_module
from collections.abc import Callable, Collection

import msgspec

from .acceptor import Acceptor
from .ballot import Ballot, NodeId, Slot
from .catch_up import CatchUp
from .divergence import Contradiction, Divergence
from .effects import NoChange, NoHandOver, NoticeKind, Refusal
from .election import Election
from .fitness import Fitness
from .leadership import Leadership
from .learner import Learner
from .log_time import LogTime
from .membership import Member, Membership
from .membership_change import MembershipChange
from .options import PaxosOptions
from .outbox import Outbox, Size
from .peers import Peers
from .pending_writes import PendingWrites
from .proposer import Proposer, Role
from .reads import Reads
from .recovered import Recovered
from .standing import Standing
from .teacher import Teacher
from .waiting_submissions import WaitingSubmissions


class ReplicaStatistics(msgspec.Struct, frozen=True):
    """Plain counts since the replica was made."""

    ballots_begun: int
    times_leader: int
    slots_released: int
    damaged_received: int
    slots_in_flight: int
    submissions_waiting: int
    batches_held: int
    """Batches that waited a moment for more, see ``PaxosOptions.hold_s``."""


class Roles:
    """What one member of the cluster is made of, and what may be asked of it."""

    def __init__(
        self,
        *,
        node: NodeId,
        options: PaxosOptions,
        recovered: Recovered,
        random: random_module.Random,
        checksum: Callable[[bytes], int],
        now_s: float,
        time_ms: int,
    ) -> None:
        self.node = node
        self.options = options
        outbox, standing = Outbox(node, recovered.membership.version), Standing(node, recovered)
        peers = Peers(node, recovered.membership)
        self._outbox, self._standing, self._peers = outbox, standing, peers
        self._acceptor = Acceptor(options, recovered, outbox, standing, checksum)
        self._waiting = WaitingSubmissions(options)
        self._proposer = Proposer(options, outbox, standing, peers, self._waiting, checksum)
        self._learner = Learner(options, recovered, outbox, standing, checksum)
        self._catch_up = CatchUp(options, outbox, standing, peers, checksum, random)
        self._teacher = Teacher(options, outbox, standing)
        self._reads = Reads(options, outbox, standing)
        self._election = Election(options, outbox, standing, peers, random, now_s)
        self._divergence = Divergence(outbox, standing, peers)
        self._log_time = LogTime(options, outbox, standing, peers, now_s, time_ms)
        self._fitness = Fitness(options, outbox, standing)
        self._pending_writes = PendingWrites(node)
        self._leadership = Leadership(
            options,
            outbox,
            standing,
            acceptor=self._acceptor,
            proposer=self._proposer,
            reads=self._reads,
            election=self._election,
            fitness=self._fitness,
            divergence=self._divergence,
            log_time=self._log_time,
        )
        self._members = MembershipChange(
            options,
            outbox,
            standing,
            peers,
            acceptor=self._acceptor,
            proposer=self._proposer,
            election=self._election,
            catch_up=self._catch_up,
            leadership=self._leadership,
        )
        self._slots_released = 0
        self._now_s = now_s
        self._time_ms = time_ms
        self._is_checked = options.are_invariants_checked
        self._log_time.on_stamp(recovered.log_time_ms)
        if recovered.damaged_reason:
            outbox.notice(NoticeKind.ABSTAINED, reason=recovered.damaged_reason)

    # --- what clients and operators ask ---

    def submit(self, submission: bytes) -> Refusal | None:
        """Order one opaque submission; None: taken. Not taken: definitely not done."""
        return self._waiting.submit(submission)

    def read(self, read_id: int) -> Refusal | None:
        """Ask for a linearizable read; it comes back in ``Effects.reads`` or ``Effects.reads_refused``."""
        if not self._proposer.is_leading or self._proposer.is_stopped:  # M5
            return Refusal.NOT_LEADER
        return self._reads.read(read_id)

    def transfer_leadership(self, target: NodeId | None) -> NoHandOver | None:
        """Hand over to ``target`` (None: the most up to date); returns None, or why it is refused."""
        return self._leadership.hand_over(target)

    def change_members(
        self,
        voters: Collection[NodeId],
        learners: Collection[NodeId] = (),
        if_version: int | None = None,
        described: Collection[Member] = (),
        *,
        is_dry_run: bool = False,
    ) -> NoChange | None:
        """Propose other members; None: proposed, and done once its Membership is released with the next version.

        Parameters
        ----------
        voters, learners: all of them, from the change on.
        if_version: the version that the caller has seen; another one in force is a refusal.
        described: addresses and incarnations that are new; of the others what is known stays.
        is_dry_run: nothing is proposed; None: it would be.
        """
        return self._members.propose(voters, learners, if_version, described, self._now_s, is_dry_run=is_dry_run)

    # --- what is known ---

    @property
    def standing(self) -> Standing:
        """What the node knows of itself, for whoever only reads it, and often."""
        return self._standing

    @property
    def membership(self) -> Membership:
        return self._standing.membership

    @property
    def is_storage_full(self) -> bool:
        """Whether new commands are refused here for want of room; what ``on_storage_full`` said last."""
        return self._fitness.is_full

    @property
    def is_leading(self) -> bool:
        return self._proposer.is_leading

    @property
    def is_voting(self) -> bool:
        return self._standing.is_voting

    @property
    def abstain_reason(self) -> str:
        """Empty, or why this node does not vote (P9, P10)."""
        return self._standing.abstain_reason

    @property
    def problem(self) -> str:
        """Empty, or why this node is not fully at work."""
        return self._standing.abstain_reason or self._fitness.problem

    def is_damaged(self, slot: Slot) -> bool:
        """Whether the record of ``slot`` is known damaged here; reading it again before it is repaired is of no use."""
        return slot in self._standing.damaged

    @property
    def leader(self) -> NodeId | None:
        """The node this one follows, itself only while it leads, or None while it knows of none that is alive."""
        return self._leadership.leader

    @property
    def peers_heard(self) -> frozenset[NodeId]:
        """Who answers this node's heartbeats."""
        return frozenset(peer.node for peer in self._peers.values() if self._election.is_heard(peer))

    @property
    def peers_abstaining(self) -> frozenset[NodeId]:
        """Which members say that they don't trust their memory; each may be voted in again under a new id only."""
        return frozenset(peer.node for peer in self._peers.values() if peer.reply and peer.reply.is_abstaining)

    @property
    def promise(self) -> Ballot:
        return self._acceptor.promise

    @property
    def chosen_through(self) -> Slot:
        return self._standing.chosen_through

    @property
    def contradiction(self) -> Contradiction | None:
        """Who contradicts this node's state while no majority is known to hold it."""
        return self._divergence.contradiction

    @property
    def clock_offset_ms(self) -> int | None:
        """How far this node's wall clock is ahead of a quorum's; None while that is not known (P11)."""
        return self._log_time.offset_ms

    @property
    def is_clock_astray(self) -> bool:
        return self._leadership.is_clock_astray

    @property
    def log_time_ahead_ms(self) -> int:
        """How far log time is ahead of a quorum's clock; 0 unless it is more than ``clock_offset_max_s``."""
        return self._log_time.ahead_ms if self._log_time.is_ahead else 0

    @property
    def compacted_through(self) -> Slot:
        return self._standing.compacted_through

    @property
    def goal(self) -> Slot:
        """The highest slot anybody is known to know chosen."""
        return self._catch_up.goal

    @property
    def role(self) -> Role:
        return self._proposer.role

    @property
    def submissions_waiting(self) -> int:
        """Submissions that have no slot yet."""
        return len(self._waiting)

    def _next_deadline_s(self, now_s: float, *, is_behind: bool) -> float:
        """When something is due that nobody sends."""
        deadline_s = self._election.round_at_s
        take_over_at_s, held_until_s = self._election.take_over_at_s, self._waiting.held_until_s
        if take_over_at_s is not None and take_over_at_s < deadline_s:
            deadline_s = take_over_at_s
        if held_until_s is not None and held_until_s < deadline_s and self._proposer.can_propose:
            deadline_s = held_until_s  # while there is no room for it, what makes room comes as an event
        again_s = now_s + self.options.resend_interval_s
        if again_s < deadline_s and (is_behind or self._proposer.is_waiting or self._reads.is_waiting):
            return again_s
        return deadline_s

    def statistics(self) -> ReplicaStatistics:
        receivers = (self._acceptor, self._proposer, self._learner, self._catch_up)
        return ReplicaStatistics(
            ballots_begun=self._leadership.ballots_begun,
            times_leader=self._leadership.times_leader,
            slots_released=self._slots_released,
            damaged_received=sum(role.damaged_received_count for role in receivers),
            slots_in_flight=len(self._proposer.values_in_flight),
            submissions_waiting=len(self._waiting),
            batches_held=self._waiting.batches_held,
        )

    def sizes(self) -> list[Size]:
        """What is kept in memory, with its bounds: the options', whatever the peers, the clients and the disk do."""
        return [
            *self._acceptor.sizes(),
            *self._proposer.sizes(),
            *self._waiting.sizes(),
            *self._learner.sizes(),
            *self._catch_up.sizes(),
            *self._reads.sizes(),
        ]

    def check_invariants(self) -> None:
        """Compare all that is kept with itself, between two inputs; raises AssertionError where the core is wrong."""
        self._standing.check_invariants()
        self._peers.check_invariants(self._standing.membership)
        self._acceptor.check_invariants()
        self._proposer.check_invariants()
        self._waiting.check_invariants()
        self._learner.check_invariants()
        self._catch_up.check_invariants()
        self._leadership.check_invariants()
        self._pending_writes.check_invariants()
        assert not self._outbox.local, self._outbox.local
