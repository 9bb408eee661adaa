"""A program on the library as a type checker sees it: never run, checked by mypy.

It uses every name of the front page; a signature that changes under a program breaks here first.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import assert_type

import replog
import replog.blocking


class Counter(replog.StateMachine):
    def apply(self, state: replog.State, command: replog.Command) -> bytes:
        assert_type(state.get(b"total"), bytes | None)
        assert_type(state.get(b"total", b"0"), bytes)
        state.put(b"total", command.payload)
        state.delete(b"other")
        return b"%d in slot %d, %d ms" % (command.offset, command.slot, command.time_ms)

    def query(self, view: replog.StateView, request: bytes) -> bytes:
        for key, value in view.scan(b"a", is_reverse=True):
            assert_type((key, value), tuple[bytes, bytes])
        return view.get(request, b"")


async def ask(endpoints: list[str]) -> None:
    options = replog.ClientOptions(timeout_s=1.0)
    async with replog.connect(endpoints, name="program", options=options) as client:
        assert_type(client, replog.Client)
        receipt = await client.submit(b"1", timeout=1.0)
        assert_type(receipt, replog.Receipt)
        assert_type(receipt.reply, bytes)
        assert_type(await client.submit_many([b"1", b"2"]), list[replog.Receipt])
        assert_type(await client.query(b"", consistency="stale"), bytes)
        assert_type(await client.read(b"", consistency="linearizable"), replog.Answer)
        assert_type(await client.status(), replog.NodeStatus)
        await client.transfer_leadership("n2")
        members: replog.Members = await client.members()
        await client.change_members(members.voters, [members.next_node], addresses={members.next_node: "h:1"})
        async for entry in client.follow(from_slot=1):
            assert_type(entry, replog.LogEntry)
            assert_type(entry.value, bytes)
            decoded = replog.decode_entry(entry)
            assert_type(decoded, replog.DecodedEntry)
            assert_type(decoded.commands, tuple[replog.LoggedCommand, ...])


async def ask_one_node(address: str) -> None:
    assert_type(await replog.ask_status(address, timeout=1.0), replog.NodeStatus)
    assert_type(await replog.ask_query(address, b""), replog.Answer)
    await replog.ask_transfer(address, "n2")


def ask_from_a_thread(endpoints: tuple[str, ...]) -> None:
    with replog.blocking.connect(endpoints, options=replog.ClientOptions()) as client:
        assert_type(client, replog.blocking.Client)
        assert_type(client.submit(b"1"), replog.Receipt)
        assert_type(client.submit_many([b"1", b"2"]), list[replog.Receipt])
        assert_type(client.query(b""), bytes)
        assert_type(client.read(b"", consistency="stale"), replog.Answer)
        assert_type(client.status(), replog.NodeStatus)
        for entry in client.follow():
            assert_type(entry, replog.LogEntry)


async def embed(folder: str) -> None:
    members = {"n1": "10.0.0.1:7101", "n2": "10.0.0.2:7101", "n3": "10.0.0.3:7101"}
    replog.format_directory(folder, node="n1", members=members, cluster="counters")
    replog.format_directory(Path(folder), node=replog.NodeId(1), members=[replog.NodeId(1)], cluster="counters")
    config = replog.ReplicaConfig(data_dir=folder, members=members, node=replog.NodeOptions(flush_interval_s=1.0))
    assert_type(config.members, dict[replog.NodeId, str])
    assert_type(config.data_dir, Path)
    assert_type(replog.load_config(Path("replica.toml"), {"bind": "0.0.0.0:7101"}), replog.ReplicaConfig)
    async with replog.open_replica(config, Counter(), options=replog.ClientOptions()) as replica:
        assert_type(replica, replog.EmbeddedReplica)
        assert_type(await replica.submit(b"1"), replog.Receipt)
        assert_type(await replica.read(b"", consistency="stale"), replog.Answer)
        assert_type(replica.status(), replog.NodeStatus)
    await replog.run_replica(config, Counter())


async def start_a_cluster() -> Mapping[str, int]:
    async with replog.local_cluster(replicas=3, state_machine="tests.typing.api:Counter") as cluster:
        assert_type(cluster, replog.LocalCluster)
        assert_type(cluster.endpoints, tuple[str, ...])
        async with cluster.client(name="program", options=replog.ClientOptions()) as client:
            assert_type(client, replog.Client)
        return cluster.pids


def advice(error: replog.ReplogError) -> str:
    match error:
        case replog.Unavailable() | replog.Overloaded() | replog.StorageFull():
            return "again"
        case replog.OutcomeUnknown() | replog.SessionExpired():
            return "look first"
        case (
            replog.ChangeRefused()
            | replog.CommandFailed()
            | replog.CommandTooLarge()
            | replog.Refused()
            | replog.ConfigError()
        ):
            return "mend it"
        case replog.Damaged() | replog.StorageError() | replog.StateDiverged():
            return f"{replog.__version__}, exit code {error.exit_code}, {len(error.results)} results"
    return ""
