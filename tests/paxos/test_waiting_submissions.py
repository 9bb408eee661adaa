"""Submissions that wait: when a batch of them is worth a slot, and when it waits a moment for more."""

from __future__ import annotations

import pytest

from replog.paxos.options import PaxosOptions
from replog.paxos.waiting_submissions import WaitingSubmissions

from .test_replica import Trio

HOLD_S = 0.001


def waiting(*batches: int, hold_s: float = HOLD_S) -> WaitingSubmissions:
    """What has cut batches of these sizes already."""
    role = WaitingSubmissions(PaxosOptions(hold_s=hold_s))
    role.is_open = True
    for count in batches:
        add(role, count)
        assert len(role.next_batch()) == count
    return role


def add(role: WaitingSubmissions, count: int) -> None:
    for _ in range(count):
        assert role.submit(b"x") is None


def test_a_small_batch_waits_until_it_is_as_large_as_the_last_ones_or_for_a_moment() -> None:
    role = waiting(10)
    add(role, 3)
    assert not role.is_ripe(5.0)
    assert role.held_until_s == 5.0 + HOLD_S
    add(role, 3)
    assert not role.is_ripe(5.0 + HOLD_S / 2)
    add(role, 1)
    assert role.is_ripe(5.0 + HOLD_S / 2)
    assert len(role.next_batch()) == 7
    assert role.held_until_s is None
    add(role, 3)
    assert not role.is_ripe(6.0)
    assert role.is_ripe(6.0 + HOLD_S)
    assert role.batches_held == 2
    role.next_batch()
    role.check_invariants()


@pytest.mark.parametrize("sizes", [(), (1, 1, 1), (2, 1, 2)])
def test_where_few_submissions_come_none_waits(sizes: tuple[int, ...]) -> None:
    role = waiting(*sizes)
    add(role, 1)
    assert role.is_ripe(5.0)
    assert role.batches_held == 0


def test_one_client_that_remains_after_many_waits_once() -> None:
    role = waiting(16, 16)
    add(role, 1)
    assert not role.is_ripe(5.0)
    assert role.is_ripe(5.0 + HOLD_S)
    role.next_batch()
    add(role, 1)
    assert role.is_ripe(6.0)


def test_when_fewer_clients_are_left_batches_wait_less_and_less() -> None:
    role = waiting(100)
    held = 0
    for _ in range(40):
        add(role, 10)
        held += not role.is_ripe(5.0)
        role.next_batch()
    assert 0 < held < 30


def test_a_batch_of_many_bytes_does_not_wait() -> None:
    role = waiting(100)
    assert role.submit(b"x" * 1024) is None
    assert not role.is_ripe(5.0)
    assert role.submit(b"x" * 31 * 1024) is None
    assert role.is_ripe(5.0)


def test_it_can_be_switched_off() -> None:
    role = waiting(100, hold_s=0.0)
    add(role, 1)
    assert role.is_ripe(5.0)


def test_a_new_ballot_begins_without_memory_of_the_last_one() -> None:
    role = waiting(100)
    add(role, 1)
    assert not role.is_ripe(5.0)
    assert role.close() == 1
    role.check_invariants()
    role.is_open = True
    add(role, 1)
    assert role.is_ripe(5.0)


def test_the_core_asks_to_be_called_when_a_held_batch_has_waited_long_enough() -> None:
    trio = Trio(options=PaxosOptions(hold_s=HOLD_S))
    trio.run(2.0)
    leader = trio.leader()
    replica = trio.replicas[leader]
    for _ in range(64):
        assert replica.submit(b"x") is None
    trio.take(leader)
    trio.deliver()
    assert replica.submit(b"y") is None
    effects = replica.take_effects()
    assert effects.write is None
    assert effects.deadline_s == trio.now_s + HOLD_S
    trio.now_s = effects.deadline_s
    replica.tick(trio.now_s, trio.wall_ms + int(trio.now_s * 1000))
    effects = replica.take_effects()
    assert effects.write is not None
    assert effects.deadline_s > trio.now_s + HOLD_S
    assert replica.statistics().batches_held == 1
