"""Answers reads by the state machine: whatever its ``query`` does wrong is an answer, and never the node's end."""

from __future__ import annotations

from typing import Protocol

import trio

from ..errors import StorageError, error_text

ANSWER_BYTES_MAX = 32 * 2**20


class Queried(Protocol):
    """What is asked: an ``Applier``."""

    @property
    def failure(self) -> StorageError | None: ...

    def query(self, request: bytes) -> bytes: ...


def checked(answer: bytes) -> bytes:
    """What ``query`` returned. Raises ``TypeError`` or ``ValueError`` if it is no answer."""
    if type(answer) is not bytes:
        raise TypeError(f"query must return bytes, not {type(answer).__name__}")
    if len(answer) > ANSWER_BYTES_MAX:
        raise ValueError(f"an answer has at most {ANSWER_BYTES_MAX:,} bytes, not {len(answer):,}")
    return answer


@trio.lowlevel.enable_ki_protection
def answer_query(state: Queried, request: bytes) -> tuple[bytes, bool]:
    """The answer to a read, and whether the query failed; then the answer is the error's text.

    ``query`` is not ours: it may raise anything at all. An interrupt from the keyboard waits meanwhile, so what looks
    like one is a failure of the query too.

    Raises ``StorageError`` if the state itself could not be read, also if ``query`` kept that to itself: an answer from
    such a state would be wrong.
    """
    try:
        answer, is_failed = checked(state.query(request)), False
    except BaseException as error:
        answer, is_failed = error_text(error), True
    if state.failure is not None:
        raise state.failure
    return answer, is_failed
