"""Puts one question to one node over a connection of its own, and says in words why there was no answer.

Commands that look after a cluster speak to nodes one by one, not through the client that looks for the leader: a node
that hangs must cost its own row in a table and nothing else.

Never: look for the leader.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import anyio
import attrs

from .client_messages import ClientMessage, NodeMessage
from .codec import VISITOR_NAME, FrameError, Kind, Welcome, decode_payload, encode_frame
from .dialing import STILL_LOOKING, connected_socket, greet, in_words, told_address
from .link import Link, LinkClosed
from .names import NAMES

Reply = TypeVar("Reply", bound=NodeMessage)


@attrs.frozen(kw_only=True)
class Answer(Generic[Reply]):
    """What came of a question.

    Parameters
    ----------
    welcome: who answered the connection, if anybody did.
    reply: the answer itself, or None.
    problem: why there is none, in a few words; empty if there is one.
    """

    address: str
    welcome: Welcome | None
    reply: Reply | None
    problem: str


async def ask(address: str, question: ClientMessage, *wanted: type[Reply], timeout_s: float) -> Answer[Reply]:
    """Ask the node at ``address`` one question; the first message of a wanted kind is the answer.

    Never raises for what the network or a node does; an address that can't be may have been told by one.
    """
    visit = _Visit()
    reply: Reply | None = None
    problem = ""
    host = ""
    try:
        host, port = told_address(address)
        with anyio.fail_after(timeout_s):
            reply = await visit.ask(host, port, question, wanted)
    except TimeoutError as error:
        if visit.is_connected:
            problem = "accepts connections but does not answer"
        else:
            problem = STILL_LOOKING if NAMES.is_unanswered(host) else in_words(error)
    except (OSError, LinkClosed, FrameError) as error:
        problem = in_words(error)
    finally:
        if visit.link is not None:
            visit.link.close()
    if visit.welcome is not None and visit.welcome.refusal:
        problem = visit.welcome.refusal
    return Answer(address=address, welcome=visit.welcome, reply=reply, problem=problem)


class _Visit:
    """One connection: greets, asks, waits for the reply that belongs to the question."""

    def __init__(self) -> None:
        self.is_connected = False
        """Whether the machine took the connection; a process that hangs lets it."""
        self.welcome: Welcome | None = None
        self.link: Link | None = None

    async def ask(self, host: str, port: int, question: ClientMessage, wanted: tuple[type[Reply], ...]) -> Reply | None:
        """The reply, or None if the node refused the connection."""
        sock = await connected_socket(host, port)
        self.is_connected = True
        self.link, self.welcome = await greet(sock, b"", VISITOR_NAME)
        if self.welcome.refusal:
            return None
        self.link.write(encode_frame(Kind.CLIENT, [question]))  # as small as it is, the socket takes it whole
        while True:
            for _, payload in await self.link.receive():
                for message in decode_payload(Kind.NODE, payload, list):
                    if isinstance(message, wanted):
                        return message
