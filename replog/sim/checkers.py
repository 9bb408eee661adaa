"""The checkers: outside, knowing only what was sent, what became durable, what was released and what was answered.

Each check is a method that is told one fact; a violation is remembered as (checker, sentence) and ends the seed. What
can only be judged against the whole log is judged at the end, by ``replay`` in history.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import combinations
from typing import Any, NamedTuple

from crc32c import crc32c

from ..paxos.ballot import BALLOT_ZERO, BEFORE_LOG, Ballot, NodeId, Slot, node_name
from ..paxos.effects import LogWrite
from ..paxos.membership import Membership
from ..paxos.messages import Accept, Accepted, AcceptedSlot, Confirmed, Learn, Message, Prepare, Promise
from ..paxos.outbox import Size
from ..paxos.values import NO_OP, decode_membership, stamp_of
from .disk import SimLogStore
from .member_checks import MembershipChecker
from .violations import Violation as Violation
from .violations import ViolationFound as ViolationFound
from .violations import violation

MESSAGES_PER_S, MESSAGES_BURST = 2_000, 1_500
"""What a node of five may send, at the load of the simulated clients; the burst is what a hanging disk held back."""


class ProtocolChecker:
    """What nodes say, write and release, judged against each other."""

    def __init__(self, membership: Membership) -> None:
        self.members = MembershipChecker(membership)
        self._begun: dict[Ballot, tuple[NodeId, int]] = {}
        self._told: set[tuple[NodeId, Slot, Ballot]] = set()
        self._taught: set[tuple[NodeId, Slot, Ballot]] = set()
        self._held: dict[Slot, dict[Ballot, set[NodeId]]] = {}
        self._chosen: dict[Slot, bytes] = {}
        self._digests: dict[Slot, tuple[bytes, NodeId]] = {}
        self._released: dict[NodeId, Slot] = {}
        self._origin: dict[tuple[Slot, int], Ballot] = {}
        """The first ballot at which a slot's value, known by its checksum, was durable anywhere."""
        self._stamped_through = Slot(0)
        self._newest_stamp = (Slot(0), 0, BALLOT_ZERO)
        self._proposed: dict[tuple[Slot, Ballot], int] = {}
        """The checksum of what each ballot proposed for a slot."""
        self.stamp_ms = 0
        """The log time of the newest batch."""
        self.log_time_ahead_max_ms: float | None = None
        """How far log time may be ahead of the true time; None where a quorum's clocks may be wrong (P11)."""
        self._positions: dict[tuple[NodeId, int], tuple[Slot, ...]] = {}
        self._phase_one = PhaseOneChecker(self.members)
        self.taken: Counter[bytes] = Counter()
        """How often each submission was taken by some node."""
        self.chosen_through = Slot(0)
        self.arrivals: dict[type, Callable[[NodeId, NodeId, Any], None]] = {
            Accept: self.on_accept_arrived,
            Learn: self.on_learn_arrived,
            Promise: self._phase_one.on_promise_arrived,
        }
        """By kind of message, what is told of its arrival: (target, sender, message)."""

    @property
    def chosen(self) -> dict[Slot, bytes]:
        """Every value released anywhere, by slot."""
        return self._chosen

    @property
    def digests(self) -> dict[Slot, tuple[bytes, NodeId]]:
        """The digest after each slot, and who reached it first."""
        return self._digests

    # --- what is sent ---

    def on_sent(self, sender: NodeId, life: int, disk: SimLogStore, message: Message) -> None:
        """A message leaves a node; ``life`` counts the node's restarts."""
        kind = type(message)
        if kind is Accept:
            self.members.on_accept_sent(message)  # type: ignore[arg-type]
            self._phase_one.on_accept_sent(message)  # type: ignore[arg-type]
            return
        if kind is Accepted:
            self._check_accepted(sender, disk, message)  # type: ignore[arg-type]
        elif kind is Promise:
            self._check_promise(sender, disk, message)  # type: ignore[arg-type]
        elif kind is Prepare:
            self._check_prepare(sender, life, disk, message)  # type: ignore[arg-type]
        elif kind is Learn:
            self._check_learn(sender, message)  # type: ignore[arg-type]
            return
        elif kind is not Confirmed:
            return
        if disk.distrust:
            raise violation(
                "abstaining is silent",
                f"{node_name(sender)} says {kind.__name__}, and must not vote: {disk.distrust} (P9)",
            )

    def _check_accepted(self, sender: NodeId, disk: SimLogStore, message: Accepted) -> None:
        for number in range(message.first_slot, message.last_slot + 1):
            record = disk.slots.get(Slot(number))
            if record is None or record.ballot < message.ballot:
                if number <= max(disk.chosen_through, self._released_by(sender)):
                    continue
                raise violation(
                    "durable acceptance",
                    f"{node_name(sender)} says Accepted {message.ballot} for slot {number}, not on its disk (P1)",
                )

    def _check_promise(self, sender: NodeId, disk: SimLogStore, message: Promise) -> None:
        if disk.promise < message.ballot:
            raise violation(
                "durable promise",
                f"{node_name(sender)} promises {message.ballot}; its disk remembers only {disk.promise} (P1)",
            )
        self._phase_one.on_promised(sender, disk, message.ballot, message.chosen_through)

    def _check_prepare(self, sender: NodeId, life: int, disk: SimLogStore, message: Prepare) -> None:
        if disk.promise < message.ballot:
            raise violation(
                "durable ballot",
                f"{node_name(sender)} begins {message.ballot}; its disk remembers only {disk.promise} (P1)",
            )
        if not self.members.of(message.ballot).is_voter(sender):
            raise violation("voters stand", f"{node_name(sender)} begins {message.ballot}, and has no vote there (M3)")
        first = self._begun.setdefault(message.ballot, (sender, life))
        if first != (sender, life):
            raise violation(
                "one ballot once", f"{message.ballot} is begun again, by life {life} of {node_name(sender)}"
            )
        self._phase_one.on_promised(sender, disk, message.ballot, Slot(message.from_slot - 1))

    def _check_learn(self, sender: NodeId, message: Learn) -> None:
        for record in message.slots:
            self._check_chosen(record, "taught is chosen", f"{node_name(sender)} teaches slot {record.slot}", "P8")

    def _check_chosen(self, record: AcceptedSlot, checker: str, what: str, rule: str) -> None:
        """Somebody has released this slot, with this value."""
        if record.slot not in self._chosen:
            raise violation(checker, f"{what}, which nobody has taken for chosen ({rule})")
        if self._chosen[record.slot] != record.value:
            raise violation(checker, f"{what} with {record.ballot}'s value, which is not the chosen one ({rule})")

    # --- what is told and written ---

    def on_accept_arrived(self, target: NodeId, _sender: NodeId, message: Accept) -> None:
        """An Accept reached a node: only then does a record at this ballot count as its vote."""
        self._told.add((target, message.slot, message.ballot))

    def on_learn_arrived(self, target: NodeId, _sender: NodeId, message: Learn) -> None:
        """A Learn reached a node: from here on its record of such a slot may be a lesson, and is no vote."""
        for record in message.slots:
            self._taught.add((target, record.slot, record.ballot))

    def on_durable(
        self, node: NodeId, promise_before: Ballot, write: LogWrite, chosen_before: Slot = BEFORE_LOG
    ) -> None:
        """A write became durable on ``node``, whose disk remembered ``promise_before`` and ``chosen_before``."""
        known_through = max(chosen_before, write.chosen_through or BEFORE_LOG)
        for record in {record.slot: record for record in write.slots}.values():
            if record.slot <= known_through:
                self._check_chosen(
                    record, "the log keeps what is chosen", f"{node_name(node)} stores slot {record.slot}", "P7"
                )
        for record in write.slots:
            if record.slot <= self._released_by(node) and record.value != self._chosen.get(record.slot, record.value):
                raise violation(
                    "released stays",
                    f"{node_name(node)} writes {record.ballot}'s value over slot {record.slot}, which it released (P7)",
                )
            self._origin.setdefault((record.slot, record.crc), record.ballot)
            self._proposed[record.slot, record.ballot] = record.crc
            key = (node, record.slot, record.ballot)
            if key in self._taught or (record.ballot.node != node and key not in self._told):
                continue
            if record.ballot < promise_before:
                raise violation(
                    "promise kept",
                    f"{node_name(node)} stores slot {record.slot} at {record.ballot}, "
                    f"having promised {promise_before} (P2)",
                )
            holders = self._held.setdefault(record.slot, {}).setdefault(record.ballot, set())
            holders.add(node)
            self.members.on_voted(record, holders)

    def on_recovered(self, node: NodeId, before: SimLogStore, found: SimLogStore) -> None:
        """A node starts: it finds what was durable, or abstains; what its log has come to call chosen it will teach."""
        for number in range(max(before.chosen_through, found.compacted_through) + 1, found.chosen_through + 1):
            if found.is_intact(Slot(number)):
                what = f"{node_name(node)} begins with slot {number} known chosen"
                self._check_chosen(found.slots[Slot(number)], "the log keeps what is chosen", what, "P6")
        if not found.distrust:
            self._check_nothing_forgotten(node, before, found)

    def _check_nothing_forgotten(self, node: NodeId, before: SimLogStore, found: SimLogStore) -> None:
        kept = {slot: record for slot, record in before.slots.items() if slot > found.compacted_through}
        for what, is_kept in (
            (f"the promise {before.promise}", before.promise <= found.promise),
            (f"slots chosen through {before.chosen_through}", before.chosen_through <= found.chosen_through),
            (f"version {before.membership.version}", before.membership.version <= found.membership.version),
            (f"slots {sorted(kept)} as they were", kept == found.slots),
        ):
            if not is_kept:
                raise violation("durable stays", f"{node_name(node)} starts without {what}, which was durable (P1)")

    def on_read(self, node: NodeId, disk: SimLogStore, first: Slot, found: list[AcceptedSlot]) -> None:
        """A node reads its log from ``first`` on; of damage it finds nothing."""
        record = None if first in disk.damaged else disk.slots.get(first)
        if record != (found[0] if found else None):
            raise violation("durable is read", f"{node_name(node)} reads slot {first} not as it is on its disk")

    def on_positions(self, node: NodeId, life: int, positions: tuple[Slot, ...]) -> None:
        """Where a node stands after a turn; the same positions each time."""
        before = self._positions.get((node, life), positions)
        if positions != before and any(now < then for now, then in zip(positions, before, strict=True)):
            raise violation("positions rise", f"{node_name(node)} goes back from {before} to {positions} (P7)")
        self._positions[node, life] = positions

    # --- what it costs ---

    def on_measured(self, node: NodeId, sizes: list[Size], messages: int, seconds: float) -> None:
        """What a node keeps in memory, and what it has sent in some time, however it was hurt."""
        for size in sizes:
            if size.count > size.count_max:
                raise violation(
                    "bounded memory", f"{node_name(node)} keeps {size.count} {size.what}, at most {size.count_max}"
                )
        if messages > MESSAGES_BURST + MESSAGES_PER_S * seconds:
            raise violation("bounded messages", f"{node_name(node)} sends {messages} messages in {seconds:.3f} s")

    # --- what is released and applied ---

    def on_released(self, node: NodeId, record: AcceptedSlot, disk: SimLogStore) -> None:
        """A node treats a slot as chosen."""
        known = self._chosen.get(record.slot)
        if known is None:
            if not self.members.is_chosen(record.slot):
                raise violation(
                    "chosen by a quorum",
                    f"{node_name(node)} takes slot {record.slot} for chosen; no quorum holds it at one ballot (P5)",
                )
            if crc32c(record.value) != record.crc:
                raise violation(
                    "damage is not chosen",
                    f"{node_name(node)} takes a damaged value of slot {record.slot} for chosen (P10)",
                )
            self._chosen[record.slot] = record.value
            self.members.on_released(record)
            self.chosen_through = max(self.chosen_through, record.slot)
        elif known is not record.value and known != record.value:
            raise violation(
                "one value a slot",
                f"{node_name(node)} takes another value for slot {record.slot} than was taken before (P5)",
            )
        held = disk.slots.get(record.slot)
        is_in_state = record.slot <= disk.compacted_through  # an installed state overtook the write
        is_damaged = record.slot in disk.damaged  # since it became durable: another fault, that the node meets later
        if not is_in_state and not is_damaged and (held is None or held.value != record.value):
            raise violation(
                "released is durable", f"{node_name(node)} releases slot {record.slot}, which is not on its disk (P7)"
            )
        self._released[node] = record.slot

    def on_stamped(self, record: AcceptedSlot, true_ms: float) -> None:
        """A slot was released somewhere at ``true_ms``: log time never falls and never runs ahead (P11).

        A later leader has to adopt what earlier ballots left (P4), each of which knew only its own values of the slots
        below. So a stamp may be older than one of a later ballot, or than one for whose slot its own ballot had another
        value.
        """
        if record.slot <= self._stamped_through:
            return
        self._stamped_through = record.slot
        stamp_ms = stamp_of(record.value)
        if not stamp_ms:
            return
        origin = self._origin.get((record.slot, record.crc), record.ballot)
        if stamp_ms < self.stamp_ms:
            slot, crc, newest = self._newest_stamp
            if origin < newest or self._proposed.get((slot, origin), crc) != crc:
                return
            raise violation(
                "log time never falls",
                f"slot {record.slot} is stamped {self.stamp_ms - stamp_ms} ms before an earlier",
            )
        self.stamp_ms = stamp_ms
        self._newest_stamp = (record.slot, record.crc, origin)
        if self.log_time_ahead_max_ms is not None and stamp_ms > true_ms + self.log_time_ahead_max_ms:
            raise violation(
                "log time is true", f"slot {record.slot} is stamped {stamp_ms - true_ms:.0f} ms after it was chosen"
            )

    def _released_by(self, node: NodeId) -> Slot:
        return self._released.get(node, Slot(0))

    def on_applied(self, node: NodeId, slot: Slot, digest: bytes) -> None:
        """A state machine stands after ``slot`` with ``apply.digest``."""
        known = self._digests.setdefault(slot, (digest, node))
        if known[0] != digest:
            raise violation(
                "equal digest",
                f"{node_name(node)} and {node_name(known[1])} differ after slot {slot}",
            )


