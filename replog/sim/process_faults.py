"""What is done to processes: killed, frozen, given wrong clocks, asked to hand over."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..node.events import HandOver
from ..paxos.ballot import NodeId, node_name
from .ground import Ground

_TEN_YEARS_MS = 10 * 365 * 86_400_000


class ProcessFaults:
    """Each strikes once when it is called, and says whether there was anything to strike."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._world = ground.world
        self._hosts = ground.hosts
        self._random = ground.random
        self._ends = ground.world.stream("how processes end")
        self._set_right_s: dict[NodeId, float] = {}
        """When a wrong clock was set right again."""
        self.kinds: dict[str, Callable[[], bool]] = {
            "crash": self._crash,
            "crash_all": self._crash_all,
            "pause": self._pause,
            "clock_jump": self._clock_jump,
            "hand_over": self._hand_over,
        }

    def _crash(self) -> bool:
        """Killed; or stopped in order now and then, and cut within that."""
        host = self._ground.some_host()
        self._ground.after(self._ground.while_s(), self._ground.restart, host)
        if self._ends.random() < 0.3:
            steps = self._ends.randrange(2) if self._ends.random() < 0.5 else math.inf
            self._ground.count["clean_stop"] += host.stop(steps)
            return False
        return host.crash("killed")

    def _crash_all(self) -> bool:
        for host in self._hosts.values():
            host.crash("power is lost everywhere")
            self._ground.after(self._ground.while_s(), self._ground.restart, host)
        return True

    def _pause(self) -> bool:
        host = self._ground.some_host()
        host.pause()
        self._world.say(f"-- {node_name(host.node)} is frozen")
        self._ground.after(self._ground.while_s(), host.resume)
        return host.is_up

    def _clock_jump(self) -> bool:
        """By years too, but only on a minority of the voters; a cluster of one has one clock, and that may be wrong."""
        host = self._ground.some_host()
        skew_ms = self._random.choice((-_TEN_YEARS_MS, -3_600_000, -500, 0, 500, 60_000, _TEN_YEARS_MS))
        others = [node for node in self._ground.membership.voters if node != host.node]
        right = [
            node
            for node in others
            if abs(self._hosts[node].wall_skew_ms) <= 500
            and self._world.now_s - self._set_right_s.get(node, -1.0) > 1.0  # what others heard before counts a while
        ]
        if others and abs(skew_ms) > 500 and not self._ground.membership.is_quorum(right):
            return False
        if abs(skew_ms) <= 500 < abs(host.wall_skew_ms):
            self._set_right_s[host.node] = self._world.now_s
        host.wall_skew_ms = skew_ms
        return True

    def _hand_over(self) -> bool:
        leading = self._ground.leading()
        for host in leading:
            host.put(HandOver())
        return bool(leading)
