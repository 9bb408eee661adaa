"""Formats a data directory for whoever embeds a replica: with names, as ``replog init`` takes them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ..errors import ConfigError
from ..paxos.ballot import NodeId, node_name, parse_node
from ..paxos.membership import Membership
from . import layout

CLUSTER_BYTES: Final = 16


def format_directory(path: str | Path, *, node: NodeId | str, members: Iterable[NodeId | str], cluster: str) -> None:
    """Format a data directory for one node, once in its life: what ``replog init`` does.

    Do it for each node, on its own machine, with the same ``members`` and ``cluster``. A node whose directory is lost
    must not come back under its old name on a fresh one; ``docs/OPERATING.md``, "replace a dead node", says what to do.

    Parameters
    ----------
    path: made if absent, readable by its owner only; must be empty.
    node: whose directory it is, ``"n1"`` or ``NodeId(1)``.
    members: every voter of the cluster, ``node`` included; the keys of ``ReplicaConfig.members``.
    cluster: the cluster's name, or its 32 hex digits; nodes of another cluster are refused.

    Raises
    ------
    ConfigError: a name is no node's, or ``node`` is not among the members.
    Refused: the directory is not empty.
    StorageError: it can't be written.
    """
    if isinstance(members, str):
        raise ConfigError(f"members is {members!r}; give every node's name, like ['n1', 'n2', 'n3'].")
    if not isinstance(cluster, str):
        raise ConfigError(f"cluster is {cluster!r}; give its name as text.")
    own = _node(node)
    voters = sorted({_node(member) for member in members})
    if own not in voters:
        raise ConfigError(f"node {node_name(own)} is not among the members {', '.join(map(node_name, voters))}.")
    membership = Membership(version=1, voters=tuple(voters))
    layout.format_directory(Path(path), node=own, cluster=cluster_bytes(cluster), membership=membership)


def cluster_bytes(name: str) -> bytes:
    """The cluster's id: 32 hex digits as they are, any other name by its hash.

    Raises ``ConfigError`` if the name is no text that could be typed anywhere else.
    """
    if len(name) == 2 * CLUSTER_BYTES and all(digit in "0123456789abcdef" for digit in name.lower()):
        return bytes.fromhex(name)
    try:
        return hashlib.blake2b(name.encode(), digest_size=CLUSTER_BYTES).digest()
    except UnicodeEncodeError:
        raise ConfigError(f"cluster: {name!a} is no valid Unicode; choose a name that can be typed anywhere.") from None


def _node(name: NodeId | str) -> NodeId:
    try:
        return parse_node(str(name))
    except ValueError as error:
        raise ConfigError(str(error)) from None
