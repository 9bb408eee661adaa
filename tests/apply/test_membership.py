"""The membership in force where a state stands is part of it: whoever receives it has not read that slot (M12)."""

from __future__ import annotations

from replog.apply.applier import Applier
from replog.paxos.ballot import NodeId, Slot
from replog.paxos.membership import Membership
from replog.paxos.values import encode_value
from replog.sim.workload import RegisterWorkload
from replog.state.memory import MemoryStateStore

N1, N2, N3, N4 = (NodeId(n) for n in range(1, 5))
FOUNDERS, SECOND = Membership(1, (N1, N2, N3)), Membership(2, (N1, N2, N4), (), NodeId(5))


def applier(store: MemoryStateStore) -> Applier:
    return Applier(RegisterWorkload().machine(), store)


def test_before_the_first_change_a_state_says_nothing_of_its_members() -> None:
    """So it is the same, byte by byte, as it always was."""
    store = MemoryStateStore()
    one = applier(store)
    one.apply(Slot(1), encode_value(FOUNDERS))
    assert one.begin_flush()
    assert (one.membership, store.get_record(b"membership")) == (None, None)


def test_only_an_effective_change_is_followed() -> None:
    """CAS, as the core decides it: one that came second has no effect, nor one for another time."""
    one = applier(MemoryStateStore())
    rival, later = Membership(2, (N2, N3)), Membership(4, (N1,))
    for slot, value in enumerate((FOUNDERS, SECOND, rival, later, FOUNDERS), 1):
        one.apply(Slot(slot), encode_value(value))
    assert one.membership == SECOND


def test_it_is_durable_with_the_state() -> None:
    """And travels with it."""
    store = MemoryStateStore()
    one = applier(store)
    one.apply(Slot(1), encode_value(SECOND))
    assert one.begin_flush()
    one.flush()
    one.end_flush()
    store.crash()
    again = applier(store)
    assert (again.applied_through, again.membership) == (1, SECOND)
