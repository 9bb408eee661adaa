"""Writes the data directory that ``format_4_directory.tar.xz`` holds: log format 4, which knew no journal.

It runs with the code that wrote those, commit 0762f5d, and not with this one:

    PYTHONPATH=<a checkout of it> python tests/storage/format_4_directory.py tests/storage/format_4_directory.tar.xz
"""

from __future__ import annotations

import sys
import tarfile
import tempfile
from pathlib import Path

from crc32c import crc32c

from replog.directory.layout import format_directory, open_directory
from replog.log.space import MIB, LogLimits
from replog.paxos.ballot import Ballot, NodeId, Slot
from replog.paxos.effects import LogWrite
from replog.paxos.membership import Membership
from replog.paxos.messages import AcceptedSlot
from replog.state.store import LmdbStateStore


def write_directory(path: Path) -> None:
    """A node that has promised above what it accepted, accepted twelve slots, knows ten of them chosen, dropped two."""
    members = Membership(1, (NodeId(1), NodeId(2), NodeId(3)))
    format_directory(path, node=NodeId(1), cluster=b"cluster of tests", membership=members)
    held = open_directory(path)
    log = held.open_log(LogLimits(map_step_bytes=MIB, reserve_bytes=0))
    log.recover()
    ballot = Ballot(3, NodeId(1))
    values = [b"value %d" % slot * 40 for slot in range(1, 13)]
    records = tuple(AcceptedSlot(Slot(slot), ballot, crc32c(value), value) for slot, value in enumerate(values, 1))
    log.write([LogWrite(ballot, records, Slot(10), Membership(2, (NodeId(1), NodeId(2)), (NodeId(3),)))])
    log.compact(Slot(2), slots_max=10)
    log.write([LogWrite(Ballot(7, NodeId(2)), (), None)])
    log.close()
    LmdbStateStore.open(held.state_path, map_step_bytes=MIB).close()
    held.close()


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "old"
        write_directory(directory)
        with tarfile.open(sys.argv[1], "w:xz") as archive:
            archive.add(directory, "old", filter=_plain)
