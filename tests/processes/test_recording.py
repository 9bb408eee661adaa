"""Real replica processes whose lives are recorded: what they did can be done again elsewhere, without what was said."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
import trio

from replog.local_cluster import LocalCluster
from replog.paxos.ballot import NodeId
from replog.ports import free_ports
from replog.sim.record_replay import replay_record

from .load import MACHINE, check, load

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]


class RecordedCluster(LocalCluster):
    """Each node records its life."""

    def record_path(self, name: str) -> Path:
        return self.folder / f"{name}.record"

    def _command(self, name: str) -> list[str]:
        return [*super()._command(name), "--record", str(self.record_path(name))]


@asynccontextmanager
async def recorded_cluster(folder: Path) -> AsyncIterator[RecordedCluster]:
    """Like ``local_cluster``."""
    members = {NodeId(number): f"127.0.0.1:{port}" for number, port in enumerate(free_ports(3), 1)}
    cluster = RecordedCluster(folder, members, MACHINE, {})
    cluster._format()
    try:
        for name in cluster.nodes:
            cluster._spawn(name)
        await cluster.wait_until_serving()
        yield cluster
    finally:
        cluster._end_all()


def bytes_of(record: Path) -> bytes:
    """Everything in a record, unpacked; frame by frame, as docs/DEBUGGING.md says."""
    data = record.read_bytes()
    at, unpacked = data.index(b"\n") + 1, b""
    while len(data) >= at + 8:
        (length, _crc) = struct.unpack_from(">II", data, at)
        if len(data) < at + 8 + length:
            break
        unpacked += zlib.decompress(data[at + 8 : at + 8 + length])
        at += 8 + length
    return unpacked


async def follow_some(cluster: LocalCluster, count: int = 50) -> None:
    """Read the log from its beginning."""
    async with cluster.client() as client, aclosing(client.follow(1)) as entries:
        async for entry in entries:
            if entry.slot >= count:
                return


async def test_a_failover_of_real_processes_is_lived_again(tmp_path: Path) -> None:
    """The leader is killed under load; its record, its survivors' and that of its next life show no difference."""
    async with recorded_cluster(tmp_path) as cluster:
        async with load(cluster, callers=4) as the_load:
            leader = await cluster.leader()
            await the_load.goes_on(100)
            await follow_some(cluster)
            cluster.kill(leader)
            await cluster.wait_ended(leader)
            await the_load.goes_on(100)
            await cluster.start(leader)
            await the_load.goes_on(100)
        await check(cluster, the_load)
        survivor = await cluster.leader()
        assert survivor != leader
        for name in cluster.nodes:
            assert await cluster.stop(name) == 0
    records = [cluster.record_path(name) for name in cluster.nodes]
    records.append(records[0].with_name(f"{leader}.record.before"))
    for path in records:
        story: list[str] = []
        told = await trio.to_thread.run_sync(replay_record, path, story.append)
        assert told.difference is None, str(told.difference)
        assert told.turns > 20
        assert told.ended == ""
        if path == cluster.record_path(survivor):
            assert any(line.startswith("    says became_leader") for line in story)
        assert not re.search(rb"load\d-\d", bytes_of(path)), "what a client said is in a record that leaves it out"
