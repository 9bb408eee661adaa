"""Writes the data directory that ``before_addresses_directory.tar.xz`` holds: log format 5, no address of any member.

It runs with the code that wrote those, commit f6cf9fe, and not with this one:

    PYTHONPATH=<a checkout of it> python tests/storage/before_addresses_directory.py \
        tests/storage/before_addresses_directory.tar.xz
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
from replog.paxos.values import NO_OP, encode_value
from replog.state.store import LmdbStateStore


def write_directory(path: Path) -> None:
    """The only member of its cluster: a barrier and eleven no-ops, ten slots known chosen."""
    founders = Membership(1, (NodeId(1),))
    format_directory(path, node=NodeId(1), cluster=bytes(range(16)), membership=founders)
    held = open_directory(path)
    log = held.open_log(LogLimits(map_step_bytes=MIB, reserve_bytes=0))
    log.recover()
    ballot = Ballot(3, NodeId(1))
    values = [encode_value(founders), *[NO_OP] * 11]
    records = tuple(AcceptedSlot(Slot(slot), ballot, crc32c(value), value) for slot, value in enumerate(values, 1))
    log.write([LogWrite(ballot, records, Slot(10))])
    log.close()
    LmdbStateStore.open(held.state_path, map_step_bytes=MIB).close()
    held.close()


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "before"
        write_directory(directory)
        with tarfile.open(sys.argv[1], "w:xz") as archive:
            archive.add(directory, "before", filter=_plain)
