"""Known mistakes of a log's journal, each to be caught by the tests of storage.

Most are seen by the files alone; what leaves out a sync is seen by a power cut and by nothing else.
"""

from __future__ import annotations

from .planting import Change, Mutant

TESTS = (
    "tests/storage/test_journal_opening.py",
    "tests/storage/test_journaled.py",
    "tests/storage/test_journal_model.py",
    "tests/storage/test_journal_reading.py",
    "tests/storage/test_old_formats.py",
    "tests/storage/test_log_contract.py",
    "tests/storage/test_log_writer.py",
    "tests/storage/test_journal_looking.py",
    "tests/storage/test_journal_power_cut.py",
)
POWER_CUTS = TESTS[-1:]
LAYOUT, READING, FILE = "log/journal_layout.py", "log/journal_reading.py", "log/journal_file.py"
JOURNALED, OPENING = "log/journaled.py", "log/journal_opening.py"


def _mutant(name: str, path: str, old: str, new: str, tests: tuple[str, ...] = TESTS) -> Mutant:
    return Mutant(name, 0, (Change(path, old, new),), tests=tests)


MUTANTS = (
    _mutant("stamps are not checked", READING, "if crc != ring.stamp_crc(found):", "if False:"),
    _mutant(
        "a number is used twice",
        READING,
        "used_through = max(self._sequence, self._highest)",
        "used_through = self._sequence - 1",
    ),
    _mutant(
        "a start journals before the log names its journal",
        JOURNALED,
        "if writes or found.damage or mark != self.log.position.journal:",
        "if writes or found.damage:",
    ),
    _mutant(
        "the log is not synced", "disk/environment.py", "        sync=True,\n", "        sync=False,\n", POWER_CUTS
    ),
    _mutant(
        "the journal is not synced",
        FILE,
        "os.O_WRONLY | os.O_DSYNC | os.O_CLOEXEC",
        "os.O_WRONLY | os.O_CLOEXEC",
        POWER_CUTS,
    ),
    _mutant("the journal is not settled at a start", OPENING, "    file.settle()\n", "", POWER_CUTS),
    _mutant(
        "blocks are free before the log has what is in them",
        FILE,
        "        self.pending_bytes += len(data)\n",
        "        self._blocks_taken = 0\n",
    ),
    _mutant(
        "the log says that it covers what it has not",
        JOURNALED,
        "        self.checkpoint()\n        self.log.write(writes)\n",
        "        assert self._journal is not None\n        self.log.commit(writes, self._journal.mark(is_open=True))\n",
    ),
    _mutant(
        "a body's checksum is not compared",
        READING,
        "if self._ring.body_crc(self._sequence, body) != crc:",
        "if False:",
    ),
    _mutant(
        "a head's checksum is not compared", READING, "if crc != head_crc(self._sequence, length, body_crc) or", "if"
    ),
    _mutant(
        "two writes are in flight",
        "log/writer.py",
        "        if not self._in_turn.acquire(blocking=False):\n"
        "            return False  # a checkpoint is under way\n",
        "        self._in_turn.acquire(blocking=False)\n",
    ),
    _mutant(
        "a promise is not journaled",
        LAYOUT,
        "    return _encode(writes)\n",
        "    return _encode([msgspec.structs.replace(write, promise=None) for write in writes])\n",
    ),
    _mutant(
        "what is below the floor comes back",
        "log/changes.py",
        "    return Joined(_newest_above(floor, writes),",
        "    return Joined(_newest_above(BEFORE_LOG, writes),",
    ),
    _mutant(
        "what is below the floor is shown",
        "log/overlay.py",
        " for record in write.slots if record.slot > self._floor}",
        " for record in write.slots}",
    ),
    _mutant(
        "readers lose what waits before the log has it",
        JOURNALED,
        "        self.log.commit(self._overlay.writes, self._journal.mark(is_open=is_open))\n",
        "        writes = self._overlay.writes\n        self._begin_overlay()\n"
        "        self.log.commit(writes, self._journal.mark(is_open=is_open))\n",
    ),
    _mutant(
        "readers look into the log first",
        JOURNALED,
        "            record = overlay.records.get(first)\n",
        "            stored = self.log.read(first, first, slots_max=1, bytes_max=bytes_max)\n"
        "            record = self._overlay.records.get(first) or (stored[0] if stored else None)\n"
        "            if record is None:\n                return\n",
    ),
    _mutant(
        "no room is reserved",
        JOURNALED,
        "        return self.log.reserve(records, append_above=append_above)\n",
        "        return records is not None and append_above >= 0\n",
    ),
    _mutant(
        "the format is not raised",
        "log/environment.py",
        "        if is_of_format_before(stored):\n",
        "        if False:\n",
    ),
    _mutant(
        "the file of identity does not follow",
        "directory/layout.py",
        "        if is_of_format_before((path / IDENTITY_FILE).read_bytes()):\n",
        "        if False:\n",
    ),
    _mutant(
        "records are not padded to blocks",
        LAYOUT,
        "_ZEROS[: -len(payload) % BLOCK_PAYLOAD_BYTES]",
        "_ZEROS[: -len(payload) % SECTOR_PAYLOAD_BYTES]",
    ),
    _mutant("a later record means nothing", READING, "if self._highest > self._sequence:", "if False:"),
    _mutant(
        "a damaged head is an end",
        READING,
        '            return f"the head of {name} is damaged"\n',
        '            return ""\n',
    ),
    _mutant("a damaged record is an end", READING, '        return f"{name} is damaged"\n', '        return ""\n'),
    _mutant(
        "a torn record is damage",
        READING,
        "        if _Sector.OLD in self._kinds(place, blocks_for(length)):\n",
        "        if False:\n",
    ),
    _mutant(
        "a record whose padding is torn is whole",
        READING,
        "        if _Sector.OLD in self._kinds(place, blocks):\n",
        "        if False:\n",
    ),
    _mutant("damage does not cost the vote", JOURNALED, "        self.log.distrust_if(found.damage)\n", ""),
    _mutant(
        "an older journal is taken", OPENING, "    match check_anchor(ring, data, mark):\n", "    match Anchor.SOUND:\n"
    ),
    _mutant("a lost journal is begun anew", OPENING, "        if not mark.is_open:\n", "        if True:\n"),
    _mutant("a short write is a success", FILE, "    if written != len(data):\n", "    if written == 0:\n"),
    _mutant(
        "a failed write is tried again",
        JOURNALED,
        "            raise self.log.failure.of(journal.path, error) from error\n",
        "            raise StorageError(str(error)) from error\n",
    ),
    _mutant(
        "a clean stop leaves the journal open",
        JOURNALED,
        "            self._checkpoint(is_open=False)\n",
        "            self._checkpoint(is_open=True)\n",
    ),
    _mutant(
        "what waits is dropped with old slots",
        JOURNALED,
        '(J17)."""\n        self.checkpoint()\n        compacted_through',
        '(J17)."""\n        compacted_through',
    ),
    _mutant(
        "a lone write is checkpointed at once",
        JOURNALED,
        "            self._checkpoint_at_s = self._clock() + self._age_s\n",
        "            self._checkpoint_at_s = self._clock()\n",
    ),
    _mutant(
        "beside a writer the first look counts",
        "log/report.py",
        "        self._is_sure = not (self.journal.damage or self.journal.refusal) or (\n",
        "        self._is_sure = True or (\n",
    ),
)
