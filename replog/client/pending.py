"""Commands that have a number and no answer, and calls that wait for numbers: a session's two queues."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from ..apply.outcomes import Replies
from .call import Call, Receipt


class Pending:
    """What is under way in a session, by number. Replies may come out of turn, so there may be holes."""

    def __init__(self) -> None:
        self.calls: dict[int, Call] = {}
        """Ascending, since numbers are given in order and never again."""
        self.bytes = 0
        self.next_sequence = 1
        self.doubtful: set[int] = set()
        """Numbers that somebody else than the leader that was asked last may have."""

    @property
    def first(self) -> int:
        """Everything below this number has been answered."""
        return next(iter(self.calls), self.next_sequence)

    def settle(self, message: Replies, wake: Callable[[Call], None]) -> None:
        """The hot loop of a client: everything that is done per reply is done here."""
        calls = self.calls
        sequence, slot, offset = message.first_sequence, message.slot, message.first_offset
        failed = frozenset(message.failed)
        settled_bytes = 0
        for position, reply in enumerate(message.replies):
            call = calls.pop(sequence, None)
            if call is not None:
                index = sequence - call.first_sequence
                settled_bytes += len(call.payloads[index])
                if position in failed:
                    call.fail(index, reply, slot, offset)
                else:
                    call.results[index] = Receipt(reply, slot, offset)
                call.left -= 1
                if not call.left and not call.is_abandoned:
                    wake(call)
            sequence += 1
            offset += 1
        self.bytes -= settled_bytes
        if self.doubtful:
            self.doubtful.difference_update(range(message.first_sequence, sequence))

    def from_number(self, first: int) -> list[int]:
        return [sequence for sequence in self.calls if sequence >= first]

    def runs(self, sequences: Iterable[int]) -> Iterator[tuple[int, list[bytes]]]:
        """Payloads of ascending numbers, as the first number and the payloads of each stretch without a hole."""
        first, run = 0, list[bytes]()
        for sequence in sequences:
            if sequence != first + len(run):
                if run:
                    yield first, run
                first, run = sequence, []
            call = self.calls[sequence]
            run.append(call.payloads[sequence - call.first_sequence])
        if run:
            yield first, run

    def calls_of(self, sequences: Iterable[int]) -> list[Call]:
        """The calls of these numbers, each once, in order."""
        return list({call.first_sequence: call for call in map(self.calls.__getitem__, sequences)}.values())

    def is_whole_and_certain(self, call: Call) -> bool:
        """Whether none of the call has been answered, and nobody but the leader that was asked last may have it."""
        numbers = range(call.first_sequence, call.first_sequence + len(call.payloads))
        return self.doubtful.isdisjoint(numbers) and all(number in self.calls for number in numbers)

    def doubt_all(self) -> None:
        self.doubtful.update(self.calls)

    def take_back(self, sequences: Iterable[int]) -> None:
        """Let go of numbers that will not be sent again."""
        for sequence in sequences:
            call = self.calls.pop(sequence)
            self.bytes -= len(call.payloads[sequence - call.first_sequence])
            self.doubtful.discard(sequence)

    def restart(self) -> None:
        """Numbers begin anew, in another session."""
        self.calls.clear()
        self.doubtful.clear()
        self.bytes = 0
        self.next_sequence = 1


class Backlog:
    """Calls that have no numbers: definitely not done."""

    def __init__(self) -> None:
        self.calls: deque[Call] = deque()
        self.commands = 0

    def put_back(self, call: Call) -> None:
        """To the front, without its numbers, which are of a session that ends; if anybody still waits for it."""
        if call.is_waited_for:
            call.first_sequence = 0
            self.calls.appendleft(call)
            self.commands += len(call.payloads)

    def number(self, pending: Pending, commands_max: float, bytes_max: float) -> list[bytes]:
        """Give numbers to what waits, as long as less than this is under way; returns the payloads in order."""
        payloads: list[bytes] = []
        waiting, under_way = self.calls, pending.calls
        sequence, under_way_bytes, taken = pending.next_sequence, pending.bytes, 0
        while waiting and len(under_way) < commands_max and under_way_bytes < bytes_max:
            call = waiting.popleft()
            taken += len(call.payloads)
            if call.is_abandoned or not call.left:
                continue
            call.first_sequence = sequence
            for payload in call.payloads:
                under_way[sequence] = call
                under_way_bytes += len(payload)
                sequence += 1
            payloads += call.payloads
        pending.next_sequence, pending.bytes = sequence, under_way_bytes
        self.commands -= taken
        return payloads

    def clear(self) -> list[Call]:
        """Let go of all of them, and return them."""
        calls, self.calls = self.calls, deque()
        self.commands = 0
        return list(calls)

    def drop_unwanted(self) -> None:
        """Forget what waits for nobody."""
        self.calls = deque(call for call in self.calls if call.is_waited_for)
        self.commands = sum(len(call.payloads) for call in self.calls)
