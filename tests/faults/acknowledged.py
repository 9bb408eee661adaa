"""What the workload writes, what it says is durable, and whether that is so: shared by everything that hurts a disk.

The workload says a line as soon as a call returned. Whoever checks a directory takes the lines said until the disk was
hurt and holds the directory to every one of them; what was under way may be there or not.
"""

from __future__ import annotations

from pathlib import Path

import attrs
from crc32c import crc32c

from replog.directory.layout import STATE_FOLDER, open_directory
from replog.log.space import MIB, LogLimits
from replog.paxos.ballot import BEFORE_LOG, Ballot, NodeId, Slot
from replog.paxos.membership import Membership
from replog.paxos.messages import AcceptedSlot
from replog.paxos.recovered import Recovered
from replog.state.store import LmdbStateStore

NODE = NodeId(1)
CLUSTER = b"cluster of tests"
MEMBERSHIP = Membership(1, (NodeId(1), NodeId(2), NodeId(3)))
LIMITS = LogLimits(map_step_bytes=MIB, reserve_bytes=0, journal=False)
JOURNALED = LogLimits(map_step_bytes=MIB, reserve_bytes=0, journal=True)
RING_BYTES = 64 * 1024
"""Of a journal that is gone round every ten records or so; larger records are an eighth of it and go to LMDB."""
CHOSEN_LAG = 3
TAIL_SLOTS = 24
KEYS = 40
FLUSH_SLOTS = 3


def ballot_of(slot: int) -> Ballot:
    """The ballot the workload accepts ``slot`` at, having promised it."""
    return Ballot(slot // 8 + 1, NODE)


def value_of(slot: int) -> bytes:
    """Short values, and now and then one that fills pages of its own."""
    size = 9000 if slot % 9 == 0 else 40 + slot * 37 % 400
    return (b"%08d" % slot * (size // 8 + 1))[:size]


def record_of(slot: int) -> AcceptedSlot:
    value = value_of(slot)
    return AcceptedSlot(Slot(slot), ballot_of(slot), crc32c(value), value)


def row_of(slot: int) -> tuple[bytes, bytes]:
    """What applying ``slot`` puts into the state."""
    return b"key/%02d" % (slot % KEYS), b"%d " % slot * (1 + slot % 50)


@attrs.frozen
class Acknowledged:
    """The last of each kind that the workload said was durable."""

    promise: int = 0
    slot: int = 0
    state: int = 0

    @classmethod
    def read(cls, text: str) -> Acknowledged:
        """From the workload's lines; one without its line end was not said."""
        found: dict[str, int] = {}
        for line in text.splitlines(keepends=True):
            word, _space, number = line.partition(" ")
            if line.endswith("\n") and word in ("promise", "slot", "state"):
                found[word] = int(number)
        return cls(**found)


def check_log(directory: Path, said: Acknowledged, limits: LogLimits = LIMITS) -> Recovered:
    """Open the log as a starting node does, and hold it to what was said.

    What a killed process left in its journal is taken over, whether or not ``limits`` asks for one.
    """
    held = open_directory(directory)
    try:
        store = held.open_log(limits)
        try:
            recovered = store.recover()
            assert recovered.damaged_reason == ""
            assert recovered.damaged_chosen == ()
            assert recovered.membership == MEMBERSHIP
            assert recovered.promise.round >= said.promise, "a promise was forgotten"
            last = max([recovered.chosen_through, *(record.slot for record in recovered.accepted)])
            assert last >= said.slot, f"slot {said.slot} was acknowledged and the log ends at {last}"
            assert recovered.compacted_through <= max(0, last - TAIL_SLOTS)
            for slot in range(recovered.compacted_through + 1, last + 1):
                assert store.read(Slot(slot), Slot(slot), slots_max=1, bytes_max=1) == [record_of(slot)]
        finally:
            store.close()
    finally:
        held.close()
    return recovered


def check_state(directory: Path, said: Acknowledged) -> Slot:
    """Open the state, and hold its rows and its position to each other and to what was said."""
    store = LmdbStateStore.open(directory / STATE_FOLDER, map_step_bytes=MIB)
    try:
        through = store.durable_through
        assert through >= said.state, f"slot {said.state} was flushed and the state stands at {through}"
        rows = dict(row_of(slot) for slot in range(1, through + 1))
        assert dict(store.scan(b"", None)) == rows
        assert store.get_record(b"through") == (b"%d" % through if through > BEFORE_LOG else None)
    finally:
        store.close()
    return through
