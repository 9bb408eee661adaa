"""The history as clients saw it, judged twice: in real time while it happens, and against the log at the end.

Linearizable means here: each answer agrees with a replay of the log up to its slot, and an operation that began after
another one had ended stands above it in the log. Both are checked by place in the log, in O(n log n), never by
search.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import attrs

from ..apply.applier import Applier
from ..apply.outcomes import Replies
from ..apply.sessions import SessionOptions
from ..paxos.ballot import Slot
from ..paxos.values import Batch, decode_value
from ..state.memory import MemoryStateStore
from ..state_machine import Command, State, StateMachine, StateView
from .checkers import ProtocolChecker, Violation, ViolationFound
from .workload import Workload

Place = tuple[int, int]
RESENDS_PER_S_MAX = 150
"""More than a client that is sent from one node to the next has reason for."""


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
        self.forged: set[bytes] = set()
        """Commands that strangers sent under somebody else's session."""
        self._highest: Place = (0, 0)
        self._resent: Counter[tuple[int, int]] = Counter()

    @property
    def floor(self) -> Place:
        """The highest place any client has been told of: what begins now must see it."""
        return self._highest

    def on_resent(self, client: int, now_s: float) -> None:
        """A client sends again what has no answer."""
        second = (client, int(now_s))
        self._resent[second] += 1
        if self._resent[second] > RESENDS_PER_S_MAX:
            raise ViolationFound(
                Violation("bounded retries", f"client {client} sends again {self._resent[second]} times in a second")
            )

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
        self.seen: set[bytes] = set()
        self.doubled: list[bytes] = []

    def apply(self, state: State, command: Command) -> bytes:
        if command.payload in self.seen:
            self.doubled.append(command.payload)
        self.seen.add(command.payload)
        return self._machine.apply(state, command)

    def query(self, view: StateView, request: bytes) -> bytes:
        return self._machine.query(view, request)

    def violations(self, view: StateView) -> Iterable[str]:
        return self._machine.violations(view)


def judge(history: History, protocol: ProtocolChecker, workload: Workload, options: SessionOptions) -> list[Violation]:
    """Replay the whole log once and hold everything that was told against it."""
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
    found += [
        Violation("strangers", f"{payload!r} ran in somebody else's session")
        for payload in sorted(history.forged & machine.seen)
    ]
    found += [
        Violation(
            "nothing acknowledged is lost",
            f"{operation.payload!r} was answered {operation.reply!r} at {operation.place}; the log says "
            f"{replies.get(operation.place, 'nothing')!r}",
        )
        for operation in history.acknowledged
        if replies.get(operation.place) != _comparable(operation.reply, operation.is_failed)
    ]
    places: dict[tuple[int, int], Place] = {}
    for operation in history.acknowledged:
        key = (operation.session, operation.sequence)
        if places.setdefault(key, operation.place) != operation.place:
            found.append(Violation("exactly once", f"{operation.payload!r} was answered at two places"))
    found += [Violation("state machine", sentence) for sentence in applier.violations()]
    return found


def _comparable(reply: bytes, is_failed: bool) -> tuple[bytes, bool]:
    """An error's text may differ between replicas; that there was one may not."""
    return (b"" if is_failed else reply), is_failed
