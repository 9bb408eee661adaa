"""A scan shows what the command itself has written over what is stored, in order, from either end."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from replog.apply.state_access import Reader, StagedState
from replog.errors import Damaged, StorageError
from replog.state.memory import MemoryStateStore
from replog.state_machine import Command, State

from .running import Run, new_store

KEYS = (b"a", b"b", b"c", b"d")
STORED = ("stored", "absent")
OWN = ("untouched", "put", "deleted")
CASES = list(itertools.product(STORED, OWN))


@pytest.mark.parametrize("is_reverse", [False, True])
def test_a_scan_is_that_of_a_map_with_the_writes_done(is_reverse: bool) -> None:
    """Every way in which four keys can be stored or not, and put, deleted or left alone by the command."""
    for cases in itertools.product(CASES, repeat=len(KEYS)):
        store, expected = MemoryStateStore(), dict[bytes, bytes]()
        for key, (stored, _) in zip(KEYS, cases, strict=True):
            if stored == "stored":
                store.write({key: b"old"})
                expected[key] = b"old"
        state = StagedState(store)
        state.begin()
        for key, (_, own) in zip(reversed(KEYS), reversed(cases), strict=True):
            if own == "put":
                state.put(key, b"new")
                expected[key] = b"new"
            elif own == "deleted":
                state.delete(key)
                expected.pop(key, None)
        assert list(state.scan(is_reverse=is_reverse)) == sorted(expected.items(), reverse=is_reverse), cases


@pytest.mark.parametrize("kind", ["memory", "lmdb"])
def test_own_writes_outside_the_bounds_are_not_shown(kind: str, tmp_path: Path) -> None:
    """A bound holds for what is staged as for what is stored: ``start`` is in, ``stop`` is not, a prefix ends."""
    seen: list[list[bytes]] = []

    def apply(state: State, command: Command) -> bytes:
        for number in range(0 if command.payload == b"even" else 1, 8, 2):
            state.put(b"k/%d" % number, command.payload)
        for outside in (b"k", b"k0", b"\xff", b"\xff\xff"):
            state.put(outside, command.payload)
        seen.clear()
        for is_reverse in (False, True):
            seen.append([key for key, _ in state.scan(b"k/", start=b"k/2", stop=b"k/6", is_reverse=is_reverse)])
            seen.append([key for key, _ in state.scan(b"k/", is_reverse=is_reverse)])
            seen.append([key for key, _ in state.scan(b"\xff", is_reverse=is_reverse)])
        return b""

    store = new_store(kind, tmp_path)
    Run(apply, store)(b"even", b"odd")
    inside, whole, last = [[b"k/%d" % n for n in numbers] for numbers in (range(2, 6), range(8))] + [
        [b"\xff", b"\xff\xff"]
    ]
    assert seen == [inside, whole, last, inside[::-1], whole[::-1], last[::-1]]
    store.close()


def test_what_a_command_writes_after_the_call_is_not_in_its_scan() -> None:
    """So a command may change what it goes over."""

    def apply(state: State, command: Command) -> bytes:
        state.put(b"b", b"1")
        for key, _ in state.scan():
            state.delete(key)
            state.put(key + b"+", b"1")
        return b",".join(key for key, _ in state.scan())

    run = Run(apply)
    run.store.write({b"a": b"1", b"c": b"1"})
    assert run(b"") == [b"a+,b+,c+"]


class Torn(MemoryStateStore):
    """Its second row can't be read, and no single one can."""

    def get(self, key: bytes) -> bytes | None:
        raise Damaged("a row fails its checksum")

    def scan(self, start: bytes, stop: bytes | None, *, is_reverse: bool = False):  # type: ignore[no-untyped-def]
        yield b"a", b"1"
        raise Damaged("a row fails its checksum")


@pytest.mark.parametrize("is_staged", [False, True])
def test_the_first_row_that_can_not_be_read_is_remembered(is_staged: bool) -> None:
    """By a query's view and by a command's state, whatever the state machine makes of the error."""
    view: Reader | StagedState = Reader(Torn())
    if is_staged:
        view = StagedState(Torn())
        view.begin()
        view.put(b"z", b"own")
        assert view.get(b"z") == b"own"
    assert view.failure is None
    rows = view.scan()
    assert next(rows) == (b"a", b"1")
    with pytest.raises(StorageError) as first:
        next(rows)
    with pytest.raises(StorageError):
        view.get(b"a")
    assert view.failure is first.value
