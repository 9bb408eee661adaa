"""``replog join``: make a directory for a newcomer to a running cluster, and let it follow as a learner."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from replog.addresses import check_address
from replog.cli_kit.options import DEV_ENDPOINTS, AsJson, Endpoints, Timeout
from replog.cli_kit.printing import done, note, print_json, print_text
from replog.errors import ConfigError
from replog.paxos.ballot import NodeId, node_name

if TYPE_CHECKING:
    from replog.client import Members
    from replog.log.contract import Identity


def join(
    directory: Path,
    /,
    *,
    address: Annotated[str, Parameter(metavar="HOST:PORT")],
    endpoints: Endpoints = DEV_ENDPOINTS,
    timeout: Timeout = 10.0,
    json: AsJson = False,
) -> None:
    """Format a directory for a new node of a running cluster, and add the node as a learner.

    Then start it with `replog serve`, whose configuration names some of the members, and let it vote with
    `replog member promote`. A directory that this command has formatted before goes on where it was.

    Parameters
    ----------
    directory
        Made if absent, readable by its owner only.
    address
        Where the others and clients will reach it.
    """
    import trio

    from replog.client import connect
    from replog.joining import join_directory

    try:
        check_address(address)
    except ValueError as error:
        raise ConfigError(str(error)) from None

    async def ask() -> tuple[Identity, Members]:
        async with connect(endpoints, name="replog join") as client:
            return await join_directory(client, directory, address, timeout_s=timeout)

    identity, members = trio.run(ask)
    with done():
        _print(directory, identity, members, is_json=json)


def _print(directory: Path, identity: Identity, members: Members, *, is_json: bool) -> None:
    name = node_name(NodeId(identity.node))
    if is_json:
        print_json(
            {
                "directory": str(directory),
                "node": name,
                "cluster_id": identity.cluster,
                "incarnation": identity.incarnation,
                "version": members.version,
                "address": members.addresses.get(name, ""),
            }
        )
        return
    print_text(f"{name} is a learner, version {members.version} of the members; its directory is {directory}")
    note(("next:", "bold"), f"  replog serve --config FILE, with data_dir and some of the members; "
         f"then replog member promote {name}")  # fmt: skip
