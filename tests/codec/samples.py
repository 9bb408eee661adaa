"""One of every frame that can travel: what the golden file holds and what fuzzing bends."""

from __future__ import annotations

from replog.apply.outcomes import Replies, SequenceGap, SessionGone, SessionOpened, SubmissionRefused
from replog.apply.submissions import CloseSession, Commands, OpenSession, Submission
from replog.paxos.ballot import BALLOT_ZERO, Ballot, NodeId, Slot
from replog.paxos.membership import Member, Membership
from replog.paxos.messages import (
    Accept,
    Accepted,
    AcceptedSlot,
    BelowFloor,
    Confirm,
    Confirmed,
    FetchSnapshot,
    Heartbeat,
    HeartbeatReply,
    Learn,
    LearnRequest,
    Message,
    Nack,
    Prepare,
    Promise,
    SnapshotChunk,
    TransferLeadership,
)
from replog.wire.client_messages import (
    ChangeMembersAnswer,
    ChangeMembersRequest,
    ClientMessage,
    Entries,
    Follow,
    LogEntry,
    NodeMessage,
    NotLeader,
    Ping,
    Pong,
    Query,
    QueryAnswers,
    QueryRefused,
    Status,
    StatusRequest,
    Submit,
    TransferAnswer,
    TransferRequest,
)
from replog.wire.codec import Hello, Kind, Welcome, encode_frame

CLUSTER = bytes(range(16))
INCARNATION = bytes(range(16, 32))
BALLOT = Ballot(17, NodeId(1))
TIME_MS = 1_764_000_000_000
RECORD = AcceptedSlot(Slot(5), BALLOT, 0xCAFEF00D, b"value")

GREETINGS: list[Hello | Welcome] = [
    Hello(CLUSTER, 2, INCARNATION, "a name"),
    Hello(b"", 0, b""),
    Welcome(CLUSTER, 1, INCARNATION, "", ((1, "10.0.0.1:7101"), (2, "10.0.0.2:7101")), 983_104),
    Welcome(CLUSTER, 1, INCARNATION, "a reason"),
]

PEER_MESSAGES: list[Message] = [
    Heartbeat(3, BALLOT, Slot(70_000)),
    HeartbeatReply(
        3, BALLOT, True, True, True, Slot(9), Slot(10), Slot(8), Slot(2), Slot(0), b"", False, True, TIME_MS
    ),
    HeartbeatReply(4, BALLOT_ZERO, False, False, True, Slot(9), Slot(10), Slot(8), Slot(2), Slot(16), b"digest", True),
    Prepare(BALLOT, Slot(4)),
    Promise(BALLOT, Slot(4), Slot(1), 0, 2, (RECORD,), TIME_MS),
    Nack(BALLOT, Ballot(18, NodeId(3))),
    Accept(BALLOT, Slot(5), 0xCAFEF00D, b"value", Slot(4)),
    Accepted(BALLOT, Slot(5), Slot(7)),
    Confirm(BALLOT, 300),
    Confirmed(BALLOT, 300),
    LearnRequest(Slot(5), Slot(2**40)),
    Learn(Slot(6), (RECORD,)),
    BelowFloor(Slot(6), Slot(9)),
    FetchSnapshot(INCARNATION, 2**20),
    SnapshotChunk(INCARNATION, Slot(6), 2**20, 0xCAFEF00D, True, b"data"),
    TransferLeadership(BALLOT),
]

CLIENT_MESSAGES: list[ClientMessage] = [
    Submit(2**20, b"submission", INCARNATION),
    Query(7, False, [b"one", b""]),
    Query(9, True, []),
    Follow(Slot(1), 256),
    StatusRequest(11),
    TransferRequest(12, NodeId(2)),
    ChangeMembersRequest(13, (NodeId(1), NodeId(2)), (NodeId(4),), 3, (Member(NodeId(4), "10.0.0.4:7101"),), True),
    Ping(13),
]

NODE_MESSAGES: list[NodeMessage] = [
    Replies(2**20, 1, Slot(5), 0, [b"one", b"two"], [1]),
    SessionOpened(INCARNATION, 2**20),
    SessionGone(2**20),
    SequenceGap(2**20, 4, 3),
    SubmissionRefused(2**20, 4, "overloaded", "the queue is full"),
    NotLeader(NodeId(2), "10.0.0.2:7101"),
    QueryAnswers(7, Slot(5), [b"one", b""], [1]),
    QueryRefused(7, 2, "not_leader", "this node does not lead"),
    Entries([LogEntry(Slot(5), b"value")], Slot(0)),
    Status(11, b"{}"),
    TransferAnswer(12, False, "n2 has not answered lately", True),
    ChangeMembersAnswer(13, 3, "behind", "n4 has not caught up yet", True),
    Pong(13),
]

MEMBERSHIPS = {
    "founders": Membership(1, (NodeId(1), NodeId(2), NodeId(3))),
    "changed": Membership(2, (NodeId(1), NodeId(2)), (NodeId(4),), NodeId(5)),
    "described": Membership(
        2,
        (NodeId(1), NodeId(2)),
        (NodeId(4),),
        NodeId(5),
        (Member(NodeId(1), "10.0.0.1:7101"), Member(NodeId(4), "[fd00::4]:7101", INCARNATION)),
    ),
}

SUBMISSIONS: list[Submission] = [
    Commands(2**20, 1, 1, [b"one", b"two"], INCARNATION),
    OpenSession(INCARNATION),
    CloseSession(2**20, INCARNATION),
]


def frames() -> dict[str, tuple[Kind, bytes]]:
    """Every sample as one frame, by a name that says which it is."""
    found: dict[str, tuple[Kind, bytes]] = {}

    def add(kind: Kind, name: str, frame: bytes) -> None:
        count = sum(other.startswith(name) for other in found)
        found[f"{name}/{count + 1}"] = (kind, frame)

    for greeting in GREETINGS:
        kind = Kind.HELLO if isinstance(greeting, Hello) else Kind.WELCOME
        add(kind, type(greeting).__name__, encode_frame(kind, greeting))
    for kind, messages in ((Kind.PEER, PEER_MESSAGES), (Kind.CLIENT, CLIENT_MESSAGES), (Kind.NODE, NODE_MESSAGES)):
        for message in messages:
            add(kind, f"{kind.name.lower()}.{type(message).__name__}", encode_frame(kind, [message]))
    return found
