"""``replog init``: format a data directory for one node, once in its life.

Formatting is a step of its own, never something that starting a node does by itself: a node whose disk is lost
must not come back under its old name with an empty memory (P9).
"""

from __future__ import annotations

import secrets
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from replog.addresses import check_address
from replog.cli_kit.options import AsJson
from replog.cli_kit.printing import done, note, print_json, print_text
from replog.errors import ConfigError
from replog.paxos.ballot import NodeId, node_name, parse_node

if TYPE_CHECKING:
    from replog.log.contract import Identity


def init(
    directory: Path,
    /,
    *,
    node: Annotated[str, Parameter(metavar="NODE")],
    member: Annotated[list[str], Parameter(negative=(), metavar="NODE=HOST:PORT")],
    cluster: Annotated[str | None, Parameter(metavar="NAME")] = None,
    json: AsJson = False,
) -> None:
    """Format a data directory for one node, and print who it belongs to.

    Run it once for each node, with the same members and the same cluster. A directory that is not empty is refused.

    Parameters
    ----------
    directory
        Made if absent, readable by its owner only.
    node
        Whose directory this is, like n1.
    member
        One voter of the cluster as node=host:port; repeat it for every node, this one included.
    cluster
        The cluster's name or its 32 hex digits, the same for every node; random if left out.
    """
    members = parse_members(member)
    number = node_option(node)
    if number not in members:
        raise ConfigError(
            f"node {node_name(number)} is not among the members {_names(members)}; "
            f"add --member {node_name(number)}=host:port."
        )
    from replog.directory.formatting import CLUSTER_BYTES, cluster_bytes
    from replog.directory.layout import format_directory
    from replog.paxos.membership import Membership

    cluster_id = cluster_bytes(cluster) if cluster is not None else secrets.token_bytes(CLUSTER_BYTES)
    membership = Membership(version=1, voters=tuple(members))
    identity = format_directory(directory, node=number, cluster=cluster_id, membership=membership)
    with done():
        if json:
            print_json(_fields(directory, identity, members))
        else:
            _print_identity(directory, identity, members)


def node_option(text: str) -> NodeId:
    """The node that a word of the command line names. Raises ``ConfigError``."""
    try:
        return parse_node(text)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def parse_members(texts: list[str]) -> dict[NodeId, str]:
    """Read ``n1=host:port`` words, ascending by node. Raises ``ConfigError`` naming the one that is wrong."""
    members: dict[NodeId, str] = {}
    for text in texts:
        name, equals, address = text.partition("=")
        if not equals:
            raise ConfigError(f"member {text!r} is not node=host:port, like n1=10.0.0.1:7101.")
        node = node_option(name)
        if node in members:
            raise ConfigError(
                f"member {node_name(node)} is given twice: {members[node]} and {address}; name each node once."
            )
        try:
            members[node] = check_address(address)
        except ValueError as error:
            raise ConfigError(f"member {node_name(node)}: {error}") from None
    return dict(sorted(members.items()))


def _names(members: dict[NodeId, str]) -> str:
    return ", ".join(map(node_name, members))


def _fields(directory: Path, identity: Identity, members: dict[NodeId, str]) -> dict[str, object]:
    return {
        "directory": str(directory),
        "cluster_id": identity.cluster,
        "node": node_name(identity.node),
        "incarnation": identity.incarnation,
        "members": {node_name(node): address for node, address in members.items()},
    }


def _print_identity(directory: Path, identity: Identity, members: dict[NodeId, str]) -> None:
    print_text(f"formatted    {directory}")
    print_text(f"cluster      {identity.cluster.hex()}")
    print_text(f"node         n{identity.node} of {_names(members)}")
    print_text(f"incarnation  {identity.incarnation.hex()}")
    others = [node for node in members if node != identity.node]
    if others:
        note(("next:", "bold"), f"  on the other machines: {_command_for(others[0], identity, members)}")


def _command_for(node: NodeId, identity: Identity, members: dict[NodeId, str]) -> str:
    """The same command for another node: it must name the same members and the same cluster."""
    words = ["replog", "init", "DIR", "--node", node_name(node)]
    for other, address in members.items():
        words += ["--member", f"{node_name(other)}={address}"]
    return shlex.join([*words, "--cluster", identity.cluster.hex()])
