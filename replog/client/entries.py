"""What ``follow`` brings, decoded: which commands stand in a slot of the log, and whose they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from ..apply.submissions import Commands, MalformedSubmission, decode_submission
from ..paxos.ballot import node_name
from ..paxos.membership import Membership
from ..paxos.values import Batch, MalformedValue, NoOp, decode_value
from ..wire.client_messages import LogEntry

EntryKind = Literal["commands", "no-op", "membership", "malformed"]


@attrs.frozen(kw_only=True)
class LoggedCommand:
    """One command as it stands in the log.

    Parameters
    ----------
    session, sequence: whose it is, and its number there. A command that was sent again may stand in the log several
        times under the same two numbers; it ran once at most.
    payload: as it was submitted.
    """

    session: int
    sequence: int
    payload: bytes


@attrs.frozen(kw_only=True)
class DecodedEntry:
    """One slot of the log.

    Parameters
    ----------
    slot: its number, from 1.
    kind: ``commands``; ``no-op``, which a new leader fills gaps with; ``membership``, who votes from here on; or
        ``malformed``, bytes of no version that this one knows, which every replica skips.
    time_ms: the stamp of the leader that proposed the commands, in milliseconds since 1970; None for the others.
    commands: in order, none for the other kinds. What only opens or closes sessions is left out.
    voters, learners: their names, of a membership.
    version: of a membership; one of the version before is only a new leader's first entry, and changes nothing.
    addresses: of a membership: where members are reached from here on, by name, as far as the log says it.
    """

    slot: int
    kind: EntryKind
    time_ms: int | None = None
    commands: tuple[LoggedCommand, ...] = ()
    voters: tuple[str, ...] = ()
    learners: tuple[str, ...] = ()
    version: int | None = None
    addresses: Mapping[str, str] = attrs.field(factory=dict)


def decode_entry(entry: LogEntry) -> DecodedEntry:
    """What a slot of the log holds; never raises for what a log can hold.

    Parameters
    ----------
    entry: as ``Client.follow`` brings it.
    """
    try:
        value = decode_value(entry.value)
    except MalformedValue:
        return DecodedEntry(slot=entry.slot, kind="malformed")
    match value:
        case NoOp():
            return DecodedEntry(slot=entry.slot, kind="no-op")
        case Membership():
            return DecodedEntry(
                slot=entry.slot,
                kind="membership",
                voters=tuple(map(node_name, value.voters)),
                learners=tuple(map(node_name, value.learners)),
                version=value.version,
                addresses={node_name(member.node): member.address for member in value.described if member.address},
            )
        case Batch():
            commands = tuple(command for data in value.submissions for command in _commands(data))
            return DecodedEntry(slot=entry.slot, kind="commands", time_ms=value.time_ms, commands=commands)


def _commands(submission: bytes) -> list[LoggedCommand]:
    try:
        decoded = decode_submission(submission)
    except MalformedSubmission:
        return []
    if not isinstance(decoded, Commands):
        return []
    return [
        LoggedCommand(session=decoded.session, sequence=sequence, payload=payload)
        for sequence, payload in enumerate(decoded.payloads, decoded.first_sequence)
    ]
