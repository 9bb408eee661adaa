"""The acceptor: what this node has promised and accepted.

It owns the promise and the acceptances above what is known chosen. It does not know who leads, what is chosen or why
it is asked. The rules it protects: it never accepts below its promise (P2), it says nothing that is not durable (P1),
what it reports in phase 1 is everything (P3), and it has no part in a ballot of another era than its own: the promise
stands above those before, and those after are not for it to judge before it has learned who votes in them (M3, M6).
"""

from __future__ import annotations

from collections.abc import Callable

from .ballot import BEFORE_LOG, Ballot, NodeId, Slot, floor_of_era
from .messages import Accept, Accepted, AcceptedSlot, Confirm, Confirmed, Nack, Prepare, Promise
from .options import PaxosOptions
from .outbox import Outbox, Size
from .recovered import Recovered
from .standing import Standing


class Acceptor:
    """Answers Prepare, Accept and Confirm; an abstaining one (P9, P10) answers none of them."""

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
        self.promise = max(recovered.promise, floor_of_era(standing.membership.era))
        self.accepted: dict[Slot, AcceptedSlot] = {record.slot: record for record in recovered.accepted}
        self.accepted_through = max(self.accepted, default=recovered.chosen_through)
        self.damaged_received_count = 0
        self.time_ms = 0
        """This node's wall clock, told with each Promise (P11)."""
        self._acks: dict[tuple[NodeId, Ballot], list[Slot]] = {}
        for record in recovered.accepted:
            assert record.slot > standing.chosen_through, (record.slot, standing.chosen_through)
            assert record.ballot <= self.promise, (record.slot, record.ballot, self.promise)  # P2

    def sizes(self) -> list[Size]:
        return [Size("acceptances", len(self.accepted), self._options.open_slots_max)]

    def on_prepare(self, sender: NodeId, message: Prepare) -> None:
        """Phase 1b (Paxos Made Simple, section 2.2, phase 1 b)."""
        if not self._may_answer(sender, message.ballot):
            return
        if message.ballot < self.promise:
            self._outbox.send(sender, Nack(message.ballot, self.promise))
            return
        self._raise_promise(message.ballot)
        for piece in self._promise_pieces(message):
            self._outbox.send_after_write(sender, piece)  # P1

    def on_accept(self, sender: NodeId, message: Accept) -> None:
        """Phase 2b; a slot known chosen is answered without a write.

        Its value can't differ if this ballot chooses anything there (P5). If it does differ, this ballot is an old
        one that can't reach a quorum any more, and writing it would overwrite what is chosen.
        """
        if not self._may_answer(sender, message.ballot):
            return
        if message.ballot < self.promise:  # P2
            self._outbox.send(sender, Nack(message.ballot, self.promise))
            return
        standing = self._standing
        is_own = sender == standing.node
        if not is_own and message.slot > standing.chosen_through + self._options.accept_ahead_slots_max:
            return  # bounded memory: the leader sends it again, or this node learns it later
        if not is_own and self._checksum(message.value) != message.crc:
            self.damaged_received_count += 1
            return
        is_news = message.slot > standing.taught_through
        if is_news and not is_own and message.slot <= standing.installing_through:
            return  # P7: never written below a floor that is coming; sent again, it is answered as known chosen
        self._raise_promise(message.ballot)
        if is_news:  # P8: what is being taught is never written over
            self._store(message)
        self._acks.setdefault((sender, message.ballot), []).append(message.slot)

    def on_confirm(self, sender: NodeId, message: Confirm) -> None:
        """Nothing above ``ballot`` is promised here; needs no write, since it promises nothing for later."""
        if not self._may_answer(sender, message.ballot):
            return
        if message.ballot < self.promise:
            self._outbox.send(sender, Nack(message.ballot, self.promise))
        else:
            self._outbox.send(sender, Confirmed(message.ballot, message.round))

    def _may_answer(self, sender: NodeId, ballot: Ballot) -> bool:
        """Whether this node votes in the ballot's era.

        That an era is over, a node says as well that has no vote in the one in force (M6).
        """
        standing = self._standing
        if standing.is_voting:
            return ballot.round < standing.rounds_end
        if ballot.round < standing.rounds_begin:
            self._outbox.send(sender, Nack(ballot, self.promise))
        return False

    def on_membership(self) -> None:
        """Every ballot below the era that has begun is refused from here on; a restart derives the same (M3)."""
        self.promise = max(self.promise, floor_of_era(self._standing.membership.era))

    def forget_chosen(self, before: Slot) -> None:
        """Slots above ``before`` have become known chosen: they are reported by position from here on."""
        chosen_through = self._standing.chosen_through
        if chosen_through - before <= len(self.accepted):
            for number in range(before + 1, chosen_through + 1):
                self.accepted.pop(Slot(number), None)
        else:
            self.accepted = {slot: record for slot, record in self.accepted.items() if slot > chosen_through}
        if chosen_through > self.accepted_through:
            self.accepted_through = chosen_through

    def send_acks(self) -> None:
        """Answer this turn's Accepts with one message a run of slots, after the write (P1)."""
        for (sender, ballot), slots in self._acks.items():
            for first, last in _runs(slots):
                self._outbox.send_after_write(sender, Accepted(ballot, first, last))
        self._acks.clear()

    def check_invariants(self) -> None:
        """What holds between two inputs."""
        chosen_through = self._standing.chosen_through
        assert self.accepted_through >= chosen_through, (self.accepted_through, chosen_through)
        for slot, record in self.accepted.items():
            assert chosen_through < slot <= self.accepted_through, (chosen_through, slot, self.accepted_through)  # P3
            assert record.ballot <= self.promise, (slot, record.ballot, self.promise)  # P2

    def _raise_promise(self, ballot: Ballot) -> None:
        assert ballot >= self.promise, (ballot, self.promise)  # P2
        if ballot > self.promise:
            self.promise = ballot
            self._outbox.store_promise(ballot)

    def _store(self, message: Accept) -> None:
        held = self.accepted.get(message.slot)
        if held is not None and held.ballot == message.ballot:
            assert held.crc == message.crc, (message.slot, message.ballot)  # P5: one value a slot and ballot
            return
        assert held is None or held.ballot < message.ballot, (held, message.ballot)
        assert message.ballot == self.promise, (message.ballot, self.promise)  # P2
        record = AcceptedSlot(message.slot, message.ballot, message.crc, message.value)
        self.accepted[message.slot] = record
        if message.slot > self.accepted_through:
            self.accepted_through = message.slot
        self._outbox.store(record)

    def _promise_pieces(self, message: Prepare) -> list[Promise]:
        """Everything accepted that the candidate does not know chosen, in bounded pieces (P3)."""
        standing = self._standing
        above = max(standing.chosen_through, Slot(message.from_slot - 1), BEFORE_LOG)
        reported = [self.accepted[slot] for slot in sorted(self.accepted) if slot > above]
        pieces = split_by_size(
            reported, slots_max=self._options.piece_slots_max, bytes_max=self._options.piece_bytes_max
        )
        return [
            Promise(
                message.ballot,
                standing.chosen_through,
                standing.compacted_through,
                number,
                len(pieces),
                tuple(piece),
                self.time_ms,
            )
            for number, piece in enumerate(pieces)
        ]


def split_by_size(records: list[AcceptedSlot], *, slots_max: int, bytes_max: int) -> list[list[AcceptedSlot]]:
    """Cut ``records`` into pieces within both limits; at least one piece, and at least one record a piece."""
    pieces: list[list[AcceptedSlot]] = [[]]
    size = 0
    for record in records:
        if pieces[-1] and (len(pieces[-1]) >= slots_max or size + len(record.value) > bytes_max):
            pieces.append([])
            size = 0
        pieces[-1].append(record)
        size += len(record.value)
    return pieces


def _runs(slots: list[Slot]) -> list[tuple[Slot, Slot]]:
    """The consecutive runs of ``slots``: [3, 4, 5, 9] -> [(3, 5), (9, 9)]."""
    if len(slots) == 1:
        return [(slots[0], slots[0])]
    runs: list[tuple[Slot, Slot]] = []
    for slot in sorted(set(slots)):
        if runs and runs[-1][1] == slot - 1:
            runs[-1] = (runs[-1][0], slot)
        else:
            runs.append((slot, slot))
    return runs
