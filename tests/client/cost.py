"""What a client's session costs a command, without sockets. Run by hand: ``python -m tests.client.cost``."""

from __future__ import annotations

import time
from math import inf

from replog.apply.outcomes import Replies, SessionOpened
from replog.apply.submissions import OpenSession, decode_submission
from replog.client.call import Call
from replog.client.session import ClientSession
from replog.paxos.ballot import Slot

COMMANDS = 200_000
ROUNDS = 9
PAYLOAD = b"x" * 175


def opened() -> ClientSession:
    session = ClientSession(lambda _: None, lambda: bytes(16))
    session.on_connected(1)
    session.add(Call((PAYLOAD,), inf))
    (opening,) = session.take_submissions(0.0)
    submission = decode_submission(opening.submission)
    assert isinstance(submission, OpenSession)
    session.on_message(SessionOpened(submission.key, 1), 0.0)
    session.take_submissions(0.0)
    session.on_replies(Replies(1, 1, Slot(1), 0, [b"reply"]))
    return session


def cost_us(callers: int) -> float:
    """CPU time of a command when so many travel together: add, number and encode, settle."""
    session, first, replies = opened(), 2, [b"reply"] * callers
    began_s = time.process_time()
    for _ in range(COMMANDS // callers):
        for _ in range(callers):
            session.add(Call((PAYLOAD,), inf))
        session.take_submissions(0.0)
        session.on_replies(Replies(1, first, Slot(2), 0, replies))
        first += callers
    return (time.process_time() - began_s) / (COMMANDS // callers * callers) * 1e6


if __name__ == "__main__":
    for callers in (1, 256):
        rounds = sorted(cost_us(callers) for _ in range(ROUNDS))
        print(f"{callers:>4} together: {rounds[0]:.2f} us a command, median {rounds[ROUNDS // 2]:.2f}")
