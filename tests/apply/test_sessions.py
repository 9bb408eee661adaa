"""Which session goes when there are too many, or too much is kept for them."""

from __future__ import annotations

from replog.apply.limits import ALL_REPLIES_KEPT_BYTES_MAX, REPLIES_KEPT_BYTES_MAX
from replog.apply.sessions import Kept, Session, SessionOptions, Sessions
from replog.paxos.ballot import Slot


def used(sessions: Sessions, name: bytes, slot: int) -> Session:
    """A session that has run a command."""
    session = sessions.open(name, Slot(slot), 0, 0)
    session.keep(Kept(1, Slot(slot), 0, [b"reply"], [], 5))
    sessions.touch(session, Slot(slot), 0)
    return session


def restored(sessions: Sessions, options: SessionOptions) -> Sessions:
    """What a replica has that starts from the stored table."""
    return Sessions(options, [(number, data) for number, data in sessions.take_changes() if data is not None])


def test_those_that_never_ran_a_command_go_first() -> None:
    """However many somebody opens: on a replica that lived through it as on one that was started in between."""
    options = SessionOptions(sessions_max=3)
    lived = Sessions(options, ())
    older = used(lived, b"older", 1)
    newer = used(lived, b"newer", 2)
    stranger = lived.open(b"stranger", Slot(3), 0, 0)
    started = restored(lived, options)
    for sessions in (lived, started):
        last = None
        for slot in range(4, 50):
            last = sessions.open(b"flood %d" % slot, Slot(slot), 0, 0)
        assert len(sessions) == 3
        assert sessions.find(older.number, b"older") is not None
        assert sessions.find(newer.number, b"newer") is not None
        assert sessions.find(stranger.number, b"stranger") is None
        assert last is not None
        assert sessions.find(last.number, last.key) is last


def test_where_all_have_run_something_the_least_recent_goes() -> None:
    """Whoever comes anew finds a place, and keeps it until it has run its first command."""
    options = SessionOptions(sessions_max=2)
    sessions = Sessions(options, ())
    older = used(sessions, b"older", 1)
    newer = used(sessions, b"newer", 2)
    newest = sessions.open(b"newest", Slot(3), 0, 0)
    assert sessions.find(older.number, b"older") is None
    assert sessions.find(newer.number, b"newer") is newer
    assert sessions.find(newest.number, b"newest") is newest


def test_of_those_that_ran_nothing_the_least_recently_opened_goes() -> None:
    """A retry of an opening counts; the order is the same after a restart."""
    options = SessionOptions(sessions_max=2)
    lived = Sessions(options, ())
    first = lived.open(b"first", Slot(1), 0, 0)
    second = lived.open(b"second", Slot(2), 0, 0)
    lived.open(b"first", Slot(3), 0, 0)
    started = restored(lived, options)
    for sessions in (lived, started):
        sessions.open(b"third", Slot(4), 0, 0)
        assert sessions.find(second.number, b"second") is None
        assert sessions.find(first.number, b"first") is not None


def keeping(sessions: Sessions, name: bytes, slot: int, weight_bytes: int) -> Session:
    """A session that keeps replies of this weight."""
    session = sessions.open(name, Slot(slot), 0, 0)
    session.keep(Kept(1, Slot(slot), 0, [b""], [], weight_bytes))
    sessions.touch(session, Slot(slot), 0)
    return session


def test_where_all_keep_too_much_those_that_keep_most_go() -> None:
    """On a replica that lived through it as on one that was started in between; who keeps little stays, however old."""
    options = SessionOptions()
    lived = Sessions(options, ())
    small = [keeping(lived, b"small %d" % slot, slot, 1_000).number for slot in range(1, 100)]
    count = ALL_REPLIES_KEPT_BYTES_MAX // REPLIES_KEPT_BYTES_MAX
    large = [keeping(lived, b"large %d" % slot, slot, REPLIES_KEPT_BYTES_MAX).number for slot in range(100, 99 + count)]
    started = restored(lived, options)
    for sessions in (lived, started):
        last = keeping(sessions, b"last", 1_000, REPLIES_KEPT_BYTES_MAX)
        left = [number for number in large if number in sessions._open]
        assert left == large[count // 8 + 1 :]
        assert last.number in sessions._open
        assert all(number in sessions._open for number in small)
        assert sessions._kept_bytes == sum(session.kept_bytes for session in sessions._open.values())
        assert sessions._kept_bytes <= ALL_REPLIES_KEPT_BYTES_MAX * 7 // 8
    assert list(lived._open) == list(started._open)


def test_what_is_acknowledged_or_closed_is_kept_no_more() -> None:
    """The sum follows every session, so whoever takes his answers never drives anybody out."""
    sessions = Sessions(SessionOptions(), ())
    other = keeping(sessions, b"other", 1, REPLIES_KEPT_BYTES_MAX)
    for slot in range(2, 6 * ALL_REPLIES_KEPT_BYTES_MAX // REPLIES_KEPT_BYTES_MAX, 2):
        session = sessions.open(b"busy", Slot(slot), 0, 0)
        session.forget_below(session.last_sequence + 1)
        session.keep(Kept(session.last_sequence + 1, Slot(slot), 0, [b""], [], REPLIES_KEPT_BYTES_MAX))
        sessions.touch(session, Slot(slot), 0)
        gone = keeping(sessions, b"gone", slot + 1, REPLIES_KEPT_BYTES_MAX)
        sessions.close(gone.number)
    assert sessions.find(other.number, b"other") is other
    assert len(sessions) == 2
    session.forget_below(session.last_sequence + 1)
    sessions.touch(session, Slot(10_000), 0)
    assert sessions._kept_bytes == REPLIES_KEPT_BYTES_MAX
    sessions.close(session.number)
    sessions.close(other.number)
    assert sessions._kept_bytes == 0
