"""What a data directory says of itself: ``inspect`` for its facts, ``verify`` for every record in it.

Both only read, and both may run beside the node that uses the directory. ``inspect`` needs a log whose structure is
sound and raises otherwise; ``verify`` goes on after the first thing it finds and returns all of them.

Never: write anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from ..disk.environment import DATA_FILE
from ..errors import Damaged, StorageError
from ..log.contract import Identity
from ..log.journal_file import JOURNAL_FILE
from ..log.records import Position
from ..log.report import PinnedLog, open_pinned_log
from ..paxos.ballot import BEFORE_LOG, Ballot, Slot, node_name
from ..paxos.membership import Membership
from ..paxos.messages import AcceptedSlot
from ..state.report import StateReport, look_at_state, verify_state
from .layout import IDENTITY_FILE, LOG_FOLDER, STATE_FOLDER, holder_of, read_identity, refuse_unformatted

NEWEST_SLOTS: Final = 10
"""How many slots are shown when nobody says which."""


@attrs.frozen(kw_only=True)
class SlotReport:
    """One record: a chosen one, an accepted one whose fate is open, or a damaged one."""

    slot: Slot
    is_chosen: bool
    record: AcceptedSlot | None
    problem: str


@attrs.frozen(kw_only=True)
class LogReport:
    """The facts of ``log/`` at one moment; what is damaged is None and named in ``problems``.

    Parameters
    ----------
    distrust: why the node abstains, as it is stored; empty: it votes.
    slot_count, accepted_count: records in all, and those of them above ``chosen_through``.
    journal_bytes: size of the journal; 0: there is none that is needed.
    journaled_count: writes that are durable in the journal alone; what they say is in all the other facts.
    file_bytes: size of the file, part of it allocated ahead of use.
    live_bytes, free_bytes: pages in use, and pages that LMDB will use again.
    """

    promise: Ballot | None
    distrust: str
    membership: Membership | None
    chosen_through: Slot
    compacted_through: Slot
    last_slot: Slot | None
    slot_count: int
    accepted_count: int
    journal_bytes: int
    journaled_count: int
    file_bytes: int
    live_bytes: int
    free_bytes: int
    problems: tuple[str, ...]
    slots: tuple[SlotReport, ...]


@attrs.frozen(kw_only=True)
class DirectoryReport:
    """What ``inspect`` found."""

    directory: Path
    holder: str
    """Process id of the node that uses the directory; empty: nobody does."""
    identity: Identity
    log: LogReport
    state: StateReport | None
    """None: the node has never run."""


@attrs.frozen(kw_only=True)
class Finding:
    """One thing that is wrong, and what comes of it."""

    place: str
    problem: str
    consequence: str


@attrs.frozen(kw_only=True)
class VerifyReport:
    """What ``verify`` read, and what it found; no findings: intact."""

    directory: Path
    slot_count: int
    log_bytes: int
    state_row_count: int
    state_bytes: int
    findings: tuple[Finding, ...]


def inspect(path: Path, slots: range | None = None) -> DirectoryReport:
    """The facts of the directory ``path``.

    Parameters
    ----------
    slots: which records to report; None: the newest ones.

    Raises
    ------
    Refused: ``path`` is no formatted directory.
    StorageError: the log can't be read, or is damaged in its structure; the message names the file.
    """
    refuse_unformatted(path)
    with open_pinned_log(path / LOG_FOLDER) as pinned:
        identity = read_identity(path) or pinned.identity()
        log = _log_report(pinned, slots)
    state = look_at_state(path / STATE_FOLDER) if _has_state(path) else None
    return DirectoryReport(directory=path, holder=holder_of(path), identity=identity, log=log, state=state)


def _has_state(path: Path) -> bool:
    return (path / STATE_FOLDER / DATA_FILE).exists()


def _log_report(log: PinnedLog, slots: range | None) -> LogReport:
    problems: list[str] = []
    position, chosen_through = log.position(), log.chosen_through
    promise: Ballot | None = None
    distrust = ""
    membership: Membership | None = None
    try:
        promised = log.promise()
        promise, distrust = promised.ballot, promised.distrust
    except Damaged as error:
        problems.append(str(error))
    try:
        membership = log.membership()
    except Damaged as error:
        problems.append(str(error))
    problems += [problem for problem in (log.journal.damage, log.journal.refusal) if problem]
    last = log.last_slot()
    if slots is None:
        below = (last or 0) + 1
        slots = range(max(1, below - NEWEST_SLOTS), below)
    return LogReport(
        promise=promise,
        distrust=distrust,
        membership=membership,
        chosen_through=chosen_through,
        compacted_through=position.compacted_through,
        last_slot=last,
        slot_count=log.pages.entries,
        accepted_count=_accepted_count(log, position),
        journal_bytes=log.journal.file_bytes,
        journaled_count=sum(len(writes) for writes in log.journal.groups),
        file_bytes=log.file_bytes,
        live_bytes=log.pages.live_pages * log.pages.page_size,
        free_bytes=log.pages.free_pages * log.pages.page_size,
        problems=tuple(problems),
        slots=tuple(_slot_reports(log, slots, chosen_through, position.compacted_through)),
    )


def _accepted_count(log: PinnedLog, position: Position) -> int:
    if not log.journal.groups:
        return position.unchosen_count
    return sum(1 for _slot in log.slots(log.chosen_through + 1, (log.last_slot() or 0) + 1))


def _slot_reports(log: PinnedLog, slots: range, chosen_through: Slot, compacted_through: Slot) -> Iterator[SlotReport]:
    for slot, record in log.slots(max(slots.start, compacted_through + 1), slots.stop):
        is_chosen = slot <= chosen_through
        if isinstance(record, Damaged):
            yield SlotReport(slot=slot, is_chosen=is_chosen, record=None, problem=str(record))
        else:
            yield SlotReport(slot=slot, is_chosen=is_chosen, record=record, problem="")


# --- verify ---


def verify(path: Path) -> VerifyReport:
    """Check every record of the directory ``path``.

    Raises
    ------
    Refused: ``path`` is no formatted directory.
    """
    refuse_unformatted(path)
    identity = read_identity(path)
    findings = [] if identity else [_IDENTITY_DAMAGED]
    slot_count = log_bytes = 0
    compacted_through = BEFORE_LOG
    try:
        with open_pinned_log(path / LOG_FOLDER) as log:
            slot_count, log_bytes = log.pages.entries, log.file_bytes
            compacted_through = log.position().compacted_through
            findings += _log_findings(log, identity)
    except StorageError as error:
        findings.append(Finding(place=_LOG_PLACE, problem=str(error), consequence=_NO_START))
    state, state_findings = _verify_state(path, compacted_through)
    return VerifyReport(
        directory=path,
        slot_count=slot_count,
        log_bytes=log_bytes,
        state_row_count=state.row_count if state else 0,
        state_bytes=state.file_bytes if state else 0,
        findings=(*findings, *state_findings),
    )


def _log_findings(log: PinnedLog, identity: Identity | None) -> Iterator[Finding]:
    yield from _identity_findings(log, identity)
    if log.pages.unfinished is not None:
        problem = f"transaction {log.pages.unfinished.transaction} is whole but for its root page"
        yield Finding(place=_LOG_PLACE, problem=problem, consequence=_FINISHED)
    try:
        distrust = log.promise().distrust
        if distrust:
            yield Finding(place=_LOG_PLACE, problem=f"it was damaged before: {distrust}", consequence=_ABSTAINS)
    except Damaged as error:
        yield Finding(place=_LOG_PLACE, problem=str(error), consequence=_ABSTAINS)
    try:
        log.membership()
    except Damaged as error:
        yield Finding(place=_LOG_PLACE, problem=str(error), consequence=_ABSTAINS)
    if log.journal.damage:
        yield Finding(place=_JOURNAL_PLACE, problem=log.journal.damage, consequence=_ABSTAINS)
    if log.journal.refusal:
        yield Finding(place=_JOURNAL_PLACE, problem=log.journal.refusal, consequence=_NO_START)
    scan = log.scan()
    for slot in scan.damaged_chosen:
        problem = f"slot {slot}, known chosen, is damaged or missing"
        yield Finding(place=_LOG_PLACE, problem=problem, consequence=_REPAIRED)
    for slot in scan.damaged_unchosen:
        problem = f"slot {slot}, not known chosen, is damaged"
        yield Finding(place=_LOG_PLACE, problem=problem, consequence=_ABSTAINS)
    if not scan.damaged_unchosen and (distrust := scan.distrust()):
        yield Finding(place=_LOG_PLACE, problem=distrust, consequence=_ABSTAINS)


def _identity_findings(log: PinnedLog, identity: Identity | None) -> Iterator[Finding]:
    try:
        stored = log.identity()
    except Damaged as error:
        yield Finding(place=_LOG_PLACE, problem=str(error), consequence=_ABSTAINS if identity else _NO_START)
        return
    if identity is not None and stored != identity:
        problem = (
            f"it belongs to {node_name(stored.node)} of cluster {stored.cluster.hex()}, its directory to "
            f"{node_name(identity.node)} of cluster {identity.cluster.hex()} (or to another formatting of it)"
        )
        yield Finding(place=_LOG_PLACE, problem=problem, consequence=_NO_START)


def _verify_state(path: Path, compacted_through: Slot) -> tuple[StateReport | None, list[Finding]]:
    if not _has_state(path):
        return None, []
    try:
        state, damaged = verify_state(path / STATE_FOLDER)
    except StorageError as error:
        return None, [Finding(place=_STATE_PLACE, problem=str(error), consequence=_STOPS)]
    findings = [Finding(place=_STATE_PLACE, problem=problem, consequence=_STOPS) for problem in damaged]
    if state.unfinished is not None:
        problem = f"transaction {state.unfinished.transaction} is whole but for its root page"
        findings.append(Finding(place=_STATE_PLACE, problem=problem, consequence=_FINISHED))
    if state.applied_through < compacted_through:
        problem = (
            f"the state stands at slot {state.applied_through} and the log begins after slot {compacted_through}: "
            "what lies between is not here"
        )
        findings.append(Finding(place=_STATE_PLACE, problem=problem, consequence=_FETCHED))
    return state, findings


_LOG_PLACE: Final = f"{LOG_FOLDER}/{DATA_FILE}"
_JOURNAL_PLACE: Final = f"{LOG_FOLDER}/{JOURNAL_FILE}"
_STATE_PLACE: Final = f"{STATE_FOLDER}/{DATA_FILE}"
_ABSTAINS: Final = "the node runs without a vote: it learns, applies and answers, but promises and accepts nothing"
_REPAIRED: Final = "the node fetches it from the others when it runs"
_FETCHED: Final = "the node fetches a newer state from the others when it runs"
_FINISHED: Final = "the node finishes it when it starts"
_NO_START: Final = "the node does not start"
_STOPS: Final = (
    "the node stops when it reads it. While it is stopped remove state/ and nothing else (never log/), then start it: "
    "it fills its state from its log, or fetches it from the other nodes"
)
_IDENTITY_DAMAGED: Final = Finding(
    place=IDENTITY_FILE,
    problem="the file fails its checksum",
    consequence="the copy in the log is used; if that one is damaged too, the node does not start",
)
