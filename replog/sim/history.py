"""The history as clients saw it, judged twice: in real time while it happens, and against the log at the end.

Linearizable means here: each answer agrees with a replay of the log up to its slot, and an operation that began after
another one had ended stands above it in the log. Both are checked by place in the log, in O(n log n), never by
search.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import attrs

from ..apply.applier import Applier
from ..apply.outcomes import Replies
from ..apply.sessions import SessionOptions
from ..client.call import Call, Receipt
from ..client.reads import Read
from ..errors import (
    CommandFailed,
    CommandTooLarge,
    OutcomeUnknown,
    Overloaded,
    SessionExpired,
    StorageFull,
    Unavailable,
)
from ..paxos.ballot import Slot
from ..paxos.values import Batch, decode_value
from ..state.memory import MemoryStateStore
from ..state_machine import Command, State, StateMachine, StateView
from .checkers import ProtocolChecker, Violation, ViolationFound
from .workload import Workload

Place = tuple[int, int]
ATTEMPTS_PER_S_MAX = 100
"""More than a client that is sent from one node to the next has reason for."""
LATE_S_MAX = 0.06
"""How much after its deadline a call may end: a client looks every ``ClientOptions.watch_interval_s``."""


@attrs.define(eq=False)
class Acknowledged:
    """One answered command."""

    session: int
    sequence: int
    payload: bytes
    place: Place
    reply: bytes
    is_failed: bool
    """Then ``reply`` is the error's text, which is for people and need not be the same everywhere."""


@attrs.define(eq=False)
class Answered:
    """One answered read."""

    request: bytes
    applied_through: Slot
    answer: bytes


class History:
    """What clients asked and were told."""

    def __init__(self) -> None:
        self.acknowledged: list[Acknowledged] = []
        self.answered: list[Answered] = []
        self.not_done: set[bytes] = set()
        """Commands of which a caller was told that they were definitely not done."""
        self._unknown: list[tuple[Call, int, list[object]]] = []
        """Calls that ended without all of their results, the session, and what was known by then."""
        self.forged: set[bytes] = set()
        """Commands that strangers sent under somebody else's session."""
        self._highest: Place = (0, 0)
        self._again: Counter[tuple[int, int]] = Counter()

    @property
    def floor(self) -> Place:
        """The highest place any client has been told of: what begins now must see it."""
        return self._highest

    def on_again(self, client: int, now_s: float) -> None:
        """A client dials or sends again."""
        second = (client, int(now_s))
        self._again[second] += 1
        if self._again[second] > ATTEMPTS_PER_S_MAX:
            raise ViolationFound(
                Violation("bounded retries", f"client {client} tries again {self._again[second]} times in a second")
            )

    def on_call_ended(self, call: Call, session: int, floor: Place, now_s: float) -> None:
        """What a caller is told, each word of which he may rely on: what has a result has run, at that place and behind
        ``floor``; what is said not to be done never runs; and it is told in time."""
        self._check_deadline(call.deadline_s, now_s)
        self._acknowledge(call, session, range(len(call.payloads)), floor)
        missing = call.results.count(None)
        match call.error:
            case None | CommandFailed():
                if missing:
                    raise ViolationFound(Violation("whole answers", f"{call.payloads} ended with {call.results}"))
            case Unavailable() | Overloaded() | StorageFull() | CommandTooLarge():
                if missing < len(call.payloads):
                    raise ViolationFound(Violation("whole answers", f"not done, but {call.results}: {call.error}"))
                self.not_done.update(call.payloads)
            case OutcomeUnknown() | SessionExpired():
                self._unknown.append((call, session, list(call.results)))
            case error:
                raise ViolationFound(Violation("whole answers", f"a sound client was told {error!r}"))

    def _acknowledge(self, call: Call, session: int, indexes: Iterable[int], floor: Place) -> None:
        before: Place = (0, 0)
        for index in indexes:
            match call.results[index]:
                case Receipt(reply, slot, offset):
                    is_failed = False
                case CommandFailed(text=text, slot=slot, offset=offset):
                    is_failed, reply = True, text.encode()
                case None:
                    continue
            place = (slot, offset)
            if place <= before:
                raise ViolationFound(Violation("real time order", f"{call.payloads} ran at {place} after {before}"))
            before = place
            sequence, payload = call.first_sequence + index, call.payloads[index]
            self.on_acknowledged(Acknowledged(session, sequence, payload, place, reply, is_failed), floor)

    def on_read_ended(self, read: Read, floor: Place, now_s: float) -> None:
        """A read was answered, or nobody could."""
        self._check_deadline(read.deadline_s, now_s)
        if read.error is None and read.answer is not None:
            slot = Slot(read.answer.applied_through)
            self.on_answered(Answered(read.request, slot, read.answer.reply), None if read.is_stale else floor)
        elif not isinstance(read.error, Unavailable | CommandFailed):
            raise ViolationFound(Violation("whole answers", f"a read ended with {read.error!r}"))

    def _check_deadline(self, deadline_s: float, now_s: float) -> None:
        if now_s > deadline_s + LATE_S_MAX:
            raise ViolationFound(
                Violation("deadlines", f"what was to end at {deadline_s:.3f} s ended at {now_s:.3f} s")
            )

    def take_late(self) -> None:
        """What came of calls after they had ended is as true."""
        for call, session, known in self._unknown:
            late = [index for index, result in enumerate(call.results) if result is not None and known[index] is None]
            self._acknowledge(call, session, late, (0, 0))

    def on_acknowledged(self, operation: Acknowledged, floor: Place) -> None:
        """A command that was asked when ``floor`` had been told ended at its place."""
        if operation.place <= floor:
            raise ViolationFound(
                Violation(
                    "real time order",
                    f"a command answered at {operation.place} was asked after {floor} had been answered",
                )
            )
        self._highest = max(self._highest, operation.place)
        self.acknowledged.append(operation)

    def on_forged(self, payload: bytes) -> None:
        """A command that must never run."""
        self.forged.add(payload)

    def on_answered(self, read: Answered, floor: Place | None) -> None:
        """A read ended; ``floor`` is None for a stale one."""
        if floor is not None:
            if read.applied_through < floor[0]:
                raise ViolationFound(
                    Violation(
                        "linearizable read",
                        f"a read answered from slot {read.applied_through} began after {floor} had been answered",
                    )
                )
            self._highest = max(self._highest, (read.applied_through, 0))
        self.answered.append(read)


