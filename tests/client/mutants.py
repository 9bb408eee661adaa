"""Known mistakes of a client, each planted in a copy of the package and each to be caught by the tests without sockets.

    python -m tests.client.mutants          every mutant, as a list
    python -m tests.client.mutants WORD     those whose name holds it

``tests.mutants`` judges the core by the simulator and the stories; these are judged by the tests of this folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.mutants.__main__ import plant
from tests.mutants.catalogue import Change, Mutant

TESTS = (
    "tests/client/test_client_session.py",
    "tests/client/test_exactly_once.py",
    "tests/client/test_connection.py",
)
SESSION = "client/session.py"
PENDING = "client/pending.py"


def _mutant(name: str, path: str, old: str, new: str) -> Mutant:
    return Mutant(name, 0, (Change(path, old, new),))


MUTANTS = (
    _mutant(
        "what may have run moves to a new session when the old one is gone",
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


def what_catches(mutant: Mutant) -> str:
    """The first test that fails with the mutant, or nothing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plant(mutant, folder)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *TESTS],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode == 0:
        return ""
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    if not failed:
        raise RuntimeError(f"the tests did not run: {done.stdout}{done.stderr}")
    return failed[0].split("::")[-1].split(" - ")[0]


def main() -> int:
    chosen = [mutant for mutant in MUTANTS if not sys.argv[1:] or any(word in mutant.name for word in sys.argv[1:])]
    missed = 0
    for mutant in chosen:
        caught_by = what_catches(mutant)
        missed += not caught_by
        print(f"{mutant.name:66} {caught_by or 'NOT CAUGHT'}", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} mutants caught")
    return 1 if missed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
