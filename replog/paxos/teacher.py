"""The teacher: what this node tells peers that are behind.

It owns nothing but who is being read for. Rule protected: only what is known chosen is taught (P8), one piece at a time
to each peer, and what is gone from the log is said to be gone.
"""

from __future__ import annotations

from collections.abc import Sequence

from .effects import ReadSlots
from .messages import AcceptedSlot, BelowFloor, Learn, LearnRequest
from .options import PaxosOptions
from .outbox import Outbox
from .peers import Peer
from .standing import Standing


class Teacher:
    """Answers questions for chosen slots from the log."""

    def __init__(self, options: PaxosOptions, outbox: Outbox, standing: Standing) -> None:
        self._options = options
        self._outbox = outbox
        self._standing = standing

    def on_learn_request(self, peer: Peer, message: LearnRequest) -> None:
        """Have the piece read; below the floor say so."""
        chosen_through, compacted_through = self._standing.chosen_through, self._standing.compacted_through
        if message.from_slot <= compacted_through:
            self._outbox.send(peer.node, BelowFloor(compacted_through, chosen_through))
        elif message.from_slot <= chosen_through and not peer.is_read_for:
            peer.is_read_for = True
            self._outbox.slot_reads.append(
                ReadSlots(
                    peer.node,
                    message.from_slot,
                    min(message.through, chosen_through),
                    self._options.piece_slots_max,
                    self._options.piece_bytes_max,
                )
            )

    def on_slots_read(self, peer: Peer, slots: Sequence[AcceptedSlot]) -> None:
        """A piece has been read (empty: nothing could be read)."""
        assert not slots or slots[-1].slot <= self._standing.chosen_through, slots[-1]  # P8
        peer.is_read_for = False
        self._outbox.send(peer.node, Learn(self._standing.chosen_through, tuple(slots)))
