"""The core and the Applier of a simulated process, with somebody who watches what goes in and what comes out.

Never: change what they do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..apply.applier import Applier
from ..apply.command_loop import Outcome
from ..node.driver import Driver
from ..paxos.ballot import NodeId, node_name
from ..paxos.describe import describe_notice
from ..paxos.effects import Effects, Notice, NoticeKind, Refusal
from ..paxos.outbox import Size
from ..paxos.replica import Replica
from .checkers import Violation, ViolationFound
from .violations import violation
from .workload import Unsteady

if TYPE_CHECKING:
    from .host import Host

STACK_DEPTH_MAX = 60
"""How much deeper one replica may be in its stack than another when it applies the same slot."""
SPINS_MAX = 100
"""Turns of a process one after the other for which only a deadline calls that has passed."""
_NOTICES = {kind.value: kind for kind in NoticeKind}
_COUNTED = {
    NoticeKind.DAMAGE_REPAIRED: "damage_repaired",
    NoticeKind.STATE_TRANSFER_BEGAN: "state_transfer",
    NoticeKind.MEMBERSHIP_CHANGED: "members_changed",
}


def _from_deeper(levels: int, call: Callable[..., Any], *arguments: Any) -> Any:
    return _from_deeper(levels - 1, call, *arguments) if levels else call(*arguments)


class WatchedReplica(Replica):
    """The core, with checkers that see what goes in and what comes out."""

    def __init__(self, host: Host, **made_of: Any) -> None:
        super().__init__(**made_of)
        self._host = host

    def submit(self, submission: bytes) -> Refusal | None:
        refusal = super().submit(submission)
        self._host.spent_s += self._host.options.submit_s
        if refusal is None:
            self._host.checker.taken[submission] += 1
        return refusal

    def take_effects(self) -> Effects:
        """What this node knows chosen it may say at once: the checker hears of it before it hears the messages."""
        effects = super().take_effects()
        host = self._host
        for record in effects.release:
            host.checker.on_released(host.node, record, host.disk)
            host.checker.on_stamped(record, host.world.true_ms)
        return effects


class WatchedApplier(Applier):
    """An Applier that is called from any depth, in a process that is short of memory now and then."""

    def __init__(self, host: Host) -> None:
        self._unsteady = Unsteady(host.workload.machine(), host.stack, host.options.memory_lack_rate)
        self._host = host
        super().__init__(self._unsteady, host.store, host.options.sessions)
        self._step_commands = 1  # slots are short here

    def run(self, is_over: Callable[[], bool]) -> list[Outcome] | None:
        host = self._host
        before, failed_before = self.commands_applied, self.commands_failed
        depth = int(host.stack.random() * STACK_DEPTH_MAX)
        outcomes: list[Outcome] | None = _from_deeper(depth, super().run, self._cut(is_over))
        if self.misuse:
            raise ViolationFound(Violation("state machine", f"apply uses its state wrongly: {self.misuse}"))
        host.count["memory_lack"] += self._unsteady.moments
        self._unsteady.moments = 0
        host.commands_applied += self.commands_applied - before
        host.commands_failed += self.commands_failed - failed_before
        host.spent_s += host.options.apply_s
        if outcomes is not None:
            host.checker.on_applied(host.node, self.applied_through, self.digest)
        return outcomes

    def _cut(self, is_over: Callable[[], bool]) -> Callable[[], bool]:
        """Turns end in the middle of a slot now and then, on one replica and not on another."""
        host = self._host
        if not host.options.cut_rate:
            return is_over

        def is_cut() -> bool:
            if host.cuts.random() >= host.options.cut_rate:
                return is_over()
            host.count["slot_cut"] += 1
            return True

        return is_cut

    @property
    def unflushed_keys(self) -> int:
        """While the disk hangs, memory is as good as full."""
        return 2**30 if self._host.weather.is_state_hanging else super().unflushed_keys


class StoryLog:
    """What the driver's rooms say is part of the story; satisfies ``node.event_log.EventLog``."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def info(self, event: str, **facts: Any) -> None:
        kind, host = _NOTICES.get(event), self._host
        if kind is None:
            return
        host.world.say(describe_notice(host.node, Notice(kind, facts)))
        host.elections += kind is NoticeKind.BECAME_LEADER
        if kind in _COUNTED:
            host.count[_COUNTED[kind]] += 1

    warning = info


def sizes_of(driver: Driver) -> list[Size]:
    """What the core and the driver's rooms keep in memory, with its bounds."""
    rooms = (driver.replica, driver.sending, driver.applying, driver.jobs, driver.clients, driver.serving)
    return [size for room in rooms for size in room.sizes()]


class SpinWatch:
    """A deadline that a turn leaves in the past costs the real node a processor."""

    def __init__(self, node: NodeId) -> None:
        self._node = node
        self._spins = 0

    def on_turn(self, driver: Driver, now_s: float) -> None:
        """A turn is over. Raises ``ViolationFound``."""
        is_spinning = not driver.is_due and driver.deadline_s <= now_s
        self._spins = self._spins + 1 if is_spinning else 0
        if self._spins > SPINS_MAX:
            told = f"{node_name(self._node)} takes turn after turn with nothing to do"
            raise violation("no spinning", f"{told}; it asked for one at {driver.deadline_s:.6f} s")
