"""A client of the log, for trio and asyncio programs: many callers, one session, one connection.

It finds the leader from any endpoint and follows it when it changes. Commands that wait together leave as one frame,
and one frame of replies wakes all their callers. What is sent again after a failure goes under its old numbers
(``session``), so it runs once.

It gives up on a silent node by asking it: as long as a Ping is answered the node is only slow. Every call has a
deadline, and its error says what the caller may do (``errors``).
"""

from __future__ import annotations

import os
import random
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Literal, NamedTuple, TypeVar

import anyio
import anyio.abc

from ..addresses import check_address
from ..apply.outcomes import Refused as SubmissionRefused
from ..apply.outcomes import Replies, SequenceGap, SessionExpired, SessionOpened
from ..apply.submissions import ENVELOPE_BYTES
from ..errors import CommandFailed, CommandTooLarge, OutcomeUnknown, Overloaded, Refused, ReplogError, Unavailable
from ..paxos.ballot import NodeId, parse_node
from ..wire.client_messages import (
    ClientMessage,
    Entries,
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
from ..wire.codec import FrameError, Kind, Welcome, decode_payload, encode_frame
from ..wire.dialing import Compacted, dial, follow_link
from ..wire.link import Link, LinkClosed
from ..wire.status import NodeStatus, decode_status
from .session import Call, ClientSession
from .session import Receipt as Receipt
from .waiting import Parked, current_parking

Consistency = Literal["linearizable", "stale"]

TIMEOUT_S = 10.0
UNSENT_BYTES_MAX = 4 * 2**20
CALL_BYTES_MAX = 32 * 2**20
"""Commands of one ``submit_many``, together."""

_WATCH_INTERVAL_S = 0.05
_PING_AFTER_TICKS = 3
_HUNG_AFTER_TICKS = 6
_REDIAL_FIRST_S = 0.005
_REDIAL_MAX_S = 0.25
_REDIRECTS_MAX = 2
"""Followed at once; nodes that disagree about who leads are asked with a pause between."""
_FAILED_LATELY_S = 0.5
_LEADER_PATIENCE_S = 0.5
_REFUSED_PAUSE_S = (0.01, 0.03)
_TRANSFER_RETRY_S = 0.02
_WAIT_FOR_LINK_S = 0.002
_QUERY_BYTES = 2**16
"""Reads that wait together travel in messages of about this size."""

_NO_MEMBERS: tuple[tuple[int, str], ...] = ()
_Reply = TypeVar("_Reply", Status, TransferAnswer)


class Answer(NamedTuple):
    """What a read brought back.

    Parameters
    ----------
    reply: the state machine's answer.
    applied_through: the last slot that the state it was read from had run.
    """

    reply: bytes
    applied_through: int


class _Asked(Parked):
    """Something that may be asked again as often as it takes."""

    __slots__ = ("deadline_s", "error")

    def __init__(self, deadline_s: float) -> None:
        self.waiter = None
        self.deadline_s = deadline_s
        self.error: ReplogError | None = None


class _Read(_Asked):
    """One read of one caller."""

    __slots__ = ("answer", "is_stale", "request")

    def __init__(self, request: bytes, deadline_s: float, *, is_stale: bool) -> None:
        super().__init__(deadline_s)
        self.request = request
        self.is_stale = is_stale
        self.answer: Answer | None = None


class _Question(_Asked):
    """A question to whatever node is connected."""

    __slots__ = ("answer", "message")

    def __init__(self, message: StatusRequest | TransferRequest, deadline_s: float) -> None:
        super().__init__(deadline_s)
        self.message = message
        self.answer: Status | TransferAnswer | None = None


@asynccontextmanager
async def connect(endpoints: Sequence[str], *, name: str = "") -> AsyncIterator[Client]:
    """A client of the cluster behind ``endpoints``; it connects when it is first used, and again as often as needed.

    Parameters
    ----------
    endpoints: ``host:port`` of some of the nodes; the others are learned from them.
    name: for the nodes' logs.

    Raises
    ------
    ValueError: no endpoint is given, or one is no ``host:port``.
    """
    client = Client(endpoints, name=name)
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        client._start(tasks)
        try:
            yield client
        except Exception as error:
            failure = error  # raised below, so that it is not wrapped in a group
        finally:
            await client._leave()
            tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


class Client:
    """See ``connect``. All methods may be called by any number of tasks at once."""

    def __init__(self, endpoints: Sequence[str], *, name: str = "") -> None:
        if not endpoints:
            raise ValueError("no endpoint given; name at least one host:port of the cluster")
        self._addresses = list(dict.fromkeys(endpoints))
        for address in self._addresses:
            check_address(address)
        self._name = name
        self._parking = current_parking()
        self._session = ClientSession(self._parking.wake, lambda: os.urandom(16))
        self._reads_unsent: deque[_Read] = deque()
        self._reads_sent: dict[int, _Read] = {}
        self._questions: dict[int, _Question] = {}
        self._next_id = 1
        self._link: Link | None = None
        self._welcome = Welcome(b"", 0, b"", "", _NO_MEMBERS)
        self._address = ""
        self._preferred = ""
        self._next_address = random.randrange(len(self._addresses))
        self._problems: dict[str, str] = {}
        self._failed_at_s: dict[str, float] = {}
        self._has_work = anyio.Event()
        self._is_accepting = True
        self._flushed_alone = False
        self._lost_leader_at_s = 0.0
        self._pause_until_s = 0.0
        self._last_refusal = ""
        self._silent_ticks = 0
        self._bytes_seen = 0
        self.reconnects = 0

    # --- what callers do ---

    async def submit(self, payload: bytes, *, timeout: float = TIMEOUT_S) -> Receipt:  # noqa: ASYNC109 - one scope a call would cost more than the command
        """Order one command and wait until the state machine has run it, exactly once.

        Parameters
        ----------
        payload: opaque to everything but the state machine.
        timeout: seconds.

        Raises
        ------
        Unavailable, Overloaded, StorageFull: definitely not done.
        CommandTooLarge: definitely not done, and never will be.
        OutcomeUnknown: maybe done, now or later.
        SessionExpired: maybe done; the log has forgotten this client's session.
        CommandFailed: the state machine raised; its writes were undone.
        """
        call = Call((payload,), anyio.current_time() + timeout)
        self._begin(call)
        await self._parking.park(call)
        if call.error is not None:
            raise call.error
        receipt = call.receipts[0]
        assert receipt is not None
        return receipt

    async def submit_many(self, payloads: Sequence[bytes], *, timeout: float = TIMEOUT_S) -> list[Receipt]:  # noqa: ASYNC109
        """Order commands one after the other, and wait for all of them. Other callers' may stand between them.

        Parameters
        ----------
        payloads: one a command; none is no command, and nothing is sent.
        timeout: seconds, for all of them together.

        Raises
        ------
        What ``submit`` raises; with ``OutcomeUnknown`` some of them may be done.
        """
        if not payloads:
            return []
        call = Call(tuple(payloads), anyio.current_time() + timeout)
        self._begin(call)
        await self._parking.park(call)
        if call.error is not None:
            raise call.error
        return [receipt for receipt in call.receipts if receipt is not None]

    async def query(
        self,
        request: bytes,
        *,
        consistency: Consistency = "linearizable",
        timeout: float = TIMEOUT_S,  # noqa: ASYNC109
    ) -> bytes:
        """Ask the state machine.

        Parameters
        ----------
        request: opaque to everything but the state machine.
        consistency: ``linearizable`` sees everything that was acknowledged to anybody before the call; ``stale`` is
            answered at once by whatever node is connected, from what it has applied.
        timeout: seconds.

        Raises
        ------
        Unavailable: no node could answer in time.
        CommandFailed: the state machine's ``query`` raised.
        CommandTooLarge: the request is larger than a command may be.
        """
        return (await self.read(request, consistency=consistency, timeout=timeout)).reply

    async def read(
        self,
        request: bytes,
        *,
        consistency: Consistency = "linearizable",
        timeout: float = TIMEOUT_S,  # noqa: ASYNC109
    ) -> Answer:
        """Like ``query``, and says which slot the answering node had applied through.

        Parameters
        ----------
        request, consistency, timeout: as for ``query``.

        Raises
        ------
        What ``query`` raises.
        ValueError: ``consistency`` is neither of the two.
        """
        if consistency not in ("linearizable", "stale"):
            raise ValueError(f"consistency is 'linearizable' or 'stale', not {consistency!r}")
        self._check_size(request, "query")
        read = _Read(request, anyio.current_time() + timeout, is_stale=consistency == "stale")
        self._reads_unsent.append(read)
        self._has_work.set()
        await self._parking.park(read)
        if read.error is not None:
            raise read.error
        assert read.answer is not None
        return read.answer

    async def follow(self, from_slot: int = 1) -> AsyncGenerator[LogEntry, None]:
        """The log itself, slot by slot, for ever; over a connection of its own, made again when it is lost.

        Parameters
        ----------
        from_slot: where to begin; slots count from 1.

        Raises
        ------
        Refused: ``from_slot`` is compacted away everywhere it was asked for.
        Unavailable: no node could be reached in time.
        """
        next_slot = max(1, from_slot)
        compacted: set[str] = set()
        while True:
            link, welcome = await self._dial_any(TIMEOUT_S)
            self._learn_members(welcome)
            address = dict(welcome.members).get(welcome.node, "")
            try:
                async with aclosing(follow_link(link, next_slot)) as entries:
                    async for entry in entries:
                        next_slot = entry.slot + 1
                        compacted.clear()
                        yield entry
            except Compacted as error:
                compacted.add(address)
                if compacted >= {other for _, other in welcome.members if not self._failed_lately(other)}:
                    raise Refused(
                        f"slot {next_slot} is compacted away; the log begins at slot {error.compacted_through + 1}"
                    ) from None
            except (LinkClosed, FrameError):
                pass
            finally:
                link.close()
            await anyio.sleep(random.uniform(_REDIAL_FIRST_S, _REDIAL_MAX_S))

    async def status(self, *, timeout: float = 2.0) -> NodeStatus:  # noqa: ASYNC109
        """What the connected node says of itself.

        Parameters
        ----------
        timeout: seconds.

        Raises
        ------
        Unavailable: no node answered in time.
        """
        answer = await self._ask(StatusRequest(self._take_id()), Status, timeout)
        return decode_status(answer.report)

    async def transfer_leadership(self, target: str = "", *, timeout: float = 5.0) -> None:  # noqa: ASYNC109
        """Ask the leader to hand over, and wait until it does.

        The target leads a moment later. If it leads already, that is a success.

        Parameters
        ----------
        target: a node's name, ``n2``; empty: whoever is most up to date.
        timeout: seconds, for there to be a leader and for it to reach the target.

        Raises
        ------
        Refused: the leader says no, and why.
        Unavailable: no leader answered in time.
        ValueError: ``target`` is no node's name.
        """
        node = parse_node(target) if target else NodeId(0)
        deadline_s = anyio.current_time() + timeout
        while True:
            left_s = deadline_s - anyio.current_time()
            answer = await self._ask(TransferRequest(self._take_id(), node), TransferAnswer, left_s)
            if answer.is_accepted:
                return
            if not answer.may_pass or anyio.current_time() + _TRANSFER_RETRY_S > deadline_s:
                raise Refused(f"leadership was not handed over: {answer.reason}")
            await anyio.sleep(_TRANSFER_RETRY_S)

    # --- calls ---

    def _begin(self, call: Call) -> None:
        together_bytes = sum(map(len, call.payloads))
        if together_bytes > self._session.submission_bytes_max - ENVELOPE_BYTES:
            for payload in call.payloads:
                self._check_size(payload, "command")
            if together_bytes > CALL_BYTES_MAX:
                raise CommandTooLarge(
                    f"{len(call.payloads):,} commands of {together_bytes:,} bytes are too many for one call, which "
                    f"takes {CALL_BYTES_MAX:,} bytes; submit them in several calls."
                )
        self._session.add(call)
        if self._is_lone_caller:
            self._flush()
        else:
            self._has_work.set()

    def _check_size(self, payload: bytes, what: str) -> None:
        limit = self._session.submission_bytes_max - ENVELOPE_BYTES
        if len(payload) > limit:
            raise CommandTooLarge(
                f"a {what} of {len(payload):,} bytes is above the limit of {limit:,}; split it, or raise "
                "command_bytes_max and batch_bytes_max on every node."
            )

    async def _ask(self, message: StatusRequest | TransferRequest, wanted: type[_Reply], timeout_s: float) -> _Reply:
        question = _Question(message, anyio.current_time() + timeout_s)
        self._questions[message.request] = question
        self._has_work.set()
        if self._link is not None:
            self._write([message])
        try:
            await self._parking.park(question)
        finally:
            self._questions.pop(message.request, None)
        if question.error is not None:
            raise question.error
        assert isinstance(question.answer, wanted)
        return question.answer

    def _take_id(self, count: int = 1) -> int:
        first = self._next_id
        self._next_id += count
        return first

    # --- tasks ---

    def _start(self, tasks: anyio.abc.TaskGroup) -> None:
        tasks.start_soon(self._stay_connected)
        tasks.start_soon(self._send_forever)
        tasks.start_soon(self._watch_forever)

    async def _leave(self) -> None:
        """Close the session, so that the log need not remember it; nobody waits for the answer."""
        if self._link is not None and self._session.number and not self._session.commands_in_flight:
            self._write([self._session.closing()])
            with anyio.move_on_after(0.2, shield=True):
                await self._link.wait_drained()
        if self._link is not None:
            self._link.close()

    async def _stay_connected(self) -> None:
        wait_s = _REDIAL_FIRST_S
        redirects = 0
        while True:
            if not self._is_waiting:
                await self._has_work.wait()
            address = self._choose_address()
            try:
                link, welcome = await dial(address, self._welcome.cluster, self._name)
            except (OSError, LinkClosed, FrameError, TimeoutError, ReplogError) as error:
                self._note_problem(address, error)
            else:
                self._problems.pop(address, None)
                if await self._use(link, welcome, address):
                    wait_s = _REDIAL_FIRST_S
                    redirects = 0
            self._link = None
            self.reconnects += 1
            redirects += 1
            if not self._preferred or redirects > _REDIRECTS_MAX:
                await anyio.sleep(wait_s * random.uniform(0.5, 1.0))
                wait_s = min(wait_s * 2, _REDIAL_MAX_S)

    def _choose_address(self) -> str:
        """Where a node said the leader is, or the next one in turn that has not just failed."""
        preferred, self._preferred = self._preferred, ""
        if preferred:
            return preferred
        for _ in self._addresses:
            self._next_address = (self._next_address + 1) % len(self._addresses)
            if not self._failed_lately(self._addresses[self._next_address]):
                break
        return self._addresses[self._next_address]

    def _note_problem(self, address: str, error: BaseException) -> None:
        self._problems[address] = str(error) or (
            "timed out" if isinstance(error, TimeoutError) else type(error).__name__
        )
        self._failed_at_s[address] = anyio.current_time()

    def _failed_lately(self, address: str) -> bool:
        return anyio.current_time() < self._failed_at_s.get(address, 0.0) + _FAILED_LATELY_S

    async def _use(self, link: Link, welcome: Welcome, address: str) -> bool:
        """One connection, from its welcome to its end; True if it was of use."""
        self._link, self._welcome, self._address = link, welcome, address
        self._silent_ticks = 0
        self._bytes_seen = 0
        self._learn_members(welcome)
        self._session.submission_bytes_max = welcome.submission_bytes_max or self._session.submission_bytes_max
        self._is_accepting = True
        self._send_again()
        self._has_work.set()
        was_useful = False
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(link.drain_forever)
            try:
                while True:
                    frames = await link.receive()
                    for _, payload in frames:
                        messages: list[NodeMessage] = decode_payload(Kind.NODE, payload, list)
                        for message in messages:
                            was_useful |= type(message) is not NotLeader
                            self._take(message)
            except (LinkClosed, FrameError) as error:
                if not link.is_closed:  # else this end closed it, and has noted why
                    self._note_problem(address, error)
            finally:
                link.close()
                self._link = None
                tasks.cancel_scope.cancel()
        return was_useful

    def _learn_members(self, welcome: Welcome) -> None:
        self._addresses = list(dict.fromkeys([*self._addresses, *(other for _, other in welcome.members if other)]))

    def _send_again(self) -> None:
        """This connection knows nothing of what was sent on another one."""
        for read in self._reads_sent.values():
            self._reads_unsent.append(read)
        self._reads_sent.clear()
        messages: list[ClientMessage] = [
            question.message for question in self._questions.values() if question.answer is None
        ]
        messages += self._session.resend()
        if messages:
            self._write(messages)

    async def _send_forever(self) -> None:
        """Everything that waits leaves as one frame; what comes meanwhile makes the next one."""
        while True:
            await self._has_work.wait()
            link = self._link
            pause_s = self._pause_until_s - anyio.current_time()
            if link is None or pause_s > 0:
                await anyio.sleep(max(pause_s, _WAIT_FOR_LINK_S))
                continue
            self._has_work = anyio.Event()
            self._flush()
            if link.unsent_bytes > UNSENT_BYTES_MAX:
                await link.wait_drained()

    def _flush(self) -> None:
        """One frame of everything that may leave."""
        messages: list[ClientMessage] = list(self._take_queries(is_stale=True))
        if self._is_accepting:
            before = self._session.commands_in_flight
            messages += self._session.take_submissions()
            self._flushed_alone = self._session.commands_in_flight - before == 1
            messages += self._take_queries(is_stale=False)
        if messages:
            self._write(messages)

    @property
    def _is_lone_caller(self) -> bool:
        """Whether nobody is likely to join: then a command leaves at once, without waking the sending task."""
        return (
            self._flushed_alone
            and self._is_accepting
            and self._link is not None
            and self._session.number > 0
            and not self._session.commands_in_flight
            and not self._pause_until_s
        )

    def _take_queries(self, *, is_stale: bool) -> Iterator[Query]:
        if not self._reads_unsent:
            return
        reads = deque(read for read in self._reads_unsent if read.is_stale is is_stale)
        self._reads_unsent = deque(read for read in self._reads_unsent if read.is_stale is not is_stale)
        while reads:
            together, together_bytes = [reads.popleft()], 0
            while reads and together_bytes < _QUERY_BYTES:
                together_bytes += len(together[-1].request)
                together.append(reads.popleft())
            first = self._take_id(len(together))
            self._reads_sent.update(enumerate(together, first))
            yield Query(first, is_stale, [read.request for read in together])

    @property
    def _is_waiting(self) -> bool:
        return bool(self._session.has_work or self._reads_sent or self._reads_unsent or self._questions)

    def _write(self, messages: Sequence[ClientMessage]) -> None:
        """As one frame, or as several where one would be larger than a node is sure to take."""
        if self._link is None:
            return
        frame: list[ClientMessage] = []
        frame_bytes = 0
        for message in messages:
            message_bytes = _bytes_of(message)
            if frame and frame_bytes + message_bytes > self._session.submission_bytes_max:
                self._write_frame(self._link, frame)
                frame, frame_bytes = [], 0
            frame.append(message)
            frame_bytes += message_bytes
        self._write_frame(self._link, frame)

    def _write_frame(self, link: Link, frame: Sequence[ClientMessage]) -> None:
        if not link.write(encode_frame(Kind.CLIENT, frame)):
            link.close()  # nothing may be sent behind what was lost

    # --- what nodes say ---

    def _take(self, message: NodeMessage) -> None:
        match message:
            case Replies():
                self._session.on_replies(message)
                if self._session.has_work:
                    self._has_work.set()
            case QueryAnswers():
                self._on_answers(message)
            case SessionOpened():
                self._session.on_opened(message.key, message.session)
                self._has_work.set()
            case NotLeader():
                self._on_not_leader(message)
            case SessionExpired():
                self._session.on_expired(message.session)
                self._has_work.set()
            case SequenceGap():
                if self._session.on_gap(message):
                    self._pause()
                self._has_work.set()
            case SubmissionRefused():
                self._on_refused(message)
            case QueryRefused():
                self._on_query_refused(message)
            case Status() | TransferAnswer():
                question = self._questions.get(message.request)
                if question is not None:
                    question.answer = message
                    self._parking.wake(question)
            case Pong() | Entries():
                pass

    def _on_answers(self, message: QueryAnswers) -> None:
        failed = frozenset(message.failed)
        wake, sent = self._parking.wake, self._reads_sent
        for position, answer in enumerate(message.answers):
            read = sent.pop(message.first_id + position, None)
            if read is None:
                continue
            if position in failed:
                read.error = CommandFailed(f"the query failed in the state machine: {answer.decode(errors='replace')}")
            read.answer = Answer(answer, message.applied_through)
            wake(read)

    def _on_query_refused(self, message: QueryRefused) -> None:
        """Not answered, and it may be asked again: at another leader, or after a pause."""
        self._last_refusal = message.reason
        for number in range(message.first_id, message.first_id + message.count):
            read = self._reads_sent.pop(number, None)
            if read is not None and read.error is None:
                self._reads_unsent.append(read)
        if message.code != "not_leader":
            self._pause()
        self._has_work.set()

    def _on_refused(self, message: SubmissionRefused) -> None:
        self._last_refusal = message.reason
        if self._session.on_refused(message):
            self._pause()
        self._has_work.set()

    def _pause(self) -> None:
        self._pause_until_s = anyio.current_time() + random.uniform(*_REFUSED_PAUSE_S)

    def _on_not_leader(self, message: NotLeader) -> None:
        """Go where the leader is; where nobody knows it, wait to be told."""
        if message.leader and message.leader == self._welcome.node:
            self._is_accepting = True
            self._send_again()
            self._has_work.set()
        elif message.address and message.address != self._address and not self._failed_lately(message.address):
            self._go_to(message.address)
        else:
            self._is_accepting = False
            self._lost_leader_at_s = anyio.current_time()

    def _go_to(self, address: str) -> None:
        self._preferred = address
        if self._link is not None:
            self._link.close()

    # --- deadlines, and nodes that hang ---

    async def _watch_forever(self) -> None:
        """A few times a second, however many wait: a timer a call would cost more than the call."""
        while True:
            await anyio.sleep(_WATCH_INTERVAL_S)
            now_s = anyio.current_time()
            self._end_overdue(now_s)
            link = self._link
            if link is None:
                continue
            if not self._is_accepting:
                if now_s > self._lost_leader_at_s + _LEADER_PATIENCE_S:
                    self._problems[self._address] = "knows no leader"
                    link.close()
                continue
            if not self._is_waiting or link.bytes_received != self._bytes_seen:
                self._bytes_seen = link.bytes_received
                self._silent_ticks = 0
                continue
            self._silent_ticks += 1
            if self._silent_ticks == _PING_AFTER_TICKS:
                self._write([Ping(self._take_id())])
            elif self._silent_ticks >= _HUNG_AFTER_TICKS:
                self._problems[self._address] = "accepts connections but does not answer"
                self._failed_at_s[self._address] = now_s
                link.close()

    def _end_overdue(self, now_s: float) -> None:
        for call in list(self._session.calls()):
            if call.deadline_s <= now_s and not call.is_over:
                call.error = self._overdue_error(call)
                call.is_over = True
                self._parking.wake(call)
        asked: list[_Asked] = [*self._reads_sent.values(), *self._reads_unsent, *self._questions.values()]
        for read in asked:
            if read.deadline_s <= now_s and read.error is None:
                read.error = Unavailable(f"no answer in time. {self._situation()}")
                self._parking.wake(read)
        if any(read.error is not None for read in self._reads_unsent):
            self._reads_unsent = deque(read for read in self._reads_unsent if read.error is None)
        for number in [number for number, read in self._reads_sent.items() if read.error is not None]:
            del self._reads_sent[number]

    def _overdue_error(self, call: Call) -> ReplogError:
        if call.is_sent:
            return OutcomeUnknown(f"sent, and not answered in time; it may be done, now or later. {self._situation()}")
        if self._pause_until_s and self._link is not None and self._last_refusal:
            return Overloaded(f"not sent in time: {self._last_refusal}")
        return Unavailable(f"not sent in time, so definitely not done. {self._situation()}")

    def _situation(self) -> str:
        """Who can be reached and who can't, for a person."""
        total = len(self._addresses)
        if self._link is not None:
            state = "waits for a leader to be elected" if not self._is_accepting else "has not answered yet"
            return f"Connected to {self._address}, which {state}."
        problems = ", ".join(f"{address} ({problem})" for address, problem in sorted(self._problems.items()))
        return (
            f"{total - len(self._problems)} of {total} replicas reachable. Not reachable: {problems or 'none known'}."
        )

    # --- connections beside the main one ---

    async def _dial_any(self, timeout_s: float) -> tuple[Link, Welcome]:
        """A connection to whatever node answers first, in turn. Raises ``Unavailable``."""
        deadline_s = anyio.current_time() + timeout_s
        while True:
            address = self._choose_address()
            try:
                return await dial(address, self._welcome.cluster, self._name)
            except (OSError, LinkClosed, FrameError, TimeoutError, ReplogError) as error:
                self._note_problem(address, error)
            if anyio.current_time() > deadline_s:
                raise Unavailable(self._situation())
            await anyio.sleep(random.uniform(_REDIAL_FIRST_S, _REDIAL_MAX_S))


def _bytes_of(message: ClientMessage) -> int:
    """About what a message takes on the wire."""
    match message:
        case Submit():
            return len(message.submission)
        case Query():
            return sum(map(len, message.requests))
    return 0
