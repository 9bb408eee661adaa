"""Phase 1b: what the acceptors of one ballot have promised, piece by piece.

Rules protected: an acceptor counts only when all pieces of one answer have come (P3), and of what a quorum reports the
acceptance with the highest ballot is taken for each slot (P4).
"""

from __future__ import annotations

import attrs

from .ballot import NodeId, Slot
from .messages import AcceptedSlot, Promise


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
