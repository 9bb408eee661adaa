"""The systems that can be measured, by the names that ``--peers`` takes."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from ..errors import BenchError
from ..replog_system import Replog, ReplogJournal
from ..systems import System
from .etcd import Etcd, Etcd35
from .nats import Nats, NatsAlways
from .pysyncobj import PySyncObj
from .rabbitmq import RabbitMQ
from .zookeeper import ZooKeeper

PEERS: dict[str, type[System]] = {
    kind.name: kind for kind in (ReplogJournal, Etcd, Etcd35, ZooKeeper, NatsAlways, Nats, RabbitMQ, PySyncObj)
}
ALL_PEERS = tuple(PEERS)
NO_PEERS = "none"


@attrs.frozen
class Contestants:
    """Who takes part.

    Parameters
    ----------
    present: ourselves first.
    missing: why each of the others can't, by its name.
    """

    present: list[System]
    missing: dict[str, str]


def contestants(peers: Sequence[str]) -> Contestants:
    """Ourselves and the named peers that are installed. Raises ``BenchError`` for a name that is no peer."""
    unknown = [name for name in peers if name not in PEERS and name != NO_PEERS]
    if unknown:
        raise BenchError(f"{', '.join(unknown)}: no such peer; there are {', '.join(PEERS)} (or {NO_PEERS}).")
    systems = [PEERS[name]() for name in peers if name != NO_PEERS]
    missing = {system.name: reason for system in systems if (reason := system.missing())}
    return Contestants([Replog(), *(system for system in systems if system.name not in missing)], missing)
