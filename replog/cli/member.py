"""``replog member``: show who belongs to a cluster, and change it while it runs.

Every change is asked for under the version that was looked at, so of two operators at once one is told to look again,
or, where no version was named, this command looks and asks once more. Asking for what is so already is a success: a
command that was killed is given again.

Never: say that a node may be wiped before the members that are left know it durably.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Annotated

import attrs
from cyclopts import Parameter

from replog.addresses import check_address
from replog.cli_kit.options import DEV_ENDPOINTS, AsJson, Endpoints, Timeout, WholeNumber
from replog.cli_kit.printing import done, note, print_json, print_text
from replog.errors import ChangeRefused, ConfigError, Unavailable
from replog.paxos.ballot import node_name, parse_node

from .member_waits import POLL_S, situation, wait_until_led, wait_until_near

if TYPE_CHECKING:
    from replog.client import Client, Members

    from .cluster_report import ClusterReport

DryRun = Annotated[
    bool,
    Parameter(
        name="--dry-run",
        negative=(),
        show_default=False,
        help="Change nothing: say whether it would be refused, what the quorum would be, and what survives.",
    ),
]
IfVersion = Annotated[
    WholeNumber | None,
    Parameter(name="--if-version", metavar="VERSION", help="Refuse unless the members have this version."),
]

CHANGE_S = 10.0
CATCH_UP_S = 600.0
"""A newcomer may have a large state to fetch."""
LOOKS_MAX = 5
"""So often a change is asked for anew because the members changed meanwhile."""


@attrs.frozen
class Plan:
    """What the members are to be.

    Parameters
    ----------
    gone: nodes that have no part in it any more.
    """

    voters: tuple[str, ...]
    learners: tuple[str, ...]
    addresses: dict[str, str] = attrs.field(factory=dict)
    gone: tuple[str, ...] = ()


# --- the commands ---


def list_members(*, endpoints: Endpoints = DEV_ENDPOINTS, timeout: Timeout = 2.0, json: AsJson = False) -> None:
    """Show who belongs to the cluster, as its log says it: version, roles, addresses, and who abstains."""
    import trio

    from .survey import survey

    async def look() -> tuple[Members, ClusterReport]:
        async with _client(endpoints) as client:
            try:
                members = await client.members(timeout=timeout)
            except Unavailable:
                members = await client.members(is_stale=True, timeout=timeout)
                note("nobody leads, so this may be out of date")
        return members, await survey(endpoints, timeout_s=timeout)

    members, report = trio.run(look)
    if json:
        print_json(_fields(members))
    else:
        _print_members(members, report)


def add(
    member: Annotated[str, Parameter(metavar="[NODE=]HOST:PORT")],
    /,
    *,
    dry_run: DryRun = False,
    if_version: IfVersion = None,
    endpoints: Endpoints = DEV_ENDPOINTS,
    timeout: Timeout = CHANGE_S,
    json: AsJson = False,
) -> None:
    """Let a node follow without a vote: it fetches the state, and `replog member promote` lets it vote.

    Parameters
    ----------
    member
        Where it is reached, and its name; the next one that is free if left out.
    """
    name, address = _named_address(member)

    def plan(members: Members) -> Plan:
        node = name or members.next_node
        learners = members.learners if node in members.voters else (*members.learners, node)
        return Plan(members.voters, learners, {node: address})

    _run(plan, endpoints, timeout, if_version, is_dry_run=dry_run, is_json=json)


def promote(
    node: Annotated[str, Parameter(metavar="NODE")],
    /,
    *,
    dry_run: DryRun = False,
    if_version: IfVersion = None,
    endpoints: Endpoints = DEV_ENDPOINTS,
    timeout: Timeout = CATCH_UP_S,
    json: AsJson = False,
) -> None:
    """Let a learner vote; wait until it has caught up.

    Parameters
    ----------
    node
        Which one, like n4.
    """
    name = _node(node)

    def plan(members: Members) -> Plan:
        _check_member(members, name)
        return Plan((*members.voters, name), _without(members.learners, name))

    _run(plan, endpoints, timeout, if_version, is_dry_run=dry_run, is_json=json, awaited=name)


def remove(
    node: Annotated[str, Parameter(metavar="NODE")],
    /,
    *,
    dry_run: DryRun = False,
    if_version: IfVersion = None,
    endpoints: Endpoints = DEV_ENDPOINTS,
    timeout: Timeout = CHANGE_S,
    json: AsJson = False,
) -> None:
    """Take a node out, for good, and wait until it may be stopped and wiped.

    Parameters
    ----------
    node
        Which one, like n3; its name is never used again.
    """
    name = _node(node)

    def plan(members: Members) -> Plan:
        _check_free(members, name)
        return Plan(_without(members.voters, name), _without(members.learners, name), gone=(name,))

    _run(plan, endpoints, timeout, if_version, is_dry_run=dry_run, is_json=json)


def replace(
    node: Annotated[str, Parameter(metavar="NODE")],
    by: Annotated[str, Parameter(metavar="NODE")],
    /,
    *,
    dry_run: DryRun = False,
    if_version: IfVersion = None,
    endpoints: Endpoints = DEV_ENDPOINTS,
    timeout: Timeout = CATCH_UP_S,
    json: AsJson = False,
) -> None:
    """Let a learner vote in the place of a node, in one step; wait until it has caught up.

    Parameters
    ----------
    node
        Who goes, for good, like n3; it may be dead.
    by
        The learner that takes its place, like n4; `replog join` or `replog member add` made it one.
    """
    old, new = _node(node), _node(by)

    def plan(members: Members) -> Plan:
        _check_free(members, old)
        _check_member(members, new)
        voters = (*_without(members.voters, old), new)
        return Plan(voters, _without(members.learners, old, new), gone=(old,))

    _run(plan, endpoints, timeout, if_version, is_dry_run=dry_run, is_json=json, awaited=new)


def set_address(
    member: Annotated[str, Parameter(metavar="NODE=HOST:PORT")],
    /,
    *,
    dry_run: DryRun = False,
    if_version: IfVersion = None,
    endpoints: Endpoints = DEV_ENDPOINTS,
    timeout: Timeout = CHANGE_S,
    json: AsJson = False,
) -> None:
    """Say where a member is reached from now on; nodes and clients go there.

    Parameters
    ----------
    member
        Who, and where, like n2=10.0.0.9:7101.
    """
    name, address = _named_address(member)
    if not name:
        raise ConfigError(f"whose address is {address}? Write n2={address}.")

    def plan(members: Members) -> Plan:
        _check_member(members, name)
        return Plan(members.voters, members.learners, {name: address})

    _run(plan, endpoints, timeout, if_version, is_dry_run=dry_run, is_json=json)


def wait(
    node: Annotated[str, Parameter(metavar="NODE")],
    /,
    *,
    endpoints: Endpoints = DEV_ENDPOINTS,
    timeout: Timeout = CATCH_UP_S,
    json: AsJson = False,
) -> None:
    """Wait until a member has caught up, and say how far it is.

    Parameters
    ----------
    node
        Which one, like n4.
    """
    import trio

    name = _node(node)
    seen = trio.run(wait_until_near, name, endpoints, timeout)
    with done():
        if json:
            print_json({"node": name, "applied_through": seen.applied_through})
        else:
            print_text(f"{name} has caught up, through slot {seen.applied_through:,}")


# --- what they share ---


def _client(endpoints: tuple[str, ...]) -> AbstractAsyncContextManager[Client]:
    from replog.client import connect

    return connect(endpoints, name="replog member")


def _run(
    plan: Callable[[Members], Plan],
    endpoints: tuple[str, ...],
    timeout_s: float,
    if_version: int | None,
    *,
    is_dry_run: bool,
    is_json: bool,
    awaited: str = "",
) -> None:
    """Ask for the planned change; print what came of it."""
    import trio

    async def change() -> tuple[Members, Members, Plan]:
        deadline_s = trio.current_time() + timeout_s
        if awaited and not is_dry_run:
            await wait_until_near(awaited, endpoints, timeout_s)
        async with _client(endpoints) as client:
            before, after, planned = await _changed(client, plan, if_version, deadline_s, is_dry_run=is_dry_run)
        if planned.gone and not is_dry_run:
            await wait_until_led(planned.gone, after, endpoints, deadline_s)
        return before, after, planned

    before, after, planned = trio.run(change)
    with done():
        _print_change(before, after, planned, is_dry_run=is_dry_run, is_json=is_json)


async def _changed(
    client: Client, plan: Callable[[Members], Plan], if_version: int | None, deadline_s: float, *, is_dry_run: bool
) -> tuple[Members, Members, Plan]:
    """The members before and after, and what was asked for; planned anew if others changed them meanwhile."""
    import trio

    for look in range(1, LOOKS_MAX + 1):
        before = await client.members()
        planned = plan(before)
        try:
            after = await client.change_members(
                planned.voters,
                planned.learners,
                addresses=planned.addresses,
                if_version=if_version or before.version,
                is_dry_run=is_dry_run,
                timeout=max(1.0, deadline_s - trio.current_time()),
            )
        except ChangeRefused as refused:
            if if_version or look == LOOKS_MAX or refused.code not in ("other_version", "lost"):
                raise
            await trio.sleep(POLL_S)
        else:
            return before, after, planned
    raise AssertionError(LOOKS_MAX)


# --- words ---


def _node(text: str) -> str:
    try:
        return node_name(parse_node(text))
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _named_address(text: str) -> tuple[str, str]:
    name, equals, address = text.rpartition("=")
    try:
        return (_node(name) if equals else ""), check_address(address)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _check_member(members: Members, node: str) -> None:
    if node not in (*members.voters, *members.learners):
        raise ConfigError(
            f"{node} is no member; the members are {', '.join((*members.voters, *members.learners))}. "
            f"Let it join first: replog join, or replog member add {node}=HOST:PORT."
        )


def _check_free(members: Members, node: str) -> None:
    """One that was removed already is gone; one that never was is a mistake."""
    if parse_node(node) >= parse_node(members.next_node or node):
        _check_member(members, node)


def _without(names: Iterable[str], *gone: str) -> tuple[str, ...]:
    return tuple(name for name in names if name not in gone)


def _fields(members: Members) -> dict[str, object]:
    return attrs.asdict(members) | {
        "quorum": members.quorum_count,
        "failures_survived": members.failures_survived,
    }


def _summary(members: Members) -> str:
    voters, learners = ", ".join(members.voters), ", ".join(members.learners)
    survives = f"{members.failures_survived} may be lost" if members.failures_survived else "none may be lost"
    told = f"voters {voters} (quorum {members.quorum_count}, {survives})"
    return f"{told}, learners {learners}" if learners else told


def _print_members(members: Members, report: ClusterReport) -> None:
    from replog.cli_kit.printing import new_table, print_table

    from .cluster_view import NOTHING

    print_text(f"version {members.version}: {_summary(members)}")
    table = new_table("NODE", "ROLE", "ADDRESS", "STATE")
    seen = {member.node: member for member in report.members}
    for name in sorted((*members.voters, *members.learners), key=parse_node):
        found = seen.get(name)
        state = situation(name, found, report) if found is None or not found.up else (found.problem or "ok")
        role = "voter" if name in members.voters else "learner"
        table.add_row(name, role, members.addresses.get(name, "") or NOTHING, state)
    print_table(table)


def _print_change(before: Members, after: Members, planned: Plan, *, is_dry_run: bool, is_json: bool) -> None:
    would_be = attrs.evolve(
        after, voters=tuple(sorted(set(planned.voters), key=parse_node)), learners=tuple(planned.learners)
    )
    if is_json:
        told = {"is_dry_run": True, **_fields(would_be)} if is_dry_run else _fields(after)
        print_json(told | {"version_before": before.version, "gone": list(planned.gone)})
    elif is_dry_run:
        print_text(f"it would be done: {_summary(would_be)}")
        print_text(f"now, version {before.version}: {_summary(before)}")
    else:
        print_text(f"version {after.version}: {_summary(after)}")
        for name in planned.gone:
            print_text(f"{name} may be stopped and wiped.")
