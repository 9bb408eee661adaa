"""A client of the log, for trio and asyncio programs: many callers, one session, one connection.

It finds the leader from any endpoint and follows it when it changes. What is sent again after a failure goes under its
old numbers (``session``), so it runs once. Every call has a deadline, and its error says what the caller may do
(``errors``). Here are the methods and what they check at the door; the work is done by ``traffic``.
"""

from __future__ import annotations

import os
import random as random_module
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Literal, TypeVar

import anyio

from ..errors import CommandTooLarge, Refused, Unavailable
from ..wire.client_messages import ChangeMembersAnswer, LogEntry, Status, StatusRequest, TransferAnswer, TransferRequest
from ..wire.status import NodeStatus, decode_status
from .backoff import Backoff
from .call import Receipt
from .door import name_checked, node_number, payload_checked, size_checked, slot_checked, timeout_checked
from .endpoints import Endpoints
from .follow import Follower
from .identity import COMMAND_ENVELOPE_BYTES
from .members import MemberCalls
from .options import ClientOptions
from .reads import Answer, Asking, Question, Read
from .traffic import Traffic
from .waiting import Loop, ParkedCall, current_loop, leaves

Consistency = Literal["linearizable", "stale"]

_Reply = TypeVar("_Reply", Status, TransferAnswer, ChangeMembersAnswer)


@asynccontextmanager
async def connect(
    endpoints: Sequence[str], *, name: str = "", options: ClientOptions | None = None
) -> AsyncIterator[Client]:
    """A client of the cluster behind ``endpoints``; it connects when it is first used, and again as often as needed.

    Leaving the block ends every call that is still waiting: ``OutcomeUnknown`` if it was sent, else ``Unavailable``.
    What the block raises comes out as it is.

    Parameters
    ----------
    endpoints: ``host:port`` of some of the nodes; the others are learned from them.
    name: for the nodes' logs.
    options: deadlines, limits and pauses; every one has a default.

    Raises
    ------
    TypeError, ValueError: no endpoint is given, or one is no ``host:port``; another argument can't be meant.
    """
    client = Client(endpoints, name=name, options=options)
    loop = client._enter()
    try:
        async with loop.beside(client._run, client._leave):
            yield client
    finally:
        client._refusal = Unavailable("this client was left; nothing can be asked of it. Make another one.")
    if client._failure is not None:
        raise client._failure


