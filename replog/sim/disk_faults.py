"""What is done to disks: slow, full, failing, damaged, wiped; the log's and the state's.

What no cluster could survive is not done: a majority keeps its promises, and of what is damaged in the chosen part
somebody keeps an intact copy or a state beyond it.
"""

from __future__ import annotations

from collections.abc import Callable

from ..paxos.ballot import NodeId, node_name
from .conditions import DiskWeather
from .ground import Ground
from .host import Host


class DiskFaults:
    """Each strikes once when it is called, and says whether there was anything to strike."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._world = ground.world
        self._hosts = ground.hosts
        self._random = ground.random
        self._room = ground.world.stream("room on the log's disk")
        self.lost: set[NodeId] = set()
        """Whose votes are gone for good."""
        self.kinds: dict[str, Callable[[], bool]] = {
            "slow_disk": self._slow_disk,
            "stalled_disk": self._stalled_disk,
            "full_disk": self._full_disk,
            "failing_write": self._failing_write,
            "aimed_crashes": self._aimed_crashes,
            "damaged_record": self._damaged_record,
            "damaged_promise": self._damaged_promise,
            "damaged_acceptance": self._damaged_acceptance,
            "wiped_disk": self._wiped_disk,
        }
        self.lasting: dict[str, Callable[[], bool]] = {
            "full_everywhere": self._full_everywhere,
            "hanging_state": self._hanging_state,
            "full_state": self._full_state,
            "cut_jobs": self._cut_jobs,
        }
        """Faults that keep clients waiting for as long as they last, and so belong to fewer lives."""

    def _weather_for_a_while(self, host: Host, weather: DiskWeather) -> bool:
        host.weather = weather
        self._ground.after(self._ground.while_s(), self._calm, host)
        return True

    def _calm(self, host: Host) -> None:
        host.weather = DiskWeather()

    def _slow_disk(self) -> bool:
        return self._weather_for_a_while(
            self._ground.some_host(), DiskWeather(write_s=self._random.choice((0.005, 0.05)))
        )

    def _stalled_disk(self) -> bool:
        return self._weather_for_a_while(
            self._ground.some_host(), DiskWeather(stall_rate=0.5, stall_s=self._random.choice((0.5, 3.0)))
        )

    def _full_disk(self) -> bool:
        """Nearly full, or really."""
        weather = DiskWeather(is_full=True, has_no_room=self._room.random() < 0.5)
        return self._weather_for_a_while(self._ground.some_host(), weather)

    def _full_everywhere(self) -> bool:
        """Equal disks under equal load; room comes back node by node. Rarely: meanwhile no command is taken."""
        if self._random.random() < 0.8:
            return False
        for host in self._hosts.values():
            self._weather_for_a_while(host, DiskWeather(is_full=True))
        return True

    def _hanging_state(self) -> bool:
        return self._weather_for_a_while(self._ground.some_host(), DiskWeather(is_state_hanging=True))

    def _full_state(self) -> bool:
        return self._weather_for_a_while(self._ground.some_host(), DiskWeather(is_state_full=True))

    def _cut_jobs(self) -> bool:
        """Crashes before or after any step of a flush, a transfer or an install."""
        return self._weather_for_a_while(
            self._ground.some_host(), DiskWeather(job_crash_rate=self._random.choice((0.05, 0.3)))
        )

    def _failing_write(self) -> bool:
        self._ground.some_host().disk.fail_next_write()
        return True

    def _aimed_crashes(self) -> bool:
        rate = self._random.choice((0.05, 0.3))
        return self._weather_for_a_while(
            self._ground.some_host(), DiskWeather(crash_before_rate=rate, crash_after_rate=rate)
        )

    def _damaged_record(self) -> bool:
        """In the chosen part, where it can be repaired."""
        host = self._ground.some_host()
        disk = host.disk
        slots = sorted(slot for slot in disk.slots if disk.is_repairable(slot))
        if host.node in self.lost or not slots:
            return False
        slot = self._random.choice(slots)
        disk.damage(slot)
        if not self.is_recoverable(self.healthy):
            disk.undamage(slot)
            return False
        self._world.say(f"-- slot {slot} of {node_name(host.node)} is damaged")
        return True

    @property
    def healthy(self) -> set[NodeId]:
        return set(self._hosts) - self.lost

    def is_recoverable(self, nodes: set[NodeId]) -> bool:
        """Whether ``nodes`` can go on among themselves: what is damaged on one is intact on another, or applied."""
        hosts = [self._hosts[node] for node in nodes]
        return self._ground.is_quorum(nodes) and all(
            any(other.disk.is_intact(slot) or other.durable_through >= slot for other in hosts)
            for host in hosts
            for slot in host.disk.damaged
        )

    def _lose(self, host: Host, reason: str, act: Callable[[], None]) -> bool:
        """A node loses what it can't do without, unless too many have."""
        left = self.healthy - {host.node}
        if not self.is_recoverable(left) or not self._ground.may_be_left(left):
            return False
        self.lost.add(host.node)
        host.crash(reason)
        act()
        self._ground.after(0.05, self._ground.restart, host)
        return True

    def _damaged_promise(self) -> bool:
        host = self._ground.some_host()
        return self._lose(host, "its promise is damaged", host.disk.damage_promise)

    def _damaged_acceptance(self) -> bool:
        """Above what is known chosen: nobody can say what the node had voted for. In its log, or in its journal."""
        host = self._ground.some_host()
        slots = sorted(slot for slot in host.disk.slots if slot > host.disk.chosen_through)
        return bool(slots) and self._lose(
            host, f"its acceptance of slot {slots[0]} is damaged", lambda: host.disk.damage(slots[0])
        )

    def _wiped_disk(self) -> bool:
        """A node comes back with an empty disk under its old id: the others must refuse it."""
        host = self._ground.some_host()
        return self._lose(host, "its disk is wiped", lambda: host.replace_disk(b"wiped"))