class _Holding(NamedTuple):
    """What one acceptor's disk held below a ballot when it first promised that ballot."""

    chosen_through: Slot
    accepted: dict[Slot, AcceptedSlot]


class PhaseOneChecker:
    """What a leader proposes is what the disks of some quorum of its promises held (P3, P4).

    It knows whose promise has arrived before the first proposal, not which of them the leader went by; so every quorum
    among them is a way to explain its proposals, until one of these can't come from it. A disk counts as it was at the
    first promise of a ballot: below that ballot nothing is accepted there afterwards.
    """

    def __init__(self, members: MembershipChecker) -> None:
        self._members = members
        self._held: dict[Ballot, dict[NodeId, _Holding]] = {}
        self._arrived: dict[Ballot, set[NodeId]] = {}
        self._quorums: dict[Ballot, list[_Holding]] = {}
        self._adopted_through: dict[Ballot, Slot] = {}

    def on_promised(self, node: NodeId, disk: SimLogStore, ballot: Ballot, chosen_through: Slot) -> None:
        """A promise leaves a node, or the candidate's own: its Prepare, which rests on it."""
        held = self._held.setdefault(ballot, {})
        if node in held:
            return
        held[node] = _Holding(
            chosen_through,
            {
                slot: record
                for slot, record in disk.slots.items()
                if slot > chosen_through and record.ballot < ballot and slot not in disk.damaged
            },
        )
        if node == ballot.node:
            self._arrived[ballot] = {node}

    def on_promise_arrived(self, target: NodeId, sender: NodeId, message: Promise) -> None:
        """A piece of a promise reached its candidate."""
        if target == message.ballot.node and message.ballot in self._arrived:
            self._arrived[message.ballot].add(sender)

    def on_accept_sent(self, message: Accept) -> None:
        """Above what phase 1 found a value is new, and free."""
        ballot, slot = message.ballot, message.slot
        if slot > self._adopted_through.get(ballot, slot):
            return
        if ballot not in self._quorums:
            self._begin(ballot)
        membership = self._members.of(ballot)
        explained = [quorum for quorum in self._quorums[ballot] if _explains(quorum, message, membership)]
        if not explained and ballot in self._arrived:
            raise violation(
                "phase 1 is followed",
                f"{node_name(ballot.node)} proposes at {ballot} for slot {slot} what no quorum of the promises that "
                "reached it allows (P4)",
            )
        self._quorums[ballot] = explained

    def _begin(self, ballot: Ballot) -> None:
        """The first proposal: whoever's promise has come by now may have counted."""
        held, membership = self._held.get(ballot, {}), self._members.of(ballot)
        nodes = [node for node in self._arrived.get(ballot, ()) if membership.is_voter(node)]
        self._quorums[ballot] = [
            _together([held[node] for node in quorum])
            for count in range(membership.quorum_count, len(nodes) + 1)
            for quorum in combinations(sorted(nodes), count)
        ]
        through = [slot for quorum in self._quorums[ballot] for slot in (quorum.chosen_through, *quorum.accepted)]
        self._adopted_through[ballot] = max(through, default=Slot(0))


