"""What a state machine may put, get, delete and scan: refused where it is called, alike over both stores."""

from __future__ import annotations

import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from replog.apply.state_access import Reader
from replog.errors import Damaged, StorageError
from replog.state.memory import MemoryStateStore
from replog.state_machine import KEY_BYTES_MAX, VALUE_BYTES_MAX, WRITES_BYTES_MAX, WRITES_MAX, Command, State

from .running import Run, new_store


class Bytes(bytes):
    """Not exactly bytes: LMDB takes it, a dictionary compares it as its class says."""


WRONG: dict[str, Callable[[State], object]] = {
    "put a str key": lambda state: state.put("k", b"v"),  # type: ignore[arg-type]
    "put a str value": lambda state: state.put(b"k", "v"),  # type: ignore[arg-type]
    "put an int value": lambda state: state.put(b"k", 7),  # type: ignore[arg-type]
    "put None": lambda state: state.put(b"k", None),  # type: ignore[arg-type]
    "put a bytearray": lambda state: state.put(b"k", bytearray(b"v")),
    "put a memoryview": lambda state: state.put(b"k", memoryview(b"v")),
    "put an array": lambda state: state.put(b"k", array.array("b", b"v")),  # type: ignore[arg-type]
    "put a subclass": lambda state: state.put(Bytes(b"k"), b"v"),
    "put a value of a subclass": lambda state: state.put(b"k", Bytes(b"v")),
    "put an empty key": lambda state: state.put(b"", b"v"),
    "put a long key": lambda state: state.put(b"k" * (KEY_BYTES_MAX + 1), b"v"),
    "put a long value": lambda state: state.put(b"k", bytes(VALUE_BYTES_MAX + 1)),
    "put a bytearray as key": lambda state: state.put(bytearray(b"k"), b"v"),
    "delete a str": lambda state: state.delete("zz"),  # type: ignore[arg-type]
    "delete nothing": lambda state: state.delete(b""),
    "delete a long key": lambda state: state.delete(b"k" * 512),
    "delete None": lambda state: state.delete(None),  # type: ignore[arg-type]
    "get a str": lambda state: state.get("k"),  # type: ignore[call-overload]
    "get a list": lambda state: state.get([1]),  # type: ignore[call-overload]
    "get nothing": lambda state: state.get(b""),
    "get a long key": lambda state: state.get(b"k" * 600),
    "scan a str": lambda state: list(state.scan("k")),  # type: ignore[arg-type]
    "scan None": lambda state: list(state.scan(None)),  # type: ignore[arg-type]
    "scan from a str": lambda state: list(state.scan(start="k")),  # type: ignore[arg-type]
    "scan to an int": lambda state: list(state.scan(stop=5)),  # type: ignore[arg-type]
    "scan from a long key": lambda state: list(state.scan(start=b"k" * 600)),
    "scan a long prefix": lambda state: list(state.scan(b"k" * 600)),
    "scan, not iterated": lambda state: state.scan("k"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("kind", ["memory", "lmdb"])
@pytest.mark.parametrize("wrong", WRONG)
def test_what_no_store_takes_fails_the_command_alone(wrong: str, kind: str, tmp_path: Path) -> None:
    """The same error over both stores, the writes before it undone, and the next flush and command fine."""
    store = new_store(kind, tmp_path)

    def apply(state: State, command: Command) -> bytes:
        state.put(b"own/" + command.payload, b"written before")
        if command.payload == b"wrong":
            WRONG[wrong](state)
        return b"done"

    run = Run(apply, store)
    good, failed, after = run(b"a", b"wrong", b"b")
    assert (good, after) == (b"done", b"done")
    assert isinstance(failed, str)
    assert failed.startswith(("TypeError", "ValueError"))
    run.flush()
    assert [key for key, _ in store.scan(b"own/", b"own0")] == [b"own/a", b"own/b"]
    assert run.applier.misuse == failed
    store.close()


@pytest.mark.parametrize("kind", ["memory", "lmdb"])
def test_the_longest_key_and_value_are_kept(kind: str, tmp_path: Path) -> None:
    """A limit is inclusive, and what it lets in the store really takes."""
    store = new_store(kind, tmp_path)
    key, value = b"k" * KEY_BYTES_MAX, bytes(VALUE_BYTES_MAX)

    def apply(state: State, command: Command) -> bytes:
        state.put(key, value)
        state.put(b"empty", b"")
        state.delete(b"x" * KEY_BYTES_MAX)
        return b"%d" % len(list(state.scan(b"k" * KEY_BYTES_MAX)))

    run = Run(apply, store)
    assert run(b"a") == [b"1"]
    run.flush()
    assert (store.get(key), store.get(b"empty")) == (value, b"")
    store.close()


def test_what_one_command_writes_is_bounded() -> None:
    """A command that would write for ever, or more than memory holds, fails as any other; the next one has its own."""

    def apply(state: State, command: Command) -> bytes:
        if command.payload == b"many":
            for number in range(2**40):
                state.put(b"%d" % number, b"")
        if command.payload == b"much":
            for number in range(2**40):
                state.put(b"%d" % number, bytes(2**20))
        if command.payload == b"deletes":
            for number in range(2**40):
                state.delete(b"%d" % number)
        for number in range(WRITES_BYTES_MAX // VALUE_BYTES_MAX):
            state.put(b"large/%d" % number, bytes(VALUE_BYTES_MAX))
        return b"fits"

    run = Run(apply)
    fits, many, much, deletes, again = run(b"", b"many", b"much", b"deletes", b"")
    assert (fits, again) == (b"fits", b"fits")
    assert many == deletes == f"ValueError: one command writes at most {WRITES_MAX:,} keys"
    assert much == f"ValueError: put: one command writes at most {WRITES_BYTES_MAX:,} bytes"


def test_a_state_that_was_kept_is_of_no_use() -> None:
    """Outside the apply that it was given to nothing is read or written, so nothing gets into another command."""
    kept: list[State] = []

    def apply(state: State, command: Command) -> bytes:
        kept.append(state)
        return b"kept"

    run = Run(apply)
    run(b"a")
    for use in (
        lambda: kept[0].put(b"k", b"v"),
        lambda: kept[0].delete(b"k"),
        lambda: kept[0].get(b"k"),
        lambda: list(kept[0].scan()),
    ):
        with pytest.raises(RuntimeError, match="inside the apply"):
            use()
    run(b"b")
    assert list(run.store.scan(b"", None)) == []


def test_an_iterator_ends_with_its_command() -> None:
    """What a scan that was left open would see of later commands depends on windows and flushes, not on the log."""
    kept: list[Any] = []

    def apply(state: State, command: Command) -> bytes:
        if not kept:
            rows = state.scan(b"")
            kept.append(rows)
            return next(rows)[0]
        return b"%d" % len(list(kept[0]))

    run = Run(apply)
    for number in range(20):
        run.store.write({b"%02d" % number: b"v"})
    assert run(b"a", b"b") == [b"00", b"0"]


class Failing(MemoryStateStore):
    """Cannot be read any more."""

    is_failing = False

    def get(self, key: bytes) -> bytes | None:
        if self.is_failing:
            raise Damaged("a row fails its checksum")
        return super().get(key)


def test_a_failed_read_ends_the_node_even_if_the_state_machine_swallows_it() -> None:
    """Its answer would rest on a disk; and nothing of that slot may last."""

    def apply(state: State, command: Command) -> bytes:
        try:
            return state.get(b"k", b"nothing")
        except Exception:
            state.put(b"k", b"swallowed")
            return b"swallowed"

    store = Failing()
    run = Run(apply, store)
    assert run(b"a") == [b"nothing"]
    store.is_failing = True
    with pytest.raises(Damaged):
        run(b"b")
    store.is_failing = False
    for forbidden in (lambda: run(b"c"), run.applier.begin_flush):
        with pytest.raises(StorageError, match="half applied"):
            forbidden()


def test_a_storage_error_of_the_state_machines_own_is_an_answer() -> None:
    """Raised by its code and by no store, at every restart again: it must not end the replicas."""

    def apply(state: State, command: Command) -> bytes:
        raise StorageError("made up")

    run = Run(apply)
    assert run(b"a") == ["StorageError: made up"]


def test_a_query_is_held_to_the_same_rules() -> None:
    """A view refuses what a state refuses."""
    view = Reader(MemoryStateStore())
    for wrong in (b"", b"k" * 600, "k", 3):
        with pytest.raises((TypeError, ValueError)):
            view.get(wrong)  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        view.scan("k")  # type: ignore[arg-type]