class _Counting(StateMachine):
    """The user's machine, and which commands it was given."""

    def __init__(self, machine: StateMachine) -> None:
        self._machine = machine
        self.seen: dict[bytes, Place] = {}
        self.doubled: list[bytes] = []

    def apply(self, state: State, command: Command) -> bytes:
        if command.payload in self.seen:
            self.doubled.append(command.payload)
        self.seen.setdefault(command.payload, (command.slot, command.offset))
        return self._machine.apply(state, command)

    def query(self, view: StateView, request: bytes) -> bytes:
        return self._machine.query(view, request)

    def violations(self, view: StateView) -> Iterable[str]:
        return self._machine.violations(view)


def judge(history: History, protocol: ProtocolChecker, workload: Workload, options: SessionOptions) -> list[Violation]:
    """Replay the whole log once and hold everything that was told against it."""
    history.take_late()
    found: list[Violation] = []
    machine = _Counting(workload.machine())
    applier = Applier(machine, MemoryStateStore(), options)
    replies: dict[Place, tuple[bytes, bool]] = {}
    taken = protocol.taken.copy()
    reads: dict[Slot, list[Answered]] = {}
    for read in history.answered:
        reads.setdefault(read.applied_through, []).append(read)
    for number in range(1, protocol.chosen_through + 1):
        slot = Slot(number)
        value = protocol.chosen.get(slot)
        if value is None:
            found.append(Violation("no gaps", f"slot {slot} was never released, slot {protocol.chosen_through} was"))
            break
        batch = decode_value(value)
        taken.subtract(batch.submissions if isinstance(batch, Batch) else ())
        for _, told, _ in applier.apply(slot, value):
            if isinstance(told, Replies) and told.slot == slot:
                for position, reply in enumerate(told.replies):
                    replies[slot, told.first_offset + position] = _comparable(reply, position in told.failed)
        digest, _ = protocol.digests.get(slot, (applier.digest, None))
        if digest != applier.digest:
            found.append(Violation("equal digest", f"the replay of the log differs after slot {slot}"))
            break
        found += [
            Violation("read agrees with the log", f"{read.request!r} at slot {slot} was answered {read.answer!r}")
            for read in reads.get(slot, ())
            if applier.query(read.request) != read.answer
        ]
    found += [
        Violation("refused is not done", f"{submission!r} stands {-count} times more in the log than it was taken")
        for submission, count in taken.items()
        if count < 0
    ]
    found += [Violation("exactly once", f"{payload!r} ran twice") for payload in machine.doubled]
    found += _told_wrongly(history, machine.seen, replies)
    found += [Violation("state machine", sentence) for sentence in applier.violations()]
    return found


def _told_wrongly(
    history: History, ran: dict[bytes, Place], replies: dict[Place, tuple[bytes, bool]]
) -> Iterator[Violation]:
    """Where callers were told something else than what the log gives; ``ran`` is by command."""
    for payload in sorted(history.not_done & ran.keys()):
        yield Violation("not done is not done", f"{payload!r} ran; its caller was told that it definitely was not done")
    for payload in sorted(history.forged & ran.keys()):
        yield Violation("strangers", f"{payload!r} ran in somebody else's session")
    places: dict[tuple[int, int], Place] = {}
    for told in history.acknowledged:
        if replies.get(told.place) != _comparable(told.reply, told.is_failed) or ran.get(told.payload) != told.place:
            yield Violation(
                "nothing acknowledged is lost",
                f"{told.payload!r} was answered {told.reply!r} at {told.place}; it ran at {ran.get(told.payload)}, and "
                f"the log gives {replies.get(told.place, 'nothing')!r}",
            )
        if places.setdefault((told.session, told.sequence), told.place) != told.place:
            yield Violation("exactly once", f"{told.payload!r} was answered at two places")


def _comparable(reply: bytes, is_failed: bool) -> tuple[bytes, bool]:
    """An error's text may differ between replicas; that there was one may not."""
    return (b"" if is_failed else reply), is_failed
