"""A change of members: what is asked before one is proposed, and what a node does when one is in force.

It owns no fact but who begins anew. A change is a stop-sign: the last value that the old voters choose; from the next
slot on the new ones do, after an election in place. Rules protected (docs/PROTOCOL.md, "Membership"): a ballot, its
votes and its reads belong to one membership and end with it (M2, M5, M13); the members it leaves behind are told; and
who is no member is taught what it missed, and has no voice in anything (M6, M7).
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from .acceptor import Acceptor
from .ballot import BEFORE_LOG, NodeId, Slot, node_name
from .catch_up import CatchUp
from .effects import NoChange, NoticeKind
from .effects import NoChangeCode as Code
from .election import Election
from .leadership import Leadership
from .membership import Member, Membership, joined
from .messages import (
    Accept,
    BelowFloor,
    Confirm,
    FetchSnapshot,
    Heartbeat,
    HeartbeatReply,
    Learn,
    LearnRequest,
    Message,
    Nack,
    Prepare,
    SnapshotChunk,
)
from .options import PaxosOptions
from .outbox import Outbox
from .peers import Peer, Peers
from .proposer import Proposer, Role
from .standing import Standing


class MembershipChange:
    """Moves a node from one membership to the next; told by the replica what was released and who spoke."""

    def __init__(
        self,
        options: PaxosOptions,
        outbox: Outbox,
        standing: Standing,
        peers: Peers,
        *,
        acceptor: Acceptor,
        proposer: Proposer,
        election: Election,
        catch_up: CatchUp,
        leadership: Leadership,
    ) -> None:
        self._options = options
        self._outbox = outbox
        self._standing = standing
        self._peers = peers
        self._acceptor = acceptor
        self._proposer = proposer
        self._election = election
        self._catch_up = catch_up
        self._leadership = leadership
        self._ended: Role | None = None
        """It led or stood for election until the membership of its ballot ended."""

    # --- proposing one ---

    def propose(
        self,
        voters: Collection[NodeId],
        learners: Collection[NodeId],
        if_version: int | None,
        told: Collection[Member],
        now_s: float,
        *,
        is_dry_run: bool,
    ) -> NoChange | None:
        """See ``Replica.change_members``."""
        current = self._standing.membership
        sets = frozenset(voters), frozenset(learners)
        described = joined(current.described, told, {*voters, *learners})
        refusal = (
            self._unable(if_version)
            or self._impossible(*sets)
            or self._misdescribed(described)
            or self._untimely(*sets, described)
            or self._unreached(sets[0])
        )
        if refusal is not None or is_dry_run:
            return refusal
        next_node = max(current.unused_from, NodeId(max([*voters, *learners]) + 1))
        version, voting, learning = current.version + 1, tuple(sorted(voters)), tuple(sorted(learners))
        changed = Membership(version, voting, learning, next_node, described)
        self._proposer.change_members(changed, now_s)
        return None

    # What is refused before it costs anything (M10).

    def _unable(self, if_version: int | None) -> NoChange | None:
        """Whatever is asked, it is not asked of this node, or of this membership."""
        current = self._standing.membership
        if not self._proposer.is_leading:
            return NoChange(Code.NOT_LEADER, f"{node_name(self._standing.node)} does not lead", may_pass=True)
        if if_version is not None and if_version != current.version:
            reason = f"the membership has version {current.version}, not {if_version}"
            return NoChange(Code.OTHER_VERSION, reason)
        return None

    def _impossible(self, voters: frozenset[NodeId], learners: frozenset[NodeId]) -> NoChange | None:
        """No such members can follow on those in force."""
        current = self._standing.membership
        if not voters:
            return NoChange(Code.NO_VOTERS, "a cluster needs at least one voter")
        if voters & learners:
            return NoChange(Code.TWO_ROLES, f"{_names(voters & learners)} can't be both a voter and a learner")
        used = [one for one in (voters | learners).difference(current.members) if one < current.unused_from]
        if used:
            reason = f"{_names(used)} can't be used again: ids from {node_name(current.unused_from)} on are free"
            return NoChange(Code.ID_USED, reason)
        strangers = voters.difference(current.members)
        if strangers:
            return NoChange(Code.NO_LEARNER, f"{_names(strangers)} has to be a learner first")
        return None

    def _misdescribed(self, described: tuple[Member, ...]) -> NoChange | None:
        """An incarnation is told once (M7); two members can't be reached at one address."""
        current = self._standing.membership
        addresses = [member.address for member in described if member.address]
        for member in described:
            if addresses.count(member.address) > 1:
                return NoChange(Code.ADDRESS_TAKEN, f"{member.address} would be the address of two members")
            known = current.described_as(member.node).incarnation
            if known and member.incarnation != known:
                return NoChange(Code.OTHER_INCARNATION, f"{node_name(member.node)} is known by another directory")
        return None

    def _untimely(
        self, voters: frozenset[NodeId], learners: frozenset[NodeId], described: tuple[Member, ...]
    ) -> NoChange | None:
        current = self._standing.membership
        asked = (voters, learners, described)
        if asked == (frozenset(current.voters), frozenset(current.learners), current.described):
            return NoChange(Code.NOTHING_TO_DO, "these are the members already")
        if not self._proposer.can_change_members:
            reason = "another change is open, or the leader has only begun"
            return NoChange(Code.CHANGE_OPEN, reason, may_pass=True)
        return None

    def _unreached(self, voters: frozenset[NodeId]) -> NoChange | None:
        """Whether the new voters could go on at once, by what they last said of themselves."""
        newcomers = voters.difference(self._standing.membership.voters)
        abstaining = [one for one in newcomers if self._abstains(one)]
        if abstaining:
            reason = f"{_names(abstaining)} abstains, since it can't trust its memory"
            return NoChange(Code.ABSTAINING, reason)
        late = [voter for voter in voters if not self._is_promotable(voter)]
        if late:
            return NoChange(Code.BEHIND, f"{_names(late)} has not caught up yet", may_pass=True)
        reached = [voter for voter in voters if voter == self._standing.node or self._is_fit(voter)]
        quorum_count = len(voters) // 2 + 1
        if len(reached) < quorum_count:
            reason = f"of the new voters {len(reached)} are reached and able, and {quorum_count} make a quorum"
            return NoChange(Code.NO_QUORUM, reason, may_pass=True)
        return None

    def _is_promotable(self, node: NodeId) -> bool:
        """A learner that is to vote has the log and a state near its end; never "equal", which is never so (M8)."""
        if self._standing.membership.is_voter(node):
            return True
        reply = self._peers[node].reply
        if reply is None or reply.is_full or not self._election.is_reachable(node):
            return False
        near = self._standing.chosen_through - self._options.accept_ahead_slots_max  # else it could accept nothing
        return reply.chosen_through >= near and reply.applied_through >= near

    def _is_fit(self, node: NodeId) -> bool:
        """It answers, and votes if it has a vote."""
        reply = self._peers[node].reply
        if reply is None or reply.is_full or not self._election.is_reachable(node):
            return False
        return not self._abstains(node)

    def _abstains(self, node: NodeId) -> bool:
        """It has a vote and does not use it, or it is a learner that would not use one."""
        if node == self._standing.node:
            return bool(self._standing.abstain_reason)
        reply = self._peers[node].reply
        is_silent_voter = reply is not None and self._standing.membership.is_voter(node) and not reply.is_voting
        return reply is not None and (reply.is_abstaining or is_silent_voter)

    # --- one is in force ---

    def leave(self, membership: Membership, slot: Slot, close: Callable[[Peer], None]) -> None:
        """``membership`` was released in ``slot``, or stands in a state that was installed there.

        A leader whose own votes made it chosen, and a candidate, go on under the new membership (``go_on``). A leader
        that learns it in any other way was deposed: its proposals and votes are dropped (M2).
        """
        role, is_own = self._proposer.role, self._proposer.is_stopped
        if is_own:
            self._tell_last(membership, slot)
        if is_own or role in (Role.PREPARING, Role.CATCHING_UP):
            self._ended = self._ended or role
            self._leadership.end_era()
        elif role is Role.LEADING:
            self._leadership.step_down(f"version {membership.version} of the members was chosen without it")
        for gone in self._peers.keys() - membership.members:
            close(self._peers[gone])

    def enter(self, slot: Slot) -> None:
        """The membership of ``slot`` is in force."""
        membership = self._standing.membership
        self._outbox.store_membership(membership)
        self._peers.follow(membership)
        self._acceptor.on_membership()
        self._outbox.notice(NoticeKind.MEMBERSHIP_CHANGED, version=membership.version, slot=slot)

    def _tell_last(self, membership: Membership, slot: Slot) -> None:
        """The last word of the ballot, to both sets: the stop is chosen (M5)."""
        heartbeat = Heartbeat(self._election.round, self._proposer.ballot, slot)
        for node in sorted({*self._peers, *membership.members} - {self._standing.node}):
            self._outbox.send(node, heartbeat)

    def go_on(self, now_s: float) -> None:
        """Once all is adopted that came with it: whoever led or tried to stands for a ballot of the new era (M5)."""
        if self._ended is None:
            return
        was, self._ended = self._ended, None
        if self._catch_up.is_behind or not self._leadership.begin_era(now_s):
            self._leadership.drop_waiting(was, "it does not stand under the new membership")

    # --- strangers ---

    def hear_stranger(self, sender: NodeId, message: Message, now_s: float, time_ms: int) -> Peer | None:
        """What a node says that is no member here: answered, noted, or left alone; the guest whose word is heard (M6).

        Whoever speaks of a later era is asked what was missed, and whoever may have been removed is taught. Before the
        first change there is neither.
        """
        standing = self._standing
        match message:
            case Prepare(ballot, _) | Accept(ballot) | Confirm(ballot):
                if ballot.round < standing.rounds_begin:
                    self._outbox.send(sender, Nack(ballot, self._acceptor.promise))
                elif ballot.round >= standing.rounds_end:
                    self._note(sender, now_s, message.chosen_through if isinstance(message, Accept) else BEFORE_LOG)
            case Heartbeat():
                if message.ballot.round >= standing.rounds_end:
                    self._note(sender, now_s, message.chosen_through)
                if standing.rounds_begin:
                    self._leadership.answer_heartbeat(sender, message, time_ms)
            case HeartbeatReply():
                if message.promise.round >= standing.rounds_end:
                    self._note(sender, now_s, message.chosen_through, message.compacted_through)
            case LearnRequest() | FetchSnapshot():
                if standing.rounds_begin:
                    return self._guest(sender, now_s)
            case Learn() | BelowFloor() | SnapshotChunk():
                return self._peers.guests.get(sender)
        return None

    def _note(self, sender: NodeId, now_s: float, chosen_through: Slot, compacted_through: Slot | None = None) -> None:
        self._catch_up.on_position(self._guest(sender, now_s), chosen_through, compacted_through)

    def _guest(self, sender: NodeId, now_s: float) -> Peer:
        guest, gone = self._peers.welcome(sender)
        if gone is not None:
            self.forget_guest(gone, now_s)
        return guest

    def forget_guest(self, guest: Peer, now_s: float) -> None:
        """Its link is gone, or another one needs its place."""
        self._peers.guests.pop(guest.node, None)
        guest.close_link()
        self._catch_up.on_link_closed(guest, now_s)


def _names(nodes: Collection[NodeId]) -> str:
    return ", ".join(node_name(node) for node in sorted(nodes))
