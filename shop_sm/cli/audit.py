"""``shop audit``: every record on every replica against the shop's invariants, and the replicas against each other."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import attrs

from replog.cli_kit import (
    DEV_ENDPOINTS,
    AsJson,
    Endpoints,
    ExitCode,
    Timeout,
    new_table,
    note,
    print_json,
    print_table,
    print_text,
)
from replog.errors import ReplogError, Unavailable

from ..auditing import ReplicaAudit, audit_replica, disagreements
from .connecting import LogReplica, open_replica_reader
from .presenting import fields_of

ROUNDS_MAX = 5
_PAUSE_S = 0.2


def audit(*, endpoints: Endpoints = DEV_ENDPOINTS, timeout: Timeout = 10.0, json: AsJson = False) -> int:
    """Check every record on every replica, and compare the replicas that stand at one slot.

    Only stale reads are used, so nothing else waits.

    A violation, or two replicas that differ, ends with exit code 1, a replica that can't be reached with 3.

    On a shop that never rests replicas may stand at different slots: then each is checked and they are not compared.
    """
    outcome = anyio.run(audit_all, endpoints, timeout, backend="trio")
    if json:
        print_json(outcome.fields())
    else:
        outcome.show()
    return outcome.exit_code


@attrs.frozen
class Outcome:
    """What the audits of all replicas came to.

    Parameters
    ----------
    unreachable
        endpoints that did not answer, and why.
    """

    audits: list[ReplicaAudit]
    disagreements: list[str]
    unreachable: dict[str, str]

    @property
    def is_sound(self) -> bool:
        return not self.disagreements and not any(audit.violations for audit in self.audits)

    @property
    def exit_code(self) -> ExitCode:
        """What was found weighs more than what was not looked at."""
        if not self.is_sound:
            return ExitCode.BUG
        return ExitCode.UNREACHABLE if self.unreachable else ExitCode.OK

    @property
    def slot(self) -> int | None:
        """Where all audited replicas stand, or None if they stand at different slots."""
        slots = {audit.applied_through for audit in self.audits}
        return slots.pop() if len(slots) == 1 else None

    def fields(self) -> dict[str, object]:
        return {
            "ok": self.is_sound,
            "slot": self.slot,
            "replicas": [
                {
                    "node": audit.name,
                    "applied_through": audit.applied_through,
                    "records": audit.record_count,
                    "violations": audit.violations,
                    "totals": fields_of(audit.totals),
                }
                for audit in self.audits
            ],
            "disagreements": self.disagreements,
            "unreachable": self.unreachable,
        }

    def show(self) -> None:
        table = new_table("NODE", "SLOT", "RECORDS", "ORDERS", "VIOLATIONS", right=("SLOT", "RECORDS", "ORDERS"))
        for audit in self.audits:
            slot = "moving" if audit.applied_through is None else f"{audit.applied_through:,}"
            orders = sum(row.orders for row in audit.totals.currencies)
            table.add_row(
                audit.name, slot, f"{audit.record_count:,}", f"{orders:,}", str(len(audit.violations) or "none")
            )
        print_table(table)
        for sentence in [*self.disagreements, *(s for audit in self.audits for s in audit.violations)]:
            print_text(("violation:", "bold red"), f" {sentence}")
        if self.is_sound:
            print_text(self._verdict())
        for address, problem in self.unreachable.items():
            note(f"not audited: {address} ({problem})")

    def _verdict(self) -> str:
        total = len(self.audits) + len(self.unreachable)
        asked = f"{len(self.audits)} of {total} replicas" if self.unreachable else f"all {total} replicas"
        if len(self.audits) == 1:
            return f"{self.audits[0].name} is sound; there was no other to compare it with"
        if self.slot is not None:
            return f"{asked} were audited, are sound and show the same shop at slot {self.slot:,}"
        return f"{asked} were audited and are sound; at different slots, so not compared: audit again when it is quiet"


async def audit_all(endpoints: Sequence[str], timeout_s: float) -> Outcome:
    """Audit all replicas at once, again while they stand at different slots. Raises ``Unavailable`` if none answers."""
    outcome = await _audit_once(endpoints, timeout_s)
    for _ in range(ROUNDS_MAX - 1):
        if outcome.slot is not None or not outcome.is_sound or len(outcome.audits) < 2:
            break
        await anyio.sleep(_PAUSE_S)
        outcome = await _audit_once(endpoints, timeout_s)
    return outcome


async def _audit_once(endpoints: Sequence[str], timeout_s: float) -> Outcome:
    audits: list[ReplicaAudit] = []
    unreachable: dict[str, str] = {}

    async def audit_one(address: str) -> None:
        try:
            async with open_replica_reader(address, timeout_s) as replica:
                audits.append(await _audited(replica))
        except ReplogError as error:
            unreachable[address] = str(error)

    async with anyio.create_task_group() as tasks:
        for address in endpoints:
            tasks.start_soon(audit_one, address)
    if not audits:
        raise Unavailable(f"no replica answered: {', '.join(f'{a} ({p})' for a, p in unreachable.items())}")
    audits.sort(key=lambda audit: audit.name)
    return Outcome(audits, disagreements(audits), unreachable)


async def _audited(replica: LogReplica) -> ReplicaAudit:
    audit = await audit_replica(replica)
    await replica.check_same()
    return audit
