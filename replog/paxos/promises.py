"""Phase 1b: what the acceptors of one ballot have promised, piece by piece.

Rules protected: an acceptor counts only when all pieces of one answer have come (P3), and of what a quorum reports the
acceptance with the highest ballot is taken for each slot (P4), up to the first change of members that may have been
chosen (M4).
"""

from __future__ import annotations

from typing import NamedTuple

import attrs

from .ballot import NodeId, Slot
from .membership import Membership
from .messages import AcceptedSlot, Promise
from .values import decode_membership


@attrs.define(eq=False)
class _Reported:
    """One acceptor's Promise, piece by piece."""

    piece_count: int
    chosen_through: Slot
    pieces: set[int]
    accepted: list[AcceptedSlot]

    @property
    def is_complete(self) -> bool:
        return len(self.pieces) == self.piece_count


class Plan(NamedTuple):
    """What a new leader proposes first, slot after slot (P4, M4).

    Parameters
    ----------
    values: what was reported, or None for a no-op.
    has_stop: whether the last one is a change of members: nothing is proposed above it.
    found_count: slots for which anything was reported.
    """

    values: list[AcceptedSlot | None]
    has_stop: bool
    found_count: int


class Promises:
    """The answers to one Prepare."""

    def __init__(self) -> None:
        self._reported: dict[NodeId, _Reported] = {}

    def on_promise(self, sender: NodeId, message: Promise) -> None:
        """One piece; one of another answer than the last begins anew."""
        reported = self._reported.get(sender)
        if (
            reported is None
            or reported.piece_count != message.piece_count
            or reported.chosen_through != message.chosen_through
        ):
            reported = _Reported(message.piece_count, message.chosen_through, set(), [])
            self._reported[sender] = reported
        if message.piece not in reported.pieces:
            reported.pieces.add(message.piece)
            reported.accepted.extend(message.accepted)
        assert len(reported.pieces) <= reported.piece_count, (sender, reported.pieces, reported.piece_count)

    def is_complete_from(self, node: NodeId) -> bool:
        reported = self._reported.get(node)
        return reported is not None and reported.is_complete

    @property
    def complete(self) -> set[NodeId]:
        """Who has promised, with all that there is to report."""
        return {node for node, reported in self._reported.items() if reported.is_complete}

    def chosen_through(self, nodes: set[NodeId]) -> Slot:
        """The highest position that any of ``nodes`` knows chosen."""
        return max(self._reported[node].chosen_through for node in nodes)

    def highest(self, *, above: Slot) -> dict[Slot, AcceptedSlot]:
        """For each slot the acceptance with the highest ballot (Paxos Made Simple, section 2.2, phase 2 a)."""
        found: dict[Slot, AcceptedSlot] = {}
        for reported in self._reported.values():
            if not reported.is_complete:
                continue
            for record in reported.accepted:
                held = found.get(record.slot)
                if record.slot > above and (held is None or record.ballot > held.ballot):
                    found[record.slot] = record
        return found

    def plan(self, membership: Membership, *, above: Slot) -> Plan:
        """What follows from the answers for whoever leads under ``membership``.

        A change of members stands only if nothing above it is reported at a higher ballot. Else it is void: had it been
        chosen, that ballot's leader would have found it and proposed nothing above it. A no-op takes its place, and
        what may be chosen above it stays (Lamport, Malkhi, Zhou, "Stoppable Paxos", MSR-TR-2008-192). Above one that
        stands nothing that is reported can be chosen.
        """
        found = self.highest(above=above)
        values: list[AcceptedSlot | None] = []
        for number in range(above + 1, max(found, default=above) + 1):
            record = found.get(Slot(number))
            change = None if record is None else decode_membership(record.value)
            if record is not None and change is not None and change.follows(membership):
                if all(later.ballot <= record.ballot for slot, later in found.items() if slot > number):
                    return Plan([*values, record], True, len(found))
                record = None
            values.append(record)
        return Plan(values, False, len(found))
