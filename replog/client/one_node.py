"""Asking one given node, over a connection of its own: what looks after a cluster must not be sent on to the leader."""

from __future__ import annotations

from ..errors import OutcomeUnknown, Refused, Unavailable
from ..wire.asking import Answer as NodeAnswer
from ..wire.asking import Reply, ask
from ..wire.client_messages import (
    NotLeader,
    Query,
    QueryAnswers,
    Status,
    StatusRequest,
    TransferAnswer,
    TransferRequest,
)
from ..wire.codec import FrameError
from ..wire.status import NodeStatus, decode_status
from .door import address_checked, node_number, payload_checked, timeout_checked
from .reads import Answer, query_failed

TIMEOUT_S = 2.0


async def ask_status(address: str, *, timeout: float = TIMEOUT_S) -> NodeStatus:  # noqa: ASYNC109
    """What one node says of itself.

    Parameters
    ----------
    address: its ``host:port``.
    timeout: seconds, from connecting to the answer.

    Raises
    ------
    Unavailable: it did not answer in time, refused, or said what can't be read; the message says why.
    ValueError: ``address`` is no ``host:port``, or ``timeout`` no time.
    """
    answer = await ask(
        address_checked(address, "address"), StatusRequest(1), Status, timeout_s=timeout_checked(timeout)
    )
    try:
        return decode_status(_reply(answer).report)
    except FrameError as error:
        raise Unavailable(f"{address}: {error}") from error


async def ask_query(address: str, request: bytes, *, timeout: float = TIMEOUT_S) -> Answer:  # noqa: ASYNC109
    """A stale read by one node: answered from what it has applied, however far behind that is.

    Parameters
    ----------
    address: its ``host:port``.
    request: opaque to everything but the state machine.
    timeout: seconds, from connecting to the answer.

    Raises
    ------
    Unavailable: it did not answer in time, or refused; the message says why.
    CommandFailed: the state machine's ``query`` raised.
    TypeError: ``request`` is not bytes.
    ValueError: ``address`` is no ``host:port``, or ``timeout`` no time.
    """
    question = Query(1, True, [payload_checked(request, "request")])
    reply = _reply(
        await ask(address_checked(address, "address"), question, QueryAnswers, timeout_s=timeout_checked(timeout))
    )
    if reply.failed:
        raise query_failed(reply.answers[0])
    return Answer(reply.answers[0], reply.applied_through)


async def ask_transfer(address: str, target: str = "", *, timeout: float = 5.0) -> None:  # noqa: ASYNC109
    """Ask one node to hand leadership over, and wait until it does.

    Parameters
    ----------
    address: its ``host:port``.
    target: a node's name, ``n2``; empty: whoever is most up to date.
    timeout: seconds, from connecting to the answer.

    Raises
    ------
    Refused: it does not lead, or says no, and why.
    OutcomeUnknown: it was asked, and did not answer in time: it may hand over, now or later.
    Unavailable: it could not be asked, so it hands nothing over; the message says why.
    ValueError: ``target`` is no node's name, ``address`` no ``host:port``, or ``timeout`` no time.
    """
    question = TransferRequest(1, node_number(target))
    answer: NodeAnswer[TransferAnswer | NotLeader]
    answer = await ask(
        address_checked(address, "address"), question, TransferAnswer, NotLeader, timeout_s=timeout_checked(timeout)
    )
    if answer.reply is None and answer.welcome is not None and not answer.welcome.refusal:
        raise OutcomeUnknown(f"{address} was asked to hand over: {answer.problem}.")
    match _reply(answer):
        case NotLeader(leader=leader):
            raise Refused(f"{address} does not lead{f'; n{leader} does' if leader else ''}.")
        case TransferAnswer(is_accepted=False, reason=reason):
            raise Refused(f"leadership was not handed over: {reason}")


def _reply(answer: NodeAnswer[Reply]) -> Reply:
    if answer.reply is None:
        raise Unavailable(f"{answer.address} can't be asked: {answer.problem}.")
    return answer.reply