def _together(holdings: list[_Holding]) -> _Holding:
    """For each slot the acceptance with the highest ballot."""
    accepted: dict[Slot, AcceptedSlot] = {}
    for holding in holdings:
        for slot, record in holding.accepted.items():
            if slot not in accepted or record.ballot > accepted[slot].ballot:
                accepted[slot] = record
    return _Holding(max(holding.chosen_through for holding in holdings), accepted)


def _explains(quorum: _Holding, message: Accept, membership: Membership) -> bool:
    """Whether a leader that went by these disks may propose that.

    A change of members that stands ends what is adopted, and one below something of a higher ballot is void (M4).
    """
    held = quorum.accepted.get(message.slot)
    if message.slot <= quorum.chosen_through:
        return False
    for slot, record in quorum.accepted.items():
        if slot <= message.slot and _is_change(record, membership):
            is_void = any(above > slot and other.ballot > record.ballot for above, other in quorum.accepted.items())
            if slot == message.slot and is_void:
                return message.value == NO_OP
            if slot < message.slot and slot > quorum.chosen_through and not is_void:
                return False
    return held is None or held.value == message.value


def _is_change(record: AcceptedSlot, membership: Membership) -> bool:
    change = decode_membership(record.value)
    return change is not None and change.version == membership.version + 1
