"""Nodes that do as a test says: what a client makes of peers that hang, lie or know nothing."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import trio

from replog.apply.outcomes import Replies, SessionOpened
from replog.apply.submissions import Commands, OpenSession, Submission, decode_submission
from replog.paxos.ballot import Slot
from replog.wire.client_messages import ClientMessage, NodeMessage, Ping, Pong, Query, QueryAnswers, Submit
from replog.wire.codec import Hello, Kind, Welcome, decode_payload, encode_frame
from replog.wire.link import Link, LinkClosed

CLUSTER = bytes(range(16))
SESSION = 2**20

Script = Callable[["Visit"], Awaitable[None]]


class Visit:
    """One connection of a client to a scripted node."""

    def __init__(self, node: ScriptedNode, link: Link, hello: Hello) -> None:
        self.node = node
        self.link = link
        self.hello = hello

    def welcome(self, refusal: str = "") -> None:
        members = tuple((node.number, node.address) for node in self.node.all_nodes)
        self.link.write(encode_frame(Kind.WELCOME, Welcome(CLUSTER, self.node.number, b"", refusal, members, 2**20)))

    def say(self, *messages: NodeMessage) -> None:
        self.link.write(encode_frame(Kind.NODE, messages))

    async def heard(self) -> list[ClientMessage]:
        """The client's next messages."""
        frames = await self.link.receive()
        return [message for _, payload in frames for message in decode_payload(Kind.CLIENT, payload, list)]

    async def serve(self) -> None:
        """As a leader of a log that is only its replies."""
        while True:
            for message in await self.heard():
                self.answer(message)

    def answer(self, message: ClientMessage) -> None:
        match message:
            case Submit():
                self._answer_submission(decode_submission(message.submission))
            case Query():
                self.say(QueryAnswers(message.first_id, Slot(1), [b"answer"] * len(message.requests)))
            case Ping():
                self.say(Pong(message.nonce))

    def _answer_submission(self, submission: Submission) -> None:
        match submission:
            case OpenSession():
                self.say(SessionOpened(submission.key, SESSION))
            case Commands():
                self.node.commands.append(submission)
                replies = [b"reply"] * len(submission.payloads)
                self.say(Replies(SESSION, submission.first_sequence, Slot(1), 0, replies))


class ScriptedNode:
    """Listens, and plays its script for everyone who comes."""

    def __init__(self, number: int, script: Script, listener: trio.SocketListener) -> None:
        self.number = number
        self._script = script
        self._listener = listener
        self.address = f"127.0.0.1:{listener.socket.getsockname()[1]}"
        self.all_nodes: list[ScriptedNode] = []
        self.visits = 0
        self.commands: list[Commands] = []

    async def run(self) -> None:
        await trio.serve_listeners(self._receive_visit, [self._listener])

    async def _receive_visit(self, stream: trio.SocketStream) -> None:
        self.visits += 1
        link = Link(socket.socket(fileno=stream.socket.detach()), frozenset({Kind.HELLO, Kind.CLIENT}))
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(link.drain_forever)
                with suppress(LinkClosed):
                    ((_, payload), *_) = await link.receive()
                    await self._script(Visit(self, link, decode_payload(Kind.HELLO, payload, Hello)))
                nursery.cancel_scope.cancel()
        finally:
            link.close()


@asynccontextmanager
async def scripted_nodes(*scripts: Script) -> AsyncIterator[list[ScriptedNode]]:
    """A node for each script, on ports of their own; they know one another as members."""
    nodes = []
    for number, script in enumerate(scripts, 1):
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nodes.append(ScriptedNode(number, script, listener))
    for node in nodes:
        node.all_nodes = nodes
    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(node.run)
        yield nodes
        nursery.cancel_scope.cancel()
