"""Asking one given node, over a connection of its own: what looks after a cluster must not be sent on to the leader."""

from __future__ import annotations

from ..errors import OutcomeUnknown, Refused, Unavailable
from ..paxos.ballot import NodeId
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
from .door import node_number, payload_checked, timeout_checked
from .reads import Answer, query_failed

TIMEOUT_S = 2.0


async def ask_status(address: str, *, timeout: float = TIMEOUT_S) -> NodeStatus:  # noqa: ASYNC109
    """What the node at ``address`` says of itself.

    Raises
    ------
    Unavailable: it did not answer within ``timeout`` seconds, or what it said can't be read; the message says why.
    """
    answer = await ask(address, StatusRequest(1), Status, timeout_s=timeout_checked(timeout))
    try:
        return decode_status(_reply(answer).report)
    except FrameError as error:
        raise Unavailable(f"{address}: {error}") from error


async def ask_query(address: str, request: bytes, *, timeout: float = TIMEOUT_S) -> Answer:  # noqa: ASYNC109
    """A stale read by the node at ``address``: answered from what it has applied, however far behind that is.

    Raises
    ------
    Unavailable: it did not answer within ``timeout`` seconds.
    CommandFailed: the state machine's ``query`` raised.
    """
    question = Query(1, True, [payload_checked(request, "a request")])
    reply = _reply(await ask(address, question, QueryAnswers, timeout_s=timeout_checked(timeout)))
    if reply.failed:
        raise query_failed(reply.answers[0])
    return Answer(reply.answers[0], reply.applied_through)


async def ask_transfer(address: str, target: str = "", *, timeout: float = 5.0) -> None:  # noqa: ASYNC109
    """Ask the node at ``address`` to hand leadership over to ``target`` (``n2``; empty: to the most up to date).

    Raises
    ------
    Refused: it does not lead, or says no, and why.
    OutcomeUnknown: it was asked, and did not answer within ``timeout`` seconds.
    Unavailable: it could not be asked.
    ValueError: ``target`` is no node's name.
    """
    question = TransferRequest(1, NodeId(node_number(target)))
    answer: NodeAnswer[TransferAnswer | NotLeader]
    answer = await ask(address, question, TransferAnswer, NotLeader, timeout_s=timeout_checked(timeout))
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
