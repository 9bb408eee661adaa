"""Random lives of a log with its journal, held to the log in memory: written, killed, stopped, turned off."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from crc32c import crc32c

from replog.directory.layout import DataDirectory, open_directory
from replog.log import journal_layout
from replog.log.journaled import JournaledLogStore
from replog.log.memory import MemoryLogStore
from replog.paxos.ballot import Ballot, NodeId, Slot
from replog.paxos.effects import LogWrite
from replog.paxos.membership import Membership
from replog.paxos.messages import AcceptedSlot
from tests.faults.acknowledged import JOURNALED, LIMITS, RING_BYTES
from tests.faults.directories import formatted

LIVES, STEPS = 12, 60
KINDS = {"write": 12, "checkpoint": 2, "compact": 2, "floor": 1, "kill": 2, "stop": 1, "turn off": 1}


class Life:
    """One directory, and what must be in it."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = formatted(path)
        self.random = random.Random(seed)
        self.round = 1
        self.membership_version = 1
        self.held: DataDirectory
        self.store: JournaledLogStore
        self.open()
        self.model = MemoryLogStore(self.store.identity)
        self.store.recover()

    def open(self, *, is_journaled: bool = True) -> None:
        self.held = open_directory(self.path)
        self.store = self.held.open_log(JOURNALED if is_journaled else LIMITS)

    def close(self) -> None:
        self.store.close()
        self.held.close()

    def step(self) -> None:
        (kind,) = self.random.choices(list(KINDS), KINDS.values())
        match kind:
            case "write":
                writes = [self.write() for _count in range(self.random.randint(1, 3))]
                self.store.write(writes)
                self.model.write(writes)
            case "checkpoint":
                self.store.checkpoint()
            case "compact":
                through = Slot(self.random.randint(0, self.model.chosen_through))
                reached = self.store.compact(through, slots_max=5)
                assert reached == self.model.compact(through, slots_max=5)
            case "floor":
                through = Slot(self.model.chosen_through + self.random.randint(0, 3))
                self.store.install_floor(through, self.model.membership)
                self.model.install_floor(through, self.model.membership)
            case "kill" | "stop" | "turn off":
                if kind == "stop":
                    self.store.finish()
                self.close()
                self.open(is_journaled=kind != "turn off")
        if kind in ("kill", "stop", "turn off") or self.random.random() < 0.1:
            assert self.store.recover() == self.model.recover()
        self.compare()

    def write(self) -> LogWrite:
        """What a core could ask for: the promise rises, slots lie above what is chosen, what is chosen has a record."""
        chance = self.random
        self.round += chance.random() < 0.3
        ballot = Ballot(self.round, NodeId(1))
        first = self.model.chosen_through + 1
        slots = sorted(chance.sample(range(first, first + 6), chance.randint(0, 4)))
        records = []
        for slot in slots:
            value = chance.randbytes(chance.choice((0, 20, 300, 3000, 9000)))
            records.append(AcceptedSlot(Slot(slot), ballot, crc32c(value), value))
        has = {*self.model.slots, *slots}
        chosen = first - 1
        while chosen + 1 in has and chance.random() < 0.5:
            chosen += 1
        membership = None
        if chance.random() < 0.1:
            self.membership_version += 1
            membership = Membership(self.membership_version, (NodeId(1), NodeId(2)))
        return LogWrite(ballot, tuple(records), Slot(chosen) if chance.random() < 0.7 else None, membership)

    def compare(self) -> None:
        """Reads find in the store what is in the model, wherever they begin."""
        last = max(self.model.slots, default=self.model.chosen_through) + 1
        for slot in range(self.model.compacted_through + 1, last + 1):
            asked = {"slots_max": 4, "bytes_max": 5000}
            assert self.store.read(Slot(slot), Slot(last), **asked) == self.model.read(Slot(slot), Slot(last), **asked)


@pytest.mark.parametrize("seed", range(LIVES))
def test_a_log_with_a_journal_is_the_log_in_memory(
    quick_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Promise, acceptances, positions, membership and every read, whatever process begins and ends in between."""
    monkeypatch.setattr(journal_layout, "JOURNAL_BYTES", RING_BYTES)
    life = Life(quick_path / "node", seed)
    try:
        for _step in range(STEPS):
            life.step()
    finally:
        life.close()
