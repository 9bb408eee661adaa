"""Known mistakes of the log's writer and its journal that stories and simulated lives notice.

What the bytes of a journal hide, and what only two threads or a sync can do wrong, is in ``journal``.
"""

from __future__ import annotations

from .planting import Change, Mutant

JOURNALED, TURNS = "log/journaled.py", "log/writer_turns.py"
READING = "log/journal_reading.py"
LOG_DISK = ("tests/sim/test_log_disk.py",)
"""Where commands are too short to make what is wrong show."""


def _mutant(name: str, path: str, old: str, new: str, tests: tuple[str, ...] = ()) -> Mutant:
    return Mutant(name, 0, (Change(path, old, new),), tests=tests)


MUTANTS = (
    _mutant(
        "a checkpoint releases what the log has not",
        JOURNALED,
        "        self.log.commit(self._overlay.writes, self._journal.mark(is_open=is_open))\n",
        "        self.log.commit(self._overlay.writes[1:], self._journal.mark(is_open=is_open))\n",
    ),
    _mutant(
        "recover forgets what the journal held",
        JOURNALED,
        "        writes = [write for body in found.bodies for write in decode_body(body)]\n",
        "        writes: list[LogWrite] = []\n",
    ),
    _mutant(
        "recover says what the log held, without the journal",
        JOURNALED,
        "            recovered = self.log.recover() if writes or found.damage else recovered\n",
        "",
    ),
    _mutant(
        "a start goes on from a journal that its log does not name",
        JOURNALED,
        "        if writes or found.damage or mark != self.log.position.journal:\n",
        "        if writes or found.damage:\n",
    ),
    _mutant(
        "a node that is told to write no journal does not look into one",
        JOURNALED,
        "        opened, self._opened = self._opened, None\n        found = opened.found\n",
        "        opened, self._opened = self._opened, None\n        found = opened.found\n"
        "        if not self._is_wanted:\n            return recovered\n",
    ),
    _mutant("a damaged journal does not cost the vote", JOURNALED, "        self.log.distrust_if(found.damage)\n", ""),
    _mutant(
        "reads miss what waits in the journal",
        JOURNALED,
        "            for record in self._records(overlay, from_slot, last, bytes_max):\n",
        "            for record in self.log.read(from_slot, last, slots_max=slots_max, bytes_max=bytes_max):\n",
    ),
    _mutant(
        "a floor is installed in front of what waits",
        JOURNALED,
        '        """See ``LmdbLogStore.install_floor``; what waits goes first (J17)."""\n        self.checkpoint()\n',
        '        """See ``LmdbLogStore.install_floor``; what waits goes first (J17)."""\n',
    ),
    _mutant(
        "slots go in front of what waits",
        JOURNALED,
        '        """See ``LmdbLogStore.compact``; what waits goes first (J17)."""\n        self.checkpoint()\n',
        '        """See ``LmdbLogStore.compact``; what waits goes first (J17)."""\n',
    ),
    _mutant(
        "a large group goes in front of what waits",
        JOURNALED,
        "        self.checkpoint()\n        self.log.write(writes)\n",
        "        self.log.write(writes)\n",
        LOG_DISK,
    ),
    _mutant(
        "a clean stop says that the log has everything",
        JOURNALED,
        "            self._checkpoint(is_open=False)\n",
        "            self.log.commit([], self._journal.mark(is_open=False))\n",
    ),
    Mutant(
        "a full disk holds a promise up",
        0,
        (
            Change(JOURNALED, "from ..errors import Damaged\n", "from ..errors import Damaged, StorageFull\n"),
            Change(
                JOURNALED,
                "        return self._has_room(records)\n\n    def _has_room",
                "        if not self._has_room(records):\n"
                '            raise StorageFull("no room")\n'
                "        return True\n\n    def _has_room",
            ),
        ),
    ),
    _mutant(
        "after a torn record the node abstains",
        READING,
        "        if _Sector.OLD in self._kinds(place, blocks_for(length)):\n",
        "        if False:\n",
    ),
    _mutant(
        "what is damaged in the journal is taken for its end",
        READING,
        '        return f"{name} is damaged"\n',
        '        return ""\n',
    ),
    _mutant(
        "a full disk is taken for one that has written",
        TURNS,
        "                    return False\n                self.is_waiting_for_space = False\n",
        "                self.is_waiting_for_space = False\n",
    ),
    _mutant(
        "a group that found no room is dropped",
        TURNS,
        "                    self.is_waiting_for_space = True\n                    return False\n",
        "                    self.is_waiting_for_space = True\n                    return True\n",
    ),
    _mutant(
        "the last of a group is not told",
        TURNS,
        "                self._on_durable(work.submitted[-1].ticket)\n",
        "                self._on_durable(work.submitted[0].ticket)\n",
    ),
    _mutant(
        "a write is told before the disk has it",
        TURNS,
        "            case Group():\n                try:\n",
        "            case Group():\n                self._on_durable(work.submitted[-1].ticket)\n"
        "                try:\n",
    ),
)
