"""One chosen slot for a person or a program: what kind of value it is, and the commands in it.

Commands are opaque to the log; they are shown as text where they are text and in hex otherwise, cut to a length
that keeps one slot on one line.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, assert_never

if TYPE_CHECKING:
    from replog.paxos.values import Batch, SlotValue

PREVIEW_CHARACTERS = 48


def entry_line(slot: int, value: bytes) -> str:
    """``1,204,311  12:00:03.120Z  batch  2 commands, 61 bytes  put a=1``."""
    decoded = _decode(value)
    time = _time(decoded)
    return f"{slot:>11,}  {time:<24}  {_kind(decoded):<10}  {_summary(decoded, len(value))}".rstrip()


def entry_fields(slot: int, value: bytes) -> dict[str, Any]:
    """The same for ``--json``, with every command whole and in hex."""
    decoded = _decode(value)
    fields: dict[str, Any] = {"slot": slot, "kind": _kind(decoded), "bytes": len(value)}
    from replog.paxos.values import Batch

    if isinstance(decoded, Batch):
        fields["time_ms"] = decoded.time_ms
        fields["submissions"] = [_submission(data) for data in decoded.submissions]
    return fields


def _decode(value: bytes) -> SlotValue | None:
    """None: the bytes are no value of this version; every replica skips such a slot."""
    from replog.paxos.values import MalformedValue, decode_value

    try:
        return decode_value(value)
    except MalformedValue:
        return None


def _kind(value: SlotValue | None) -> str:
    from replog.paxos.membership import Membership
    from replog.paxos.values import Batch, NoOp

    match value:
        case NoOp():
            return "no-op"
        case Batch():
            return "batch"
        case Membership():
            return "membership"
        case None:
            return "malformed"
        case _:
            assert_never(value)


def _time(value: SlotValue | None) -> str:
    """Log time; only a batch has one."""
    time_ms = getattr(value, "time_ms", None)
    if time_ms is None:
        return "-"
    moment = datetime.datetime.fromtimestamp(time_ms / 1000, tz=datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _summary(value: SlotValue | None, size: int) -> str:
    from replog.paxos.membership import Membership
    from replog.paxos.values import Batch

    if isinstance(value, Batch):
        return _batch_summary(value, size)
    if isinstance(value, Membership):
        return f"version {value.version}, voters {', '.join(f'n{node}' for node in value.voters)}"
    return ""


def _batch_summary(batch: Batch, size: int) -> str:
    submissions = [_submission(data) for data in batch.submissions]
    payloads = [payload for submission in submissions for payload in submission.get("payloads", ())]
    parts = [f"{len(payloads)} {'command' if len(payloads) == 1 else 'commands'}"] if payloads else []
    parts += sorted({submission["kind"].replace("_", " ") for submission in submissions} - {"commands"})
    shown = f"  {preview(payloads[0])}" if payloads else ""
    return f"{', '.join(parts)}, {size:,} bytes{shown}"


def _submission(data: bytes) -> dict[str, Any]:
    """A client's submission; bytes that are none are shown as such, because the log holds them all the same."""
    from replog.apply.submissions import CloseSession, Commands, MalformedSubmission, OpenSession, decode_submission

    try:
        submission = decode_submission(data)
    except MalformedSubmission:
        return {"kind": "malformed", "bytes": data}
    match submission:
        case Commands():
            return {
                "kind": "commands",
                "session": submission.session,
                "first_sequence": submission.first_sequence,
                "payloads": submission.payloads,
            }
        case OpenSession():
            return {"kind": "open_session", "key": submission.key}
        case CloseSession():
            return {"kind": "close_session", "session": submission.session}
        case _:
            assert_never(submission)


def preview(payload: bytes) -> str:
    """Text as text, anything else in hex; the end is cut with two dots."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        text = ""
    shown = text if text.isprintable() and text else payload.hex()
    return shown if len(shown) <= PREVIEW_CHARACTERS else shown[: PREVIEW_CHARACTERS - 2] + ".."
