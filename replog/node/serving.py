"""Takes what clients ask to whoever does it: submissions and reads to the core, the rest to ``clients``.

A frame may hold more than a turn has time for; what is left of it comes first in the next one.

Never: let what goes wrong for one client reach another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from ..apply.outcomes import SubmissionRefused
from ..paxos.ballot import NodeId
from ..paxos.effects import NoHandOver, Refusal
from ..paxos.outbox import Size
from ..paxos.replica import Replica
from ..wire.client_messages import (
    ChangeMembersAnswer,
    ChangeMembersRequest,
    ClientMessage,
    Follow,
    Ping,
    Pong,
    Query,
    Status,
    StatusRequest,
    Submit,
    TransferAnswer,
    TransferRequest,
    admit,
)
from .client_link import ClientLink
from .clients import Clients
from .event_log import EventLog
from .events import ChangeMembers, ClientClosed, ClientMessages, ClientOpened
from .following import Following
from .ports import ClientPort
from .settings import NodeOptions

HAND_OVER_INTERVAL_S = 1.0
"""At somebody's word a node hands over so often at most: each time costs all clients an election's moment."""
_LOOKS_AT_THE_CLOCK_EVERY = 4
"""Messages; each costs some microseconds."""


class Serving:
    """All clients' messages.

    Parameters
    ----------
    status: what the node says of itself, as JSON.
    clock: monotonic seconds.
    """

    def __init__(
        self,
        replica: Replica,
        following: Following,
        clients: Clients,
        client_port: ClientPort,
        options: NodeOptions,
        status: Callable[[], bytes],
        log: EventLog,
        clock: Callable[[], float],
    ) -> None:
        self._replica = replica
        self._following = following
        self._clients = clients
        self._client_port = client_port
        self._options = options
        self._status = status
        self._log = log
        self._clock = clock
        self._handed_over_s = -math.inf
        self._links: dict[int, ClientLink] = {}
        self._waiting_submissions = 0
        self._waiting_bytes = 0
        self.submissions = 0
        self.submissions_refused = 0

    @property
    def is_crowded(self) -> bool:
        """More submissions wait than the next batches will take: let clients wait instead of refusing them."""
        return (
            self._waiting_submissions > self._options.inbox_submissions_max
            or self._waiting_bytes + self._clients.reads_bytes > self._options.inbox_bytes_max
            or self._replica.submissions_waiting > self._replica.options.queue_submissions_max // 2
        )

    def sizes(self) -> list[Size]:
        return [Size("reads under way", self._clients.reads_under_way, self._replica.options.reads_waiting_max)]

    # --- events ---

    def on_opened(self, event: ClientOpened) -> None:
        link = self._client_port.find(event.client)
        if link is not None:
            self._links[event.client] = link
            self._clients.open(link)

    def on_closed(self, event: ClientClosed) -> None:
        link = self._links.pop(event.client, None)
        if link is not None:
            self._clients.close(link)

    def expect(self, messages: Iterable[ClientMessage], sign: int = 1) -> None:
        """They wait for a turn."""
        for message in messages:
            if type(message) is Submit:
                self._waiting_submissions += sign
                self._waiting_bytes += sign * len(message.submission)

    def on_messages(self, event: ClientMessages, is_over: Callable[[], bool]) -> ClientMessages | None:
        """As many of them as the turn has time for; returns the rest."""
        self.expect(event.messages, -1)
        link = self._links.get(event.client)
        if link is None:
            return None
        for position, message in enumerate(event.messages, 1):
            match message:
                case Submit():
                    self._submit(link, message)
                case Query():
                    self._query(link, message)
                case Follow():
                    self._clients.attempt(
                        link, self._clients.followers.follow, link, message, self._options.follow_credit_max
                    )
                case StatusRequest():
                    self._clients.attempt(link, self._say_status, link, message)
                case TransferRequest():
                    self._transfer(link, message)
                case ChangeMembersRequest():
                    self._change_members(link, message)
                case Ping():
                    self._clients.say(link, Pong(message.nonce))
            if position % _LOOKS_AT_THE_CLOCK_EVERY:
                continue
            if link.is_closed:
                return None  # nobody hears what comes of the rest
            if is_over() and position < len(event.messages):
                rest = ClientMessages(event.client, event.messages[position:])
                self.expect(rest.messages)
                return rest
        return None

    def let_go_of_idle(self, now_s: float) -> None:
        """A client that says nothing for long may be gone without a word; it connects again when it has something."""
        for link in self._clients.idle_links(now_s - self._options.idle_timeout_s, now_s):
            self._log.info("client_idle", other=link.peer_address)
            link.close()

    # --- messages ---

    def _submit(self, link: ClientLink, message: Submit) -> None:
        self.submissions += 1
        submission = admit(message)
        if isinstance(submission, SubmissionRefused):
            self.submissions_refused += 1
            self._clients.say(link, submission)
            return
        if self._replica.is_leading and not self._clients.may_submit(link, submission.key):
            refusal: Refusal | None = Refusal.OVERLOADED
        else:
            refusal = self._replica.submit(message.submission)
        self.submissions_refused += refusal is not None
        self._clients.attempt(link, self._clients.on_submit, link, message, submission, refusal)

    def _query(self, link: ClientLink, message: Query) -> None:
        if message.is_stale:
            self._clients.answer_soon(link, message)
            return
        replica = self._replica
        is_full = replica.is_leading and self._clients.reads_under_way >= replica.options.reads_waiting_max
        read_id = self._clients.begin_read(link, message)
        refusal = Refusal.OVERLOADED if is_full else replica.read(read_id)
        if refusal is not None:
            self._clients.refuse_read(read_id, refusal)

    def _say_status(self, link: ClientLink, message: StatusRequest) -> None:
        self._clients.say(link, Status(message.request, self._status()))

    def _transfer(self, link: ClientLink, message: TransferRequest) -> None:
        if not self._replica.is_leading:
            self._clients.say_not_leader(link)
            return
        target = NodeId(message.target) if message.target else None
        refusal = None if target == self._replica.node else self._hand_over(target)
        reason, may_pass = (refusal.reason, refusal.may_pass) if refusal else ("", False)
        self._clients.say(link, TransferAnswer(message.request, refusal is None, reason, may_pass))

    def _change_members(self, link: ClientLink, message: ChangeMembersRequest) -> None:
        if not self._replica.is_leading:
            self._clients.say_not_leader(link)
            return
        version = self._replica.membership.version
        asked = ChangeMembers(message.voters, message.learners, message.if_version or None, message.described)
        refusal = self._following.change(asked, is_dry_run=message.is_dry_run)
        if refusal is not None:
            told = ChangeMembersAnswer(message.request, version, refusal.code.value, refusal.reason, refusal.may_pass)
        else:
            told = ChangeMembersAnswer(message.request, version + (not message.is_dry_run))
        self._clients.say(link, told)

    def _hand_over(self, target: NodeId | None) -> NoHandOver | None:
        now_s = self._clock()
        if now_s < self._handed_over_s + HAND_OVER_INTERVAL_S:
            return NoHandOver("leadership was moved a moment ago", may_pass=True)
        refusal = self._replica.transfer_leadership(target)
        if refusal is None:
            self._handed_over_s = now_s
        return refusal
