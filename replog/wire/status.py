"""What a node says of itself when it is asked, and its form on the wire.

The report is JSON, not the codec's arrays: a command of one release asks nodes of another, so keys that a reader does
not know are ignored and keys that a node does not send take their defaults.

Never: be needed by anything but people.
"""

from __future__ import annotations

import functools
import json

import attrs
import cattrs

from .codec import FrameError


@attrs.frozen(kw_only=True)
class NodeStatus:
    """One node at one moment.

    Parameters
    ----------
    node: its name, ``n1``.
    cluster_id, incarnation: in hex.
    role: ``leader``, ``candidate``, ``follower`` or ``learner``.
    ballot: the ballot it follows, as text, ``17.n1``.
    leader, leader_address: whom it follows and where clients reach that node; empty if it does not know.
    chosen_through: the last slot it knows chosen, with all before it.
    applied_through: the last slot its state machine has run.
    compacted_through: slots up to this one are no longer in its log.
    durable_through: the state on its disk is at least this new.
    digest: running digest of its state at ``applied_through``, in hex.
    checkpoint_slot, checkpoint_digest: the newest slot at which replicas compare digests, and the digest there.
    is_voter: whether the membership gives it a vote.
    is_voting: whether it uses that vote; one that can't trust its disk keeps silent (P9, P10).
    is_storage_full: it refuses new commands until there is room.
    is_contradicted: its state differs from other voters', and no majority is known to hold it.
    is_clock_right: its clock is near a quorum's, and log time is not ahead of them.
    problem: why it is not fully at work, in a few words; empty if it is.
    clock_offset_ms: how far its wall clock is ahead of a quorum's (negative: behind); None while it can't know.
    log_time_ms: the log time its state has come to.
    log_bytes, state_bytes: what its two stores take on its disk.
    sync_p50_ms, sync_p99_ms: how long its disk takes to make a write durable; None before the first.
    version: of the program.
    uptime_s: since it started, in seconds.
    membership_version, voters, learners: the membership it follows, nodes by name.
    next_node: the lowest name that no member ever had.
    incarnations: which directory of a member counts, as the log says it, in hex.
    abstaining: other members that say that they don't trust their memory.
    links: of each other member why this node does not hear it, in a few words; empty if it answers heartbeats.
    members: where each node is reached, ``{"n1": "host:port"}``.
    sessions_open: sessions in its table.
    lacks: limits of its process that are too small, in words.
    counters: whatever it counts, by name, since it started.
    """

    node: str
    cluster_id: str
    incarnation: str = ""
    role: str = "follower"
    ballot: str = ""
    leader: str = ""
    leader_address: str = ""
    chosen_through: int = 0
    applied_through: int = 0
    compacted_through: int = 0
    durable_through: int = 0
    digest: str = ""
    checkpoint_slot: int = 0
    checkpoint_digest: str = ""
    is_voter: bool = True
    is_voting: bool = True
    is_storage_full: bool = False
    is_contradicted: bool = False
    is_clock_right: bool = True
    problem: str = ""
    clock_offset_ms: int | None = None
    log_time_ms: int = 0
    log_bytes: int = 0
    state_bytes: int = 0
    sync_p50_ms: float | None = None
    sync_p99_ms: float | None = None
    version: str = ""
    uptime_s: float = 0.0
    membership_version: int = 0
    members: dict[str, str] = attrs.field(factory=dict)
    voters: list[str] = attrs.field(factory=list)
    learners: list[str] = attrs.field(factory=list)
    next_node: str = ""
    incarnations: dict[str, str] = attrs.field(factory=dict)
    abstaining: list[str] = attrs.field(factory=list)
    links: dict[str, str] = attrs.field(factory=dict)
    sessions_open: int = 0
    lacks: list[str] = attrs.field(factory=list)
    counters: dict[str, int] = attrs.field(factory=dict)


def format_span(span_ms: float) -> str:
    """``3.2 h``: a span of time without its sign, in the largest unit it has two of."""
    size, unit = abs(span_ms), "ms"
    for count, larger in ((1000, "s"), (60, "min"), (60, "h"), (24, "d"), (365, "y")):
        if size < 2 * count:
            break
        size, unit = size / count, larger
    return f"{size:.0f} {unit}" if unit == "ms" else f"{size:.1f} {unit}"


def encode_status(status: NodeStatus) -> bytes:
    """The report as it goes into ``client_messages.Status``."""
    return json.dumps(_converter().unstructure(status), separators=(",", ":")).encode()


def decode_status(report: bytes) -> NodeStatus:
    """Read a report; keys this release does not know are ignored.

    Raises ``FrameError`` if it is none.
    """
    try:
        return _converter().structure(json.loads(report), NodeStatus)
    except (ValueError, RecursionError, cattrs.BaseValidationError) as error:
        raise FrameError(f"a node's report about itself can't be read: {error}") from error


@functools.cache
def _converter() -> cattrs.Converter:
    return cattrs.Converter()
