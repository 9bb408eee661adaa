"""The learner: which slots are chosen, and in which order they leave for the state machine.

It owns the records above what is chosen and hands them out in order, without gaps (P7), each durable in this node's own
log before. It does not vote and does not know how a value came to be chosen. It learns in two ways only: the leader at
ballot b says "chosen through s" and this node accepted those slots at b (P6); or a peer teaches a value it knows
chosen (P8). How what is missing is asked for is ``catch_up``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .ballot import BALLOT_ZERO, BEFORE_LOG, Ballot, Slot
from .messages import AcceptedSlot, Learn
from .options import PaxosOptions
from .outbox import Outbox, Size
from .recovered import Recovered
from .standing import Standing
from .values import decode_membership


class Learner:
    """Learns slots in order; what it finds, the replica writes into the standing."""

    def __init__(
        self,
        options: PaxosOptions,
        recovered: Recovered,
        outbox: Outbox,
        standing: Standing,
        checksum: Callable[[bytes], int],
    ) -> None:
        self._options = options
        self._outbox = outbox
        self._standing = standing
        self._checksum = checksum
        self.damaged_received_count = 0
        self._durable: dict[Slot, AcceptedSlot] = {record.slot: record for record in recovered.accepted}
        self._taught: dict[Slot, AcceptedSlot] = {}
        self._hint_ballot = BALLOT_ZERO
        self._hint_through = BEFORE_LOG

    def sizes(self) -> list[Size]:
        lessons_max = 2 * self._options.piece_slots_max
        return [
            Size("lessons", len(self._taught), lessons_max),
            Size("records above what is chosen", len(self._durable), self._options.open_slots_max + lessons_max),
        ]

    def on_hint(self, ballot: Ballot, chosen_through: Slot) -> None:
        """The leader at ``ballot`` knows every slot up to ``chosen_through`` chosen (P6)."""
        if ballot > self._hint_ballot:
            self._hint_ballot = ballot
            self._hint_through = chosen_through
        elif ballot == self._hint_ballot:
            self._hint_through = max(self._hint_through, chosen_through)

    def on_durable(self, records: Sequence[AcceptedSlot]) -> None:
        """These records are in this node's log."""
        for record in records:
            if record.slot > self._standing.chosen_through:
                held = self._durable.get(record.slot)
                if held is None or self._taught.get(record.slot) is not held:
                    self._durable[record.slot] = record

    def advance(self) -> Slot:
        """Release every next slot that is both chosen and durable here, in order (P7); the last one is returned."""
        start = through = self._standing.chosen_through
        while (record := self._durable.get(Slot(through + 1))) is not None:
            is_hinted = record.ballot == self._hint_ballot and record.slot <= self._hint_through  # P6
            if not is_hinted and self._taught.get(record.slot) is not record:  # P8
                break
            assert record.slot == through + 1, (record.slot, through)  # P7
            through = record.slot
            self._outbox.release.append(record)
            del self._durable[record.slot]
            self._taught.pop(record.slot, None)
        if through > start:
            self._outbox.store_chosen_through(through)
        return through

    def on_learn(self, message: Learn) -> Slot:
        """Store values known chosen, the next ones in order only; repair damaged ones wherever they are (P8, P10).

        Returns up to where this node is taught with them.
        """
        start = through = self._standing.taught_through
        for record in message.slots:
            is_next = record.slot == through + 1
            if not is_next and record.slot not in self._standing.damaged:
                continue
            if self._checksum(record.value) != record.crc:
                self.damaged_received_count += 1
                continue
            if is_next:
                assert record.slot > self._standing.chosen_through, (record.slot, self._standing.chosen_through)  # P7
                self._taught[record.slot] = record
                through = record.slot
                if (membership := decode_membership(record.value)) is not None:
                    self._outbox.store_membership(membership)
            self._outbox.store(record)
        if through > start:
            # Everything up to here is durable once this write is, so the same transaction may say so.
            self._outbox.store_chosen_through(through)
        return through

    def on_installed(self) -> None:
        """A state has moved what is chosen here.

        What was learned above it meanwhile, or is on its way to the disk as a lesson, stays: the log says that it is
        chosen, or soon will.
        """
        chosen_through = self._standing.chosen_through
        self._outbox.store_chosen_through(chosen_through)
        self._taught = {slot: record for slot, record in self._taught.items() if slot > chosen_through}
        self._durable = {slot: record for slot, record in self._durable.items() if slot > chosen_through}

    def check_invariants(self) -> None:
        """What holds between two inputs."""
        chosen_through, taught_through = self._standing.chosen_through, self._standing.taught_through
        if self._durable:
            assert min(self._durable) > chosen_through, (chosen_through, sorted(self._durable))  # P7
        if self._taught:
            assert min(self._taught) > chosen_through, (chosen_through, sorted(self._taught))  # P7
            assert max(self._taught) <= taught_through, (taught_through, sorted(self._taught))  # P8
