"""What a change of members waits for: a newcomer that catches up, a leader of the new members.

Never: say that a node may be wiped before a quorum of those that are left knows the change durably (M9).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import trio

from replog.cli_kit.printing import note
from replog.errors import OutcomeUnknown, Unavailable
from replog.paxos.ballot import parse_ballot

from .cluster_report import lag_of
from .survey import survey

if TYPE_CHECKING:
    from replog.client import Members

    from .cluster_report import ClusterReport, MemberReport

POLL_S = 0.2
LOOK_S = 2.0
TELL_EVERY_S = 2.0
NEAR_SLOTS = 256
"""As far behind as the core lets a voter be (``accept_ahead_slots_max``)."""


async def wait_until_near(node: str, endpoints: tuple[str, ...], timeout_s: float) -> MemberReport:
    """Until it has applied nearly all there is; tells how far it is now and then. Raises ``Unavailable``."""
    deadline_s = trio.current_time() + timeout_s
    told_s = trio.current_time()
    while True:
        report = await survey(endpoints, timeout_s=LOOK_S)
        found = next((member for member in report.members if member.node == node), None)
        if found is not None and found.up and lag_of(found, report.members) <= NEAR_SLOTS:
            return found
        now_s = trio.current_time()
        told = situation(node, found, report)
        if now_s > deadline_s:
            raise Unavailable(f"{node} has not caught up: {told}.")
        if now_s > told_s + TELL_EVERY_S:
            told_s = now_s
            note(f"waiting for {node}: {told}")
        await trio.sleep(POLL_S)


def situation(node: str, found: MemberReport | None, report: ClusterReport) -> str:
    if found is None:
        return "nobody who answers knows it"
    if not found.up:
        return f"it does not answer at {found.address}" + (f" ({found.problem})" if found.problem else "")
    lag = lag_of(found, report.members)
    return f"{lag:,} slots behind, at {found.applied_through:,}" + (f"; {found.problem}" if found.problem else "")


async def wait_until_led(gone: Iterable[str], after: Members, endpoints: tuple[str, ...], deadline_s: float) -> None:
    """M9: until a leader of the new members leads, each of whose quorum has promised it, knowing them durably."""
    addresses = tuple(dict.fromkeys([*filter(None, after.addresses.values()), *endpoints]))
    while True:
        report = await survey(addresses, timeout_s=LOOK_S)
        for member in report.members:
            if member.role == "leader" and member.node in after.voters and _version_of(member.ballot) >= after.version:
                return
        if trio.current_time() > deadline_s:
            names = " and ".join(gone)
            raise OutcomeUnknown(
                f"the members have version {after.version}, but nobody leads them yet: {report.summary}. "
                f"Keep {names} running until replog status shows a leader at a ballot of v{after.version} or later."
            )
        await trio.sleep(POLL_S)


def _version_of(ballot: str) -> int:
    """Of the members that count it."""
    try:
        return parse_ballot(ballot).era + 1
    except ValueError:
        return 0
