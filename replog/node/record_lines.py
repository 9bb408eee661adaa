"""One readable line for each event of a driver and for each thing that it calls.

Lines tell sizes and never contents, and no text of an exception, which may name anything.

Never: depend on what a record leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ..paxos.ballot import NodeId, node_name
from ..paxos.describe import describe_message
from ..paxos.effects import NoticeKind
from ..wire.codec import HEADER_BYTES, Kind, decode_payload
from .driver import Driver
from .events import ClientMessages, PeerMessages
from .record_format import JobDone, RecordedEvent
from .state_jobs import BeginInstall, Job, OpenSnapshot, PrepareInstall, ReadChunk, StoreChunk

_NOTICES = {kind.value for kind in NoticeKind}


def event_line(node: NodeId, event: RecordedEvent) -> str:
    """``n2 -> n1 Accepted 3.n1 slots 7..7``, ``client 4: Submit session=7 submission=41 bytes``."""
    match event:
        case PeerMessages(peer, messages):
            return "; ".join(describe_message(peer, node, message) for message in messages)
        case ClientMessages(client, messages):
            return f"client {client}: {'; '.join(map(_brief, messages))}"
        case JobDone(_, error):
            return f"JobDone {error}".rstrip()
    return _brief(event)


def frame_line(client: int, frame: bytes) -> str:
    """``client 4 is told Replies session=7 first_sequence=1 slot=9 first_offset=0 replies=1 of 2 bytes failed=0``."""
    messages: list[Any] = decode_payload(Kind.NODE, frame[HEADER_BYTES:], list)
    return f"client {client} is told {'; '.join(map(_brief, messages))}"


def job_line(job: Job) -> str:
    """``begins StoreChunk 1f3a99e0 at slot 40, bytes 0..4096``."""
    match job:
        case BeginInstall(chunk) | StoreChunk(chunk) | PrepareInstall(chunk):
            end = chunk.position + len(chunk.data)
            rest = f" {chunk.snapshot.hex()[:8]} at slot {chunk.applied_through}, bytes {chunk.position}..{end}"
        case ReadChunk(snapshot, target, position):
            rest = f" {snapshot.name.hex()[:8]} for {node_name(target)} from byte {position}"
        case OpenSnapshot(asked):
            rest = f" for {node_name(asked.target)}"
        case _:
            rest = ""
    return f"begins {type(job).__name__}{rest}"


def log_line(event: str, facts: Mapping[str, Any]) -> str:
    """``says became_leader ballot=3.n1``; only the core's own reasons are told."""
    told = (f" {key}={value}" for key, value in facts.items() if key != "reason" or event in _NOTICES)
    return f"says {event}{''.join(told)}"


def _brief(value: Any) -> str:
    """A struct's name and fields; of bytes their number, of texts for people nothing."""
    names = [name for name in value.__struct_fields__ if name not in ("reason", "secret")]
    return " ".join([type(value).__name__, *(f"{name}={_size(getattr(value, name))}" for name in names)])


def _size(value: Any) -> str:
    match value:
        case bytes():
            return f"{len(value)} bytes"
        case list() | tuple():
            total = sum(len(one) for one in value if isinstance(one, bytes))
            return f"{len(value)} of {total} bytes" if total else str(len(value))
        case msgspec.Struct():
            return _brief(value)
    return str(value)


def stands_line(driver: Driver) -> str:
    """Where a driver stands between two turns: whatever a difference leads to, it shows here soon."""
    replica = driver.replica
    return (
        f"promise {replica.promise}, {replica.role.name.lower()}, chosen through {replica.chosen_through}, applied "
        f"through {driver.applied_through}, compacted through {replica.compacted_through}, "
        f"{'due at once' if driver.is_due else f'due at {driver.deadline_s!r}'}"
    )