class Client(MemberCalls):
    """See ``connect``, which makes it. All methods may be called by any number of tasks at once, of the event loop that
    it was made in.

    Raised by every method:

    RuntimeError: the call comes from another event loop, thread or process than the client's, which can't serve it.
    TypeError, ValueError: an argument can't be meant.
    Unavailable: the client was left.
    """

    def __init__(self, endpoints: Sequence[str], *, name: str = "", options: ClientOptions | None = None) -> None:
        if not isinstance(options, ClientOptions | None):
            raise TypeError(f"options is a replog.ClientOptions, not {type(options).__name__}")
        self._options = options or ClientOptions()
        self._random = random_module.Random()
        self._endpoints = Endpoints(endpoints, self._options, self._random)
        self._name = name_checked(name)
        self._followers: weakref.WeakSet[Follower] = weakref.WeakSet()
        self._refusal: Exception | None = RuntimeError(
            "this client does not run: write `async with replog.connect(...) as client`"
        )
        """Why nothing can be asked of it; None while it runs."""
        self._failure: BaseException | None = None
        """What went wrong inside, which is a mistake of ours."""
        self._traffic: Traffic
        self._loop: Loop

    # --- what callers do ---

    async def submit(self, payload: bytes, *, timeout: float | None = None) -> Receipt:  # noqa: ASYNC109 - one scope a call would cost more than the command
        """Order one command and wait until the state machine has run it, exactly once.

        Parameters
        ----------
        payload: opaque to everything but the state machine; at most ``command_bytes_max`` bytes.
        timeout: seconds, infinity for ever; ``options.timeout_s`` if left out.

        Raises
        ------
        Unavailable, Overloaded, StorageFull: definitely not done.
        CommandTooLarge: definitely not done, and never will be.
        OutcomeUnknown: maybe done, now or later.
        SessionExpired: maybe done; the log has forgotten this client's session.
        CommandFailed: the state machine raised; its writes were undone.
        """
        call = self._begin((payload_checked(payload, "payload"),), len(payload), timeout)
        await self._loop.park(call)
        if call.error is not None:
            raise call.error
        receipt = call.results[0]
        assert isinstance(receipt, Receipt)
        return receipt

    async def submit_many(self, payloads: Sequence[bytes], *, timeout: float | None = None) -> list[Receipt]:  # noqa: ASYNC109
        """Order commands one after the other, and wait for all of them. Other callers' may stand between them.

        Each is a command of its own: where one fails, the others run all the same. Then the first failure is raised,
        and its ``results`` has what came of every command, in order: its ``Receipt``, its ``CommandFailed``, or None.

        Parameters
        ----------
        payloads: one a command, together at most ``options.call_bytes_max`` bytes; none is no command, and nothing is
            sent.
        timeout: seconds, for all of them together; ``options.timeout_s`` if left out.

        Raises
        ------
        What ``submit`` raises.
        CommandFailed: all have run or failed.
        OutcomeUnknown, SessionExpired: those without a result may be done; with any other error they are not.
        CommandTooLarge: one of them is, or all of them together are; none is done.
        """
        try:
            commands = tuple(payloads)
        except TypeError:
            raise TypeError(f"payloads is a sequence of bytes, not {type(payloads).__name__}") from None
        for payload in commands:
            payload_checked(payload, "each of payloads")
        if not commands:
            self._check_usable()
            return []
        call = self._begin(commands, sum(map(len, commands)), timeout)
        await self._loop.park(call)
        if call.error is not None:
            call.error.results = tuple(call.results)
            raise call.error
        return [receipt for receipt in call.results if isinstance(receipt, Receipt)]

    async def query(
        self,
        request: bytes,
        *,
        consistency: Consistency = "linearizable",
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> bytes:
        """Ask the state machine.

        Parameters
        ----------
        request: opaque to everything but the state machine.
        consistency: ``linearizable`` sees everything that was acknowledged to anybody before the call; ``stale`` is
            answered at once by whatever node is connected, from what it has applied.
        timeout: seconds, infinity for ever; ``options.timeout_s`` if left out.

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
        timeout: float | None = None,  # noqa: ASYNC109
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
        self._check_usable()
        size_checked(payload_checked(request, "request"), "a query", self._command_bytes_max)
        read = Read(request, self._deadline_s(timeout), is_stale=consistency == "stale")
        self._traffic.read(read)
        await self._loop.park(read)
        if read.error is not None:
            raise read.error
        assert read.answer is not None
        return read.answer

    def follow(self, from_slot: int = 1) -> AsyncGenerator[LogEntry, None]:
        """The log itself, slot by slot, for ever; over a connection of its own, made again when it is lost.

        ``replog.decode_entry`` says what an entry holds.

        Parameters
        ----------
        from_slot: where to begin; slots count from 1.

        Raises
        ------
        TypeError, ValueError: ``from_slot`` is no slot's number.
        Refused: ``from_slot``, or a slot on the way, is compacted away everywhere it was asked for.
        Unavailable: no node could be reached for ``options.timeout_s`` seconds, or the client was left.
        """
        first = slot_checked(from_slot)
        self._check_usable()
        follower = Follower(self._endpoints, self._options, self._name, first)
        self._followers.add(follower)
        return follower.entries(self._traffic.cluster)

    async def status(self, *, timeout: float = 2.0) -> NodeStatus:  # noqa: ASYNC109
        """What the connected node says of itself.

        Parameters
        ----------
        timeout: seconds.

        Raises
        ------
        Unavailable: no node answered in time.
        """
        self._check_usable()
        answer = await self._ask(StatusRequest(self._traffic.reads.take_id()), Status, self._deadline_s(timeout))
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
        node = node_number(target)
        self._check_usable()
        deadline_s = self._deadline_s(timeout)
        backoff = Backoff(self._options.retry_first_s, self._options.retry_max_s, self._random)
        while True:
            request = TransferRequest(self._traffic.reads.take_id(), node)
            answer = await self._ask(request, TransferAnswer, deadline_s)
            if answer.is_accepted:
                return
            pause_s = backoff.next_s()
            if not answer.may_pass or anyio.current_time() + pause_s > deadline_s:
                raise Refused(f"leadership was not handed over: {answer.reason}")
            await anyio.sleep(pause_s)

    @property
    def reconnects(self) -> int:
        """How often a connection was lost, or could not be made."""
        return self._traffic.connection.reconnects

    # --- the door ---

    def _check_usable(self) -> None:
        if self._refusal is not None:
            raise type(self._refusal)(*self._refusal.args)  # a new one: one object raised often would grow for ever
        self._loop.check()

    def _deadline_s(self, timeout: float | None) -> float:
        return anyio.current_time() + (self._options.timeout_s if timeout is None else timeout_checked(timeout))

    @property
    def _command_bytes_max(self) -> int:
        return self._traffic.session.submission_bytes_max - COMMAND_ENVELOPE_BYTES

    def _begin(self, payloads: tuple[bytes, ...], together_bytes: int, timeout: float | None) -> ParkedCall:
        self._check_usable()
        now_s = self._loop.now_s()
        timeout_s = self._options.timeout_s if timeout is None else timeout_checked(timeout)
        if together_bytes > self._command_bytes_max:
            for payload in payloads:
                size_checked(payload, "a command", self._command_bytes_max)
            if together_bytes > self._options.call_bytes_max:
                raise CommandTooLarge(
                    f"{len(payloads):,} commands of {together_bytes:,} bytes are too many for one call, which takes "
                    f"{self._options.call_bytes_max:,} bytes; submit them in several calls."
                )
        call = ParkedCall(payloads, now_s + timeout_s)
        call.waiter = None
        self._traffic.begin(call, now_s)
        return call

    async def _ask(self, message: Asking, wanted: type[_Reply], deadline_s: float) -> _Reply:
        self._check_usable()
        question = Question(message, deadline_s)
        self._traffic.ask(question)
        try:
            await self._loop.park(question)
        finally:
            self._traffic.reads.forget(question)
        if question.error is not None:
            raise question.error
        assert isinstance(question.answer, wanted)
        return question.answer

    # --- its life ---

    def _enter(self) -> Loop:
        self._loop = current_loop()
        self._traffic = Traffic(self._endpoints, self._options, self._name, self._loop, self._random)
        self._refusal = None
        _running.add(self)
        return self._loop

    async def _run(self) -> None:
        try:
            await self._traffic.run()
        except Exception as error:
            self._failure = next(leaves(error))
            self._refusal = Unavailable(f"this client has failed: {self._failure!r}")
            self._traffic.end_all(f"this client has failed: {self._failure!r}")

    async def _leave(self) -> None:
        """Nothing more is taken in, and everybody who waits hears so."""
        if isinstance(self._refusal, RuntimeError):
            return  # in a process forked off, where the connection is the parent's
        self._refusal = Unavailable("this client is being left; nothing can be asked of it.")
        for follower in list(self._followers):
            follower.close()
        await self._traffic.leave()


_running: weakref.WeakSet[Client] = weakref.WeakSet()


def _forbid_in_child() -> None:
    """The event loop and the connection are the parent's."""
    for client in _running:
        client._refusal = RuntimeError(
            "this client was made before the process forked, and belongs to the parent: make one in each process"
        )


os.register_at_fork(after_in_child=_forbid_in_child)
