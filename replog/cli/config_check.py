"""``replog config check``: what a node would run with, where each value comes from, and what looks wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from replog.cli_kit.exit_codes import ExitCode
from replog.cli_kit.options import AsJson
from replog.cli_kit.printing import new_table, note, print_json, print_table
from replog.errors import StorageError
from replog.paxos.ballot import NodeId, node_name

from .host_names import unknown_hosts

if TYPE_CHECKING:
    from replog.node.settings import ReplicaConfig


def check(file: Annotated[Path, Parameter(metavar="FILE")], /, *, json: AsJson = False) -> int:
    """Check a configuration file and print every setting with its effective value and its origin.

    Ends with 2 if a setting is wrong, or if `replog serve` would not start with these settings here. What is only
    suspicious is a warning on stderr. Names of hosts are looked up, for three seconds at most.

    Parameters
    ----------
    file
        What `replog serve --config` would be given.
    """
    from replog.config import load_config, setting_origins, setting_values

    config = load_config(file)
    values, origins = setting_values(config), setting_origins(file)
    unknown = unknown_hosts([*config.members.values(), *([config.bind] if config.bind else ())])
    problems, warnings = list(problems_with(config, unknown)), list(warnings_about(config, unknown))
    if json:
        settings = {
            key: {"value": value, "origin": origins.get(key, "default")} for key, value in plain(values).items()
        }
        print_json({"file": str(file), "settings": settings, "problems": problems, "warnings": warnings})
    else:
        _print(values, origins, problems, warnings)
    return ExitCode.USAGE if problems else ExitCode.OK


def _print(values: dict[str, Any], origins: dict[str, str], problems: list[str], warnings: list[str]) -> None:
    table = new_table("SETTING", "VALUE", "FROM")
    for key, value in values.items():
        table.add_row(key, _text(value), origins.get(key, "default"), style="" if key in origins else "dim")
    print_table(table)
    for problem in problems:
        note(("problem:", "bold red"), f" {problem}")
    for warning in warnings:
        note(("warning:", "bold yellow"), f" {warning}")


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values as JSON has them."""
    return {key: _members(value) if key == "members" else _simple(value) for key, value in values.items()}


def _members(members: dict[NodeId, str]) -> dict[str, str]:
    return {node_name(node): address for node, address in members.items()}


def _simple(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def _text(value: object) -> str:
    match value:
        case dict():
            return ", ".join(f"{node}={address}" for node, address in _members(value).items())
        case int() if not isinstance(value, bool):
            return f"{value:,}"
        case None | "":
            return "-"
    return str(value)


def problems_with(config: ReplicaConfig, unknown: Mapping[str, str]) -> Iterator[str]:
    """What would keep a node from starting with these settings on this machine; ``unknown`` as from
    ``unknown_hosts``."""
    yield from _about_directory(config)
    yield from _about_state_machine(config)
    own = _own_address(config)
    if own in unknown:
        yield f"it can't listen on {own}: {unknown[own]}; set bind to an address of this machine."


def warnings_about(config: ReplicaConfig, unknown: Mapping[str, str]) -> Iterator[str]:
    """What keeps no node from starting, and still is likely a mistake."""
    if not config.state_machine:
        yield 'state_machine is not set; `replog serve` needs it: state_machine = "module:Class".'
    yield from _about_members(config)
    yield from _about_names(config, unknown)
    yield from _about_variables()
    yield from _about_limits(config)


def _about_directory(config: ReplicaConfig) -> Iterator[str]:
    from replog.directory.layout import IDENTITY_FILE, read_identity

    path = config.data_dir
    try:
        if not (path / IDENTITY_FILE).is_file():
            yield f"{path} is not formatted; run `replog init {path}` once before the node is started."
            return
        identity = read_identity(path)
    except OSError as error:
        yield f"{path / IDENTITY_FILE} can't be read: {error.strerror}; let this user read {path}."
        return
    if identity is None:
        yield f"{path / IDENTITY_FILE} is damaged; run `replog verify {path}`."
        return
    membership = identity.membership
    unsaid = [node for node in membership.members if not membership.described_as(node).address]
    missing = [node_name(node) for node in unsaid if node not in config.members]
    if missing:
        yield f"{path} was formatted for a cluster with {', '.join(missing)}, of which members gives no address."
    surplus = [node_name(node) for node in config.members if node not in (*membership.members, identity.node)]
    if surplus:
        yield f"members names {', '.join(surplus)}, which was not there when {path} was formatted."


def _about_state_machine(config: ReplicaConfig) -> Iterator[str]:
    from replog.config import load_state_machine
    from replog.errors import ConfigError

    from .serve import find_modules_here

    if not config.state_machine:
        return
    find_modules_here()
    try:
        load_state_machine(config.state_machine)
    except ConfigError as error:
        yield str(error)


def _about_members(config: ReplicaConfig) -> Iterator[str]:
    from replog.addresses import split_address

    count = len(config.members)
    if count % 2 == 0:
        yield f"{count} members survive no more failures than {count - 1} would; use an odd number."
    hosts = {node: split_address(address)[0] for node, address in config.members.items()}
    local = [node_name(node) for node, host in hosts.items() if host in ("localhost", "::1") or host.startswith("127.")]
    if local and len(local) < count:
        yield f"{' and '.join(local)} can be reached from its own machine only; members are addresses for the others."


def _about_names(config: ReplicaConfig, unknown: Mapping[str, str]) -> Iterator[str]:
    own = _own_address(config)
    for node, address in config.members.items():
        if address in unknown and address != own:
            yield f"{node_name(node)} can't be reached at {address} from here: {unknown[address]}."


def _own_address(config: ReplicaConfig) -> str:
    """Where the node would listen; empty if nobody can say which one it is."""
    from replog.directory.layout import read_identity

    if config.bind:
        return config.bind
    try:
        identity = read_identity(config.data_dir)
    except (OSError, StorageError):
        return ""
    return config.members.get(identity.node, "") if identity else ""


def _about_limits(config: ReplicaConfig) -> Iterator[str]:
    """Of a node that is started from here, as this command was."""
    from replog.node.places import lacks_here

    for lack in lacks_here(config.transport.connections_max, len(config.members)):
        yield f"of a node started like this command: {lack}."


def _about_variables() -> Iterator[str]:
    """A variable that looks like a setting and is none would be a setting at its default, unnoticed."""
    import difflib
    import os

    from replog.config import ENVIRONMENT_PREFIX, environment_variables

    known = {*environment_variables(), *OTHER_VARIABLES}
    for name in sorted(os.environ):
        if name.startswith(ENVIRONMENT_PREFIX) and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            yield f"the variable {name} is no setting{f'; did you mean {close[0]}?' if close else '.'}"


OTHER_VARIABLES = ("REPLOG_CONFIG", "REPLOG_ENDPOINTS", "REPLOG_LOG_LEVEL", "REPLOG_LOG_FORMAT")
"""Variables that commands read and that are no settings of a replica."""
