"""``replog leader transfer``: move leadership to another node and see it arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from replog.cli_kit.options import DEV_ENDPOINTS, AsJson, Endpoints, Timeout
from replog.cli_kit.printing import done, note, print_json, print_text
from replog.errors import ConfigError, OutcomeUnknown, Refused, Unavailable
from replog.paxos.ballot import NodeId, node_name

if TYPE_CHECKING:
    from .cluster_report import ClusterReport, MemberReport

POLL_INTERVAL_S = 0.02
ANSWER_S = 1.0
"""A node that is asked gets this long, also just before the time is over: an answer beats not knowing."""


def transfer(
    node: Annotated[str | None, Parameter(metavar="NODE")] = None,
    /,
    *,
    endpoints: Endpoints = DEV_ENDPOINTS,
    timeout: Timeout = 5.0,
    json: AsJson = False,
) -> None:
    """Move leadership to NODE, or to whoever is most up to date, and wait until it leads.

    Nothing is lost and clients find the new leader by themselves.

    Parameters
    ----------
    node
        Who shall lead, like n2.
    """
    import trio

    trio.run(_transfer, endpoints, node, timeout, json)


async def _transfer(endpoints: tuple[str, ...], target: str | None, timeout_s: float, is_json: bool) -> None:
    import trio

    from .survey import survey

    began_s = trio.current_time()
    report = await survey(endpoints, timeout_s=min(timeout_s, 2.0))
    old = _leader(report)
    number = _target_number(report, target)
    if old.node == _name(number):
        if not is_json:
            note(f"{old.node} leads already.")
    else:
        await _hand_over(report, old, number, timeout_s)
    new = await _wait_for_leader(report, old, _name(number), began_s + timeout_s)
    seconds = trio.current_time() - began_s
    with done():
        _print_change(old, new, seconds, is_json=is_json)


def _print_change(old: MemberReport, new: MemberReport, seconds: float, *, is_json: bool) -> None:
    if is_json:
        print_json({"from": old.node, "leader": new.node, "ballot": new.ballot, "seconds": round(seconds, 3)})
    else:
        print_text(f"{new.node} leads at ballot {new.ballot} (before: {old.node} at {old.ballot})")


def _leader(report: ClusterReport) -> MemberReport:
    found = [member for member in report.members if member.up and member.node == report.leader]
    if not found:
        error = Unavailable(f"nobody leads, so nobody can hand over: {report.summary}.")
        for step in report.next_steps:
            error.add_note(step)
        raise error
    return found[0]


def _name(number: int) -> str:
    return node_name(NodeId(number)) if number else ""


def _target_number(report: ClusterReport, target: str | None) -> int:
    """The node meant, 0 for any. Raises ``ConfigError`` if it is none that could lead."""
    from .init import node_option

    if target is None:
        return 0
    number = node_option(target)
    voters = [member.node for member in report.members if member.is_voter]
    if _name(number) not in voters:
        raise ConfigError(f"{target} is no voter of this cluster; its voters are {', '.join(voters)}.")
    return number


async def _hand_over(report: ClusterReport, leader: MemberReport, target: int, timeout_s: float) -> None:
    """Ask the leader, or whoever leads by then, in its place. Raises if it is refused."""
    import trio

    from replog.wire.asking import ask
    from replog.wire.client_messages import NotLeader, TransferAnswer, TransferRequest

    name, address = leader.node, leader.address
    refused: Refused | None = None
    deadline_s = trio.current_time() + timeout_s
    while trio.current_time() < deadline_s:
        patience_s = max(deadline_s - trio.current_time(), ANSWER_S)
        answer = await ask(address, TransferRequest(1, NodeId(target)), TransferAnswer, NotLeader, timeout_s=patience_s)
        match answer.reply:
            case TransferAnswer(is_accepted=True):
                return
            case TransferAnswer(reason=reason, may_pass=may_pass):
                refused = Refused(f"{name} does not hand over: {reason}.")
                if not may_pass:
                    break
            case NotLeader(leader=number, address=hint):
                if hint:
                    name, address = _name(number), hint
            case _:
                raise OutcomeUnknown(f"{name} at {address} was asked to hand over: {answer.problem}.")
        await trio.sleep(POLL_INTERVAL_S)
    raise refused or Unavailable(f"leadership moved while it was asked for, and {name} does not lead; try again.")


async def _wait_for_leader(report: ClusterReport, old: MemberReport, target: str, deadline_s: float) -> MemberReport:
    """Look until one other than ``old`` (or ``target``, if one is meant) leads."""
    import trio

    from .survey import survey

    addresses = [member.address for member in report.members if member.up]
    seen = report
    while trio.current_time() < deadline_s:
        for member in seen.members:
            is_meant = member.node == target if target else member.node != old.node
            if is_meant and member.node == seen.leader:
                return member
        await trio.sleep(POLL_INTERVAL_S)
        seen = await survey(addresses, timeout_s=max(0.1, deadline_s - trio.current_time()))
    raise OutcomeUnknown(
        f"the hand-over was begun, but {target or 'another node'} was not seen leading: {seen.summary}."
    )
