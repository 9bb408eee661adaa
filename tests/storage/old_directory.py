"""Writes the data directory that ``old_directory.tar.xz`` holds: log format 3 and state format 2.

It runs with the code that wrote those, commit 7792e10, and not with this one:

    PYTHONPATH=<a checkout of it> python tests/storage/old_directory.py tests/storage/old_directory.tar.xz
"""

from __future__ import annotations

import sys
import tarfile
import tempfile
from pathlib import Path

from crc32c import crc32c
from replog.data_directory import format_directory, open_directory
from replog.state_store import LmdbStateStore

from replog.paxos.ballot import Ballot, NodeId, Slot
from replog.paxos.effects import LogWrite
from replog.paxos.membership import Membership
from replog.paxos.messages import AcceptedSlot

MIB = 2**20


def write_directory(path: Path) -> None:
    """A node that has accepted twelve slots, knows ten of them chosen and has flushed eight."""
    members = Membership(1, (NodeId(1), NodeId(2), NodeId(3)))
    format_directory(path, node=NodeId(1), cluster=b"cluster of tests", membership=members)
    held = open_directory(path)
    log = held.open_log()
    log.recover()
    ballot = Ballot(3, NodeId(1))
    values = [b"value %d" % slot * 400 for slot in range(1, 13)]
    records = tuple(AcceptedSlot(Slot(slot), ballot, crc32c(value), value) for slot, value in enumerate(values, 1))
    log.write([LogWrite(ballot, records, Slot(10))])
    log.close()
    state = LmdbStateStore.open(held.state_path, map_step_bytes=MIB)
    for slot in range(1, 9):
        state.put(b"key %d" % slot, b"row %d" % slot)
    state.put_record(b"meta", b"of the Applier")
    state.begin_flush(Slot(8))
    state.flush()
    state.end_flush()
    state.close()
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
