"""A cluster of the release before, whose log says nobody's address, is upgraded by the first change of its members."""

from __future__ import annotations

import tarfile
from pathlib import Path

import replog
from replog.config import ReplicaConfig
from replog.directory.inspection import inspect
from replog.directory.layout import format_directory
from replog.embedding import EmbeddedReplica
from replog.node.events import ChangeMembers
from replog.paxos.ballot import NodeId
from replog.paxos.membership import Member, Membership
from tests.faults.directories import adopt

from .machines import Ledger
from .stage import CLUSTER, eventually

ARCHIVE = Path(__file__).parent.parent / "storage" / "before_addresses_directory.tar.xz"
N1, N2 = NodeId(1), NodeId(2)


def asked_until_done(replica: EmbeddedReplica, asked: ChangeMembers) -> bool:
    node = replica._node
    membership = node.replica.membership
    if (membership.voters, membership.learners) == (asked.voters, asked.learners):
        return True
    node.put(asked)
    return False


async def test_the_first_change_moves_the_addresses_into_the_log(tmp_path: Path, unused_ports: list[int]) -> None:
    """The directory was written by the code before; neither configuration ever names the newcomer."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    adopt(tmp_path / "before")
    addresses = {N1: f"127.0.0.1:{unused_ports[0]}", N2: f"127.0.0.1:{unused_ports[1]}"}
    one = ReplicaConfig(data_dir=tmp_path / "before", members={N1: addresses[N1]})
    two = ReplicaConfig(data_dir=tmp_path / "n2", members={N1: addresses[N1]}, bind=addresses[N2])
    identity = format_directory(two.data_dir, node=N2, cluster=CLUSTER, membership=Membership(1, (N1,)))
    newcomer = Member(N2, addresses[N2], identity.incarnation)
    async with replog.open_replica(one, Ledger()) as old, replog.open_replica(two, Ledger()) as new:
        assert (await old.submit(b"a")).reply == b"1"
        await eventually(lambda: asked_until_done(old, ChangeMembers((N1,), (N2,), None, (newcomer,))), "n2 learns")
        await eventually(lambda: asked_until_done(old, ChangeMembers((N1, N2), ())), "n2 votes")
        assert (await new.submit(b"a")).reply == b"2"
    async with replog.open_replica(two, Ledger()) as new, replog.open_replica(one, Ledger()) as old:
        assert (await new.submit(b"a")).reply == b"3"
        assert old.status().members == new.status().members == {"n1": addresses[N1], "n2": addresses[N2]}
    log = inspect(one.data_dir).log
    assert log is not None
    assert log.membership is not None
    assert log.membership.described == (Member(N1, addresses[N1]), newcomer)
