"""Released slots on their way to the Applier: in order, a bounded number in memory, as far as a turn's time goes.

Rule protected: slots are applied in order, once (P7).

Never: apply what the core has not released; apply over a damaged slot, or while a received state is swapped in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ..apply.applier import Applier
from ..apply.command_loop import Outcome
from ..paxos.ballot import Slot
from ..paxos.messages import AcceptedSlot
from ..paxos.outbox import Size
from ..paxos.replica import Replica
from .settings import NodeOptions
from .state_jobs import StateJobs

RELEASED_SLOTS_MAX = 1024
"""Released slots kept in memory until they are applied; the others are read from the log when their turn comes."""
RELEASED_BYTES_MAX = 16 * 2**20

ReadLog = Callable[[Slot, Slot, int], list[AcceptedSlot]]


class Applying:
    """What is released and not applied yet, and the Applier it goes to.

    Parameters
    ----------
    make_applier: an Applier over the state as it stands.
    """

    def __init__(self, make_applier: Callable[[], Applier], replica: Replica, options: NodeOptions) -> None:
        self._make_applier = make_applier
        self._replica = replica
        self._standing = replica.standing
        self._options = options
        self.applier = make_applier()
        self._released: deque[AcceptedSlot] = deque()
        self._released_bytes = 0
        self.is_stopped = False
        """The node is about to stop."""

    def sizes(self) -> list[Size]:
        return [Size("released slots", len(self._released), RELEASED_SLOTS_MAX + self._options.apply_slots_max)]

    def begin_anew(self) -> None:
        """Over a state that came from a peer."""
        self.applier = self._make_applier()
        self._released.clear()
        self._released_bytes = 0

    def keep(self, released: list[AcceptedSlot]) -> None:
        """Applying may wait for a long time; the log has what there is no room for here."""
        for record in released:
            if len(self._released) >= RELEASED_SLOTS_MAX or self._released_bytes >= RELEASED_BYTES_MAX:
                return
            self._released.append(record)
            self._released_bytes += len(record.value)

    def tell(self) -> None:
        """The core hears how far the state machine is."""
        applier = self.applier
        self._replica.on_applied(applier.applied_through, *applier.checkpoint(), applier.log_time_ms)

    def apply(
        self,
        jobs: StateJobs,
        read_log: ReadLog,
        on_outcomes: Callable[[list[Outcome]], None],
        is_over: Callable[[], bool],
    ) -> bool:
        """Apply what is released; what an earlier life left is read from the log. Whether more could be applied at
        once."""
        applier, goal = self.applier, self._standing.chosen_through
        if applier.applied_through >= goal and not applier.is_inside_slot:
            return False
        if jobs.is_installing:
            return False
        if applier.is_inside_slot and not self._finish(on_outcomes, is_over):
            return True
        if applier.applied_through >= goal or self.is_stopped:
            return False
        if applier.applied_through + 1 in self._standing.damaged:
            return False  # until it is repaired, or a state that goes over it is installed
        last = min(goal, applier.applied_through + self._options.apply_slots_max)
        while applier.applied_through < last and not jobs.is_behind():
            record = self._next(Slot(applier.applied_through + 1), read_log)
            if record is None:
                return False
            applier.begin(record.slot, record.value)
            if not self._finish(on_outcomes, is_over):
                return True
            if is_over():
                break
        self.tell()
        return applier.applied_through < goal and not jobs.is_behind()

    def _finish(self, on_outcomes: Callable[[list[Outcome]], None], is_over: Callable[[], bool]) -> bool:
        """Whether the slot under way is done."""
        outcomes = self.applier.run(is_over)
        if outcomes is None:
            return False
        on_outcomes(outcomes)
        return True

    def finish_slot(self, on_outcomes: Callable[[list[Outcome]], None]) -> None:
        """Whoever has to read the state now can't wait for the slot that is under way."""
        if self.applier.is_inside_slot:
            self._finish(on_outcomes, lambda: False)
            self.tell()

    def _next(self, slot: Slot, read_log: ReadLog) -> AcceptedSlot | None:
        released = self._released
        while released and released[0].slot <= slot:
            record = released.popleft()
            self._released_bytes -= len(record.value)
            if record.slot == slot:
                return record
        last = Slot(released[0].slot - 1) if released else self._replica.chosen_through
        found = read_log(slot, last, self._options.apply_slots_max)
        if not found:
            return None
        released.extendleft(reversed(found[1:]))
        self._released_bytes += sum(len(record.value) for record in found[1:])
        return found[0]
