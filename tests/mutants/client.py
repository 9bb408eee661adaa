"""Known mistakes of a client, each to be caught by the client's tests without sockets."""

from __future__ import annotations

from .planting import Change, Mutant

TESTS = (
    "tests/client/test_client_session.py",
    "tests/client/test_exactly_once.py",
    "tests/client/test_connection.py",
)
SESSION = "client/session.py"
PENDING = "client/pending.py"


def _mutant(name: str, path: str, old: str, new: str) -> Mutant:
    return Mutant(name, 0, (Change(path, old, new),), tests=TESTS)


MUTANTS = (
    _mutant(
        "a client moves what may have run when its session is gone",
        SESSION,
        "if self._pending.is_whole_and_certain(call):",
        "if True:",
    ),
    _mutant(
        "what a deposed leader was sent is certain",
        SESSION,
        "        self._pending.doubt_all()\n",
        "        if self.is_accepting is None:\n            self._pending.doubt_all()\n",
    ),
    _mutant("what was sent elsewhere moves when it is refused", SESSION, "doubtful.isdisjoint(refused)", "calls"),
    _mutant(
        "a refusal of what is settled moves what was sent behind it",
        SESSION,
        "is_gap_behind = refused[0] == message.first_sequence",
        "is_gap_behind = True",
    ),
    _mutant("a call of which a part was taken moves", SESSION, "if call.first_sequence < refused[0] or", "if"),
    _mutant(
        "a refused number is given again",
        SESSION,
        "        self._pending.take_back(refused)\n        self._is_rolling_over = True\n",
        "        self._pending.take_back(refused)\n        self._pending.next_sequence = refused[0]\n",
    ),
    _mutant(
        "a node that refuses reads because it does not lead counts as of use",
        "client/connection.py",
        "if type(message) is not QueryRefused or message.code != Refusal.NOT_LEADER.value:",
        "if message:",
    ),
    _mutant("pauses do not grow", "client/backoff.py", "min(2 * pause_s, self._max_s)", "pause_s"),
    _mutant("what is refused goes again whole", SESSION, "            self._retry.begin_probing()\n", ""),
    _mutant(
        "what nobody waits for is sent for ever",
        SESSION,
        "if retry.is_probing and not any(",
        "if False and not any(",
    ),
    _mutant("what was held back is forgotten", SESSION, "if self._is_held_back and self._pending.calls:", "if False:"),
    _mutant(
        "unanswered replies are acknowledged",
        PENDING,
        "return next(iter(self.calls), self.next_sequence)",
        "return self.next_sequence",
    ),
    _mutant(
        "a node that names itself is asked at once",
        "client/retry.py",
        "        if self._has_hurried:\n",
        "        if False:\n",
    ),
    _mutant("a caller is woken again by a late reply", SESSION, "            call.left = 0\n", ""),
    _mutant("a hole in the numbers is closed", PENDING, "if sequence != first + len(run):", "if not run:"),
    _mutant(
        "redirects are followed at once for ever",
        "client/connection.py",
        " and self._redirects <= self._options.redirects_max:",
        ":",
    ),
    _mutant(
        "a node that knows no leader is never left",
        "client/connection.py",
        "if self.state is not State.LEADERLESS:\n",
        "if True:\n",
    ),
)
