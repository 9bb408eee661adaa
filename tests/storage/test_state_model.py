"""Both state stores against plain dictionaries, over any order of changes, scans, flushes, crashes and transfers."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from replog.paxos.ballot import Slot
from replog.state.contract import StateSnapshot

from .state_cases import DISKS, chunks, contents

KEYS = st.one_of(
    st.integers(0, 40).map(lambda number: b"%02d" % number), st.binary(min_size=1, max_size=3), st.just(b"\xff" * 511)
)
VALUES = st.one_of(st.binary(max_size=8), st.integers(0, 6000).map(lambda size: b"v" * size))
BOUNDS = st.one_of(KEYS, st.just(b""))
Pairs = dict[bytes, bytes]


class StateModel(RuleBasedStateMachine):
    """``now`` is what reads must say, ``durable`` what a crash goes back to."""

    kind = ""

    @initialize()
    def open_store(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.disk = DISKS[self.kind](self.folder / "state")
        self.store = self.disk.store
        self.now: tuple[Pairs, Pairs] = ({}, {})
        self.durable: tuple[Pairs, Pairs] = ({}, {})
        self.set_aside: tuple[Pairs, Pairs] | None = None
        self.set_aside_through = self.durable_through = self.slot = 0
        self.is_flushed = False
        self.snapshot: StateSnapshot | None = None
        self.snapshot_of: tuple[Pairs, Pairs, int] = ({}, {}, 0)

    def teardown(self) -> None:
        if self.snapshot is not None:
            self.snapshot.close()
        self.disk.close()
        shutil.rmtree(self.folder)

    # --- changes ---

    @rule(pairs=st.dictionaries(KEYS, st.one_of(VALUES, st.none()), max_size=12))
    def change(self, pairs: dict[bytes, bytes | None]) -> None:
        for key, value in pairs.items():
            if value is None:
                self.store.write({key: None})
                self.now[0].pop(key, None)
            else:
                self.store.write({key: value})
                self.now[0][key] = value

    @rule(key=KEYS, value=st.one_of(VALUES, st.none()))
    def change_record(self, key: bytes, value: bytes | None) -> None:
        self.store.put_record(key, value)
        if value is None:
            self.now[1].pop(key, None)
        else:
            self.now[1][key] = value

    # --- flush ---

    @rule()
    def begin_flush(self) -> None:
        self.slot += 1
        assert self.store.begin_flush(Slot(self.slot)) == (self.set_aside is None)
        if self.set_aside is None:
            self.set_aside = (dict(self.now[0]), dict(self.now[1]))
            self.set_aside_through = self.slot
            self.is_flushed = False

    @rule()
    def flush(self) -> None:
        self.store.flush()
        if self.set_aside is not None and not self.is_flushed:
            self.durable, self.durable_through = self.set_aside, self.set_aside_through
            self.is_flushed = True

    @precondition(lambda self: self.set_aside is None or self.is_flushed)
    @rule()
    def end_flush(self) -> None:
        self.store.end_flush()
        self.set_aside = None

    @rule()
    def crash(self) -> None:
        if self.snapshot is not None:
            self.snapshot.close()
            self.snapshot = None
        self.store = self.disk.crash()
        self.back_to_durable()

    def back_to_durable(self) -> None:
        self.now = (dict(self.durable[0]), dict(self.durable[1]))
        self.set_aside = None

    # --- reads ---

    @rule(key=BOUNDS)
    def read(self, key: bytes) -> None:
        assert self.store.get(key) == self.now[0].get(key)
        assert self.store.get_record(key) == self.now[1].get(key)

    @rule(start=BOUNDS, stop=st.one_of(BOUNDS, st.none()), is_reverse=st.booleans())
    def scan(self, start: bytes, stop: bytes | None, is_reverse: bool) -> None:
        expected = [
            (key, value)
            for key, value in sorted(self.now[0].items(), reverse=is_reverse)
            if key >= start and (stop is None or key < stop)
        ]
        assert list(self.store.scan(start, stop, is_reverse=is_reverse)) == expected

    @rule(prefix=BOUNDS)
    def scan_records(self, prefix: bytes) -> None:
        expected = sorted((key, value) for key, value in self.now[1].items() if key.startswith(prefix))
        assert list(self.store.scan_records(prefix)) == expected

    @invariant()
    def stands_where_it_says(self) -> None:
        assert self.store.durable_through == self.durable_through

    # --- transfer ---

    @rule()
    def open_snapshot(self) -> None:
        if self.snapshot is not None:
            self.snapshot.close()
        self.snapshot = self.store.open_snapshot()
        assert self.snapshot.applied_through == self.durable_through
        self.snapshot_of = (dict(self.durable[0]), dict(self.durable[1]), self.durable_through)

    @precondition(lambda self: self.snapshot is not None)
    @rule(chunk_bytes=st.integers(1, 5000), is_to_itself=st.booleans())
    def install(self, chunk_bytes: int, is_to_itself: bool) -> None:
        """Into another store, or into this very one, which then goes back to where the snapshot was taken."""
        assert self.snapshot is not None
        if is_to_itself:
            target = self.store
        else:
            other = DISKS[self.kind](Path(tempfile.mkdtemp(dir=self.folder)) / "other")
            target = other.store
        target.begin_install(self.snapshot.name)
        for position, data in list(chunks(self.snapshot, chunk_bytes, target.received_bytes(self.snapshot.name))):
            target.install_chunk(position, data)
        target.finish_install(self.snapshot.applied_through)
        assert contents(target) == self.snapshot_of
        if is_to_itself:
            self.durable, self.durable_through = self.snapshot_of[:2], self.snapshot_of[2]
            self.back_to_durable()
            self.snapshot = None
        else:
            other.close()


@pytest.mark.parametrize("kind", sorted(DISKS))
def test_a_state_store_is_a_dictionary_that_remembers_its_flushes(kind: str) -> None:
    """No sequence of calls tells the store from the model."""
    machine = type("Model", (StateModel,), {"kind": kind})
    run_state_machine_as_test(machine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))
