"""A membership that is known chosen is what a replica's next start begins with."""

from __future__ import annotations

from crc32c import crc32c
from msgspec.structs import replace

from replog.paxos.ballot import ERA_ROUNDS, Ballot, NodeId, Slot
from replog.paxos.effects import LogWrite
from replog.paxos.membership import Membership
from replog.paxos.messages import Heartbeat, Learn, LearnRequest
from replog.paxos.values import NO_OP, encode_value
from replog.sim.disk import SimLogStore

from .build import N1, N2, N3, N4, THREE, accept, ballot, record, recovered
from .test_replica import Trio, alone

LATER = Membership(2, (N1, N2), (N3,))
NEWEST = Membership(3, (N1, N2, N4))


def writes_of(trio: Trio, node: NodeId) -> list[LogWrite]:
    return [effects.write for at, effects in trio.effects if at == node and effects.write is not None]


def with_the_stores_checksums(write: LogWrite) -> LogWrite:
    return replace(write, slots=tuple(replace(one, crc=crc32c(one.value)) for one in write.slots))


def test_a_chosen_membership_outlives_a_restart_of_the_whole_cluster() -> None:
    """The leader finds it accepted and has it chosen; every disk remembers it, and a founder has lost its vote."""
    found = recovered(promise=ballot(1), accepted=(record(1, ballot(1), encode_value(LATER)),))
    trio = Trio(dict.fromkeys(THREE.voters, found))
    trio.run(1.0)
    starts = {}
    for node in THREE.voters:
        disk = SimLogStore(b"cluster", node, b"incarnation", THREE)
        disk.write([with_the_stores_checksums(write) for write in writes_of(trio, node)])
        starts[node] = disk.recover()
    restarted = Trio(starts)
    assert {replica.membership for replica in restarted.replicas.values()} == {LATER}
    assert [replica.is_voting for replica in restarted.replicas.values()] == [True, True, False]


def test_it_is_written_at_once() -> None:
    """Nothing else waits to be written; the log may drop the slot before something does."""
    replica = alone(recovered())
    replica.on_message(N2, accept(1, ballot(1, 2), encode_value(LATER)))
    replica.on_written(replica.take_effects().ticket)
    replica.on_message(N2, Heartbeat(1, ballot(1, 2), Slot(1)))
    assert replica.take_effects().write == LogWrite(None, (), Slot(1), LATER)
    replica.on_message(N2, Heartbeat(2, ballot(1, 2), Slot(1)))
    assert replica.take_effects().write is None


def test_a_taught_membership_is_in_the_write_that_says_it_is_chosen() -> None:
    """The same transaction says how far the log is chosen, and a crash may come right after it; the newest counts."""
    replica = alone(recovered())
    replica.on_message(N2, Heartbeat(1, ballot(1, 2), Slot(3)))
    assert [o.message for o in replica.take_effects().send if isinstance(o.message, LearnRequest)]
    values = (encode_value(LATER), encode_value(NEWEST), encode_value(THREE))
    lessons = tuple(record(slot, ballot(1, 2), value) for slot, value in enumerate(values, 1))
    replica.on_message(N2, Learn(Slot(3), lessons))
    effects = replica.take_effects()
    assert effects.write == LogWrite(None, lessons, Slot(3), NEWEST)
    replica.on_written(effects.ticket)
    effects = replica.take_effects()
    assert (replica.membership, effects.write) == (NEWEST, None)


def test_the_membership_in_force_is_not_written_again() -> None:
    """Every new leader proposes it first, and every start has read it."""
    trio = Trio()
    trio.run(1.0)
    assert all(write.membership is None for node in THREE.voters for write in writes_of(trio, node))
    replica = alone(recovered(membership=LATER))
    later = Ballot(ERA_ROUNDS + 1, N2)
    replica.on_message(N2, accept(1, later, encode_value(LATER)))
    replica.on_written(replica.take_effects().ticket)
    replica.on_message(N2, accept(2, later, NO_OP, chosen_through=1))
    write = replica.take_effects().write
    assert write is not None
    assert (write.chosen_through, write.membership) == (1, None)
