"""Audits every replica of a running cluster by itself, and compares them where they stand at one slot.

A replica is walked page by page with stale reads, so nothing else waits and the leader is not asked for more than its
share. Sentences about single records hold whatever happens meanwhile. The books of the whole state only balance if all
pages came from one state: a walk during which the replica applied something is repeated, and on a cluster that never
rests long enough the books are reported as open, never as wrong.
"""

from __future__ import annotations

from typing import Protocol

import attrs

from . import queries
from .answers import AuditPage, Totals, decode_answer
from .audit import MODULUS
from .client import decoded
from .client import page as page_of

PAGE_RECORDS = 2_000
WALKS_MAX = 5


class ReplicaReader(Protocol):
    """Stale reads of one replica."""

    name: str

    async def read(self, request: bytes) -> tuple[bytes, int]:
        """The answer, and the slot the replica had applied through when it gave it."""


@attrs.frozen
class ReplicaAudit:
    """What one replica showed.

    Parameters
    ----------
    applied_through: the slot of its state; None if it moved during every walk.
    record_count: records of the last walk.
    violations: sentences; those about books only if ``applied_through`` is known.
    balances: every account that is not 0, folded.
    totals: of the same slot.
    """

    name: str
    applied_through: int | None
    record_count: int
    violations: list[str]
    balances: dict[str, int]
    totals: Totals


async def audit_replica(replica: ReplicaReader) -> ReplicaAudit:
    """Walks a replica until a walk saw one state, at most ``WALKS_MAX`` times."""
    audit = await walk(replica)
    for _ in range(WALKS_MAX - 1):
        if audit.applied_through is not None:
            break
        audit = await walk(replica)
    return audit


async def walk(replica: ReplicaReader) -> ReplicaAudit:
    violations: list[str] = []
    balances: dict[str, int] = {}
    slots: set[int] = set()
    record_count = 0
    cursor = b""
    while True:
        answer, slot = await replica.read(queries.encode_query(queries.AuditQuery(cursor, PAGE_RECORDS)))
        page = page_of(decoded(decode_answer, answer), AuditPage)
        slots.add(slot)
        violations += page.violations
        record_count += page.record_count
        for account, amount in page.balances.items():
            balances[account] = (balances.get(account, 0) + amount) % MODULUS
        cursor = page.next_cursor
        if not cursor:
            break
    answer, slot = await replica.read(queries.encode_query(queries.TotalsQuery()))
    totals = page_of(decoded(decode_answer, answer), Totals)
    slots.add(slot)
    if len(slots) > 1:
        return ReplicaAudit(replica.name, None, record_count, violations, {}, totals)
    open_accounts = {account: amount for account, amount in balances.items() if amount}
    violations += [f"{account}: the books of all records don't balance" for account in open_accounts]
    return ReplicaAudit(replica.name, slot, record_count, violations, open_accounts, totals)


def disagreements(audits: list[ReplicaAudit]) -> list[str]:
    """Replicas that stand at one slot and show different records or totals."""
    found = []
    first_at: dict[int, ReplicaAudit] = {}
    for audit in audits:
        if audit.applied_through is None:
            continue
        first = first_at.setdefault(audit.applied_through, audit)
        if (first.record_count, first.totals) != (audit.record_count, audit.totals):
            found.append(f"{first.name} and {audit.name} differ at slot {audit.applied_through}")
    return found
