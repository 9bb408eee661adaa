"""What a simulated process finds on its disks when it starts, with a journal in front of its log or without one.

Never: go on from a start that the power did not last for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import StorageError
from ..log.journaled import JournaledLogStore
from ..node.reconcile import reconcile
from ..paxos.ballot import node_name
from ..paxos.recovered import Recovered
from .watched import WatchedApplier

if TYPE_CHECKING:
    from .host import Host


class Starts:
    """Of one node: each draws whether it writes a journal, and whether it is cut."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._random = host.world.stream(f"starts {host.node}")
        self._is_journaled = False

    def recover(self) -> tuple[JournaledLogStore, Recovered] | None:
        """The log, and what it and the state come to; None: it did not get through."""
        host, disk, was_journaled = self._host, self._host.disk, self._is_journaled
        self._is_journaled = self._random.random() < host.options.journal_rate
        if self._random.random() < host.start_cut_rate:
            disk.cut_after(self._random.randrange(2))
        is_pending = disk.file.records_pending > 0
        try:
            log = disk.open(is_journaled=self._is_journaled, clock=lambda: host.world.now_s)
            applier = WatchedApplier(host)
            recovered = reconcile(log, applier.applied_through, host.store.installed_through, applier.membership)
        except StorageError:
            if not disk.has_struck:
                raise
            host.count["start_cut"] += 1
            return None
        finally:
            disk.power_on()
        host.checker.on_recovered(host.node, disk, disk.log)
        disk.follow_log()
        if is_pending:
            host.say(lambda: f"-- {node_name(host.node)} takes its journal over")
            host.count["journal_replayed"] += 1
        host.count["journal_switched"] += host.life > 1 and self._is_journaled != was_journaled
        host.count["journal_not_made"] += bool(log.lack)
        return log, recovered
