"""What the simulator found in the sessions, as small as it gets."""

from __future__ import annotations

from replog.apply.sessions import SessionOptions, Sessions
from replog.paxos.ballot import Slot


def test_sessions_come_back_in_the_order_they_were_applied() -> None:
    """Repeats take no place of their own: two sessions touched at one place keep their order over a restart."""
    options = SessionOptions(sessions_max=2)
    before = Sessions(options, ())
    older = before.open(b"first", Slot(1), 0, 0)
    newer = before.open(b"second", Slot(1), 1, 0)
    before.touch(newer, Slot(2), 0)
    before.touch(older, Slot(2), 0)
    stored = [(number, data) for number, data in before.take_changes() if data is not None]
    after = Sessions(options, stored)
    for sessions in (before, after):
        sessions.open(b"third", Slot(3), 0, 0)
    assert (before.find(newer.number, b"second"), after.find(newer.number, b"second")) == (None, None)
    assert after.find(older.number, b"first") is not None
