"""Joining a running cluster: a directory for a newcomer, and its place among the learners.

A name is never used twice, so the cluster says which one is free. The directory is formatted first, then the cluster is
told whose it is: whoever was killed between the two asks again and goes on with the same directory.

Never: come back under a name that has promised anything.
"""

from __future__ import annotations

from pathlib import Path

from .client import Client, Members
from .client.members import LOST_TO_ANOTHER
from .directory.layout import IDENTITY_FILE, format_directory, read_identity
from .errors import ChangeRefused, Refused
from .log.contract import Identity
from .paxos.ballot import NodeId, node_name, parse_node
from .paxos.effects import NoChangeCode as Code
from .paxos.membership import Member, Membership

TRIES_MAX = 5
"""So often it is asked for anew because the members changed meanwhile."""


async def join_directory(
    client: Client, directory: Path, address: str, *, timeout_s: float = 10.0
) -> tuple[Identity, Members]:
    """Format ``directory`` for a new node of the client's cluster, if it is not, and add the node as a learner.

    Parameters
    ----------
    directory: made if absent; empty, or formatted by this function before.
    address: where the others and clients will reach it, ``host:port``.
    timeout_s: for each question to the cluster, in seconds.

    Raises
    ------
    Refused: the directory is not empty, or belongs to another cluster, or another directory joined in its name.
    ChangeRefused, OutcomeUnknown, Unavailable: as of ``Client.change_members``.
    StorageError: it can't be written.
    """
    for left in reversed(range(TRIES_MAX)):
        members = await client.members(timeout=timeout_s)
        cluster = bytes.fromhex((await client.status(timeout=timeout_s)).cluster_id)
        identity = _formatted(directory, cluster, members)
        try:
            return identity, await _added(client, identity, address, members, timeout_s)
        except ChangeRefused as refused:
            if refused.code not in (Code.OTHER_VERSION.value, LOST_TO_ANOTHER) or not left:
                raise
    raise AssertionError(TRIES_MAX)


def _formatted(directory: Path, cluster: bytes, members: Members) -> Identity:
    """The directory's identity, made under the next free name if it has none.

    Raises ``Refused`` if it belongs to another cluster.
    """
    found = read_identity(directory) if (directory / IDENTITY_FILE).is_file() else None
    if found is None:
        return format_directory(
            directory, node=parse_node(members.next_node), cluster=cluster, membership=_membership(members)
        )
    if found.cluster != cluster:
        raise Refused(f"{directory} belongs to cluster {found.cluster.hex()}, not {cluster.hex()}; name another one.")
    return found


def _membership(members: Members) -> Membership:
    """What the newcomer begins with: the members as they are, itself not among them."""
    described = [
        Member(parse_node(name), members.addresses.get(name, ""), bytes.fromhex(members.incarnations.get(name, "")))
        for name in sorted((*members.voters, *members.learners), key=parse_node)
    ]
    return Membership(
        members.version,
        tuple(map(parse_node, members.voters)),
        tuple(map(parse_node, members.learners)),
        parse_node(members.next_node),
        tuple(member for member in described if member.address or member.incarnation),
    )


async def _added(client: Client, identity: Identity, address: str, members: Members, timeout_s: float) -> Members:
    name = node_name(NodeId(identity.node))
    if name in (*members.voters, *members.learners):
        known = members.incarnations.get(name, "")
        if known and known != identity.incarnation.hex():
            raise Refused(f"{name} joined with another directory ({known[:8]}); format a new one: it gets a new name.")
        return members
    return await client.change_members(
        members.voters,
        (*members.learners, name),
        addresses={name: address},
        incarnations={name: identity.incarnation.hex()},
        if_version=members.version,
        timeout=timeout_s,
    )
