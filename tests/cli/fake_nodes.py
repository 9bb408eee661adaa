"""Nodes that speak the real frames over real loopback sockets and remember nothing: for tests of who asks them."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from replog.paxos.ballot import NodeId, Slot, node_name
from replog.paxos.values import NO_OP
from replog.wire.client_messages import (
    ClientMessage,
    Entries,
    Follow,
    LogEntry,
    NodeMessage,
    NotLeader,
    Status,
    StatusRequest,
    TransferAnswer,
    TransferRequest,
)
from replog.wire.codec import FrameSplitter, Hello, Kind, Welcome, decode_payload, encode_frame
from replog.wire.status import NodeStatus, encode_status

from .clusters import CLUSTER


class FakeNode:
    """One node; tests set what it says.

    Parameters
    ----------
    status: changes to an ordinary status; read when it is asked.
    on_asked: called before that.
    mood: ``answers``, ``hangs`` (accepts and says nothing), ``refuses`` (a welcome with a refusal), ``hangs_up``
        (closes at once), ``resets`` (dies with the connection open) or ``babbles`` (sends bytes that are no frame).
    """

    def __init__(self, number: int) -> None:
        self.number = NodeId(number)
        self.mood = "answers"
        self.members: dict[NodeId, str] = {}
        self.status: dict[str, Any] = {}
        self.on_transfer: Callable[[TransferRequest], TransferAnswer | NotLeader] | None = None
        self.cluster = CLUSTER
        self.on_asked: Callable[[], object] = lambda: None
        self.questions: list[ClientMessage] = []
        node = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                node._serve(self.request)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def address(self) -> str:
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    @property
    def name(self) -> str:
        return node_name(self.number)

    def stop(self) -> None:
        """From here on its address refuses connections."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self, sock: Any) -> None:
        if self.mood == "hangs_up":
            return
        if self.mood == "resets":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.recv(1)
            sock.close()
            return
        if self.mood == "babbles":
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        splitter = FrameSplitter(frozenset({Kind.HELLO, Kind.CLIENT}))
        while chunk := sock.recv(65536):
            if self.mood in ("hangs", "babbles"):
                continue
            for kind, payload in splitter.feed(chunk):
                self._answer(sock, kind, payload)

    def _answer(self, sock: Any, kind: Kind, payload: bytes) -> None:
        if kind is Kind.HELLO:
            decode_payload(kind, payload, Hello)
            refusal = "too many connections" if self.mood == "refuses" else ""
            welcome = Welcome(bytes.fromhex(self.cluster), self.number, bytes(16), refusal, tuple(self.members.items()))
            sock.sendall(encode_frame(Kind.WELCOME, welcome))
            return
        for message in decode_payload(kind, payload, list):
            self.questions.append(message)
            sock.sendall(encode_frame(Kind.NODE, list(self._replies(message))))

    def _replies(self, message: ClientMessage) -> Iterator[NodeMessage]:
        match message:
            case StatusRequest():
                self.on_asked()
                yield Status(message.request, encode_status(self.report()))
            case TransferRequest():
                assert self.on_transfer is not None
                yield self.on_transfer(message)
            case Follow():
                last = self.report().chosen_through
                yield Entries([LogEntry(Slot(slot), NO_OP) for slot in range(message.from_slot, last + 1)])

    def report(self) -> NodeStatus:
        """What it says of itself."""
        fields: dict[str, Any] = {
            "node": self.name,
            "cluster_id": self.cluster,
            "role": "leader" if self.number == 1 else "follower",
            "ballot": "17.n1",
            "leader": "n1",
            "chosen_through": 120,
            "applied_through": 120,
            "membership_version": 1,
            "members": {node_name(node): address for node, address in self.members.items()},
            "voters": [node_name(node) for node in self.members],
            "log_bytes": 300_000,
            "state_bytes": 100_000,
            "sync_p99_ms": 1.9,
            "version": "0.1.0",
        }
        return NodeStatus(**{**fields, **self.status})


@contextmanager
def fake_cluster(count: int) -> Iterator[Sequence[FakeNode]]:
    """Nodes that know of each other; node 1 leads."""
    nodes = [FakeNode(number) for number in range(1, count + 1)]
    members = {node.number: node.address for node in nodes}
    try:
        for node in nodes:
            node.members = members
        yield nodes
    finally:
        for node in nodes:
            node.stop()
