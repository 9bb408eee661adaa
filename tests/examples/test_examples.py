"""The examples do what they say, each as a person runs it: a program of its own that ends by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))
DEADLINE_S = 60


def lines_of(example: str) -> list[str]:
    """What an example prints; it must end with 0 and complain about nothing."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REPLOG_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", f"examples/{example}.py"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.splitlines()


def test_every_example_is_tested() -> None:
    """A new example needs a test here."""
    assert EXAMPLES == ["counter", "locks", "orders_api", "script"]


def test_the_counter_counts_through_a_closed_replica_that_comes_back() -> None:
    """Totals in the order of the log, on two of three replicas too, and on the third once it has caught up."""
    lines = lines_of("counter")
    assert lines[0].startswith("5 makes 5, in slot ")
    assert lines[1:6] == [
        "1, 2 and 3 make 6, 8, 11",
        "n3 is closed; two of three are a quorum",
        "100 makes 111",
        "n3 is back and shows 111",
        "the counter is at 111",
    ]


def test_a_lock_outlives_the_leader_and_a_stale_owner_is_kept_out() -> None:
    """Fencing numbers rise with every grant, and a write under a lower one is refused."""
    assert lines_of("locks") == [
        "ann has the lock with fence 1",
        "bob is told: Busy",
        "the leader was killed; the lock is still ann's",
        "bob has the lock with fence 2: written True",
        "ann wakes up and believes the lock is hers: written False",
        "carol has the lock with fence 3",
        "the ledger says: ann was here, bob was here",
    ]


def test_the_orders_api_answers_a_repeated_request_as_the_first_time() -> None:
    """One order for two equal requests, a refusal with its reason, and a bad request that harms nobody."""
    lines = lines_of("orders_api")
    assert lines[0] == lines[1] == 'PUT /orders/o-1: 200 {"order": "o-1", "total_minor": 500, "currency": "EUR"}'
    assert lines[2].startswith("PUT /orders/o-2: 409 ")
    assert "1000 wanted, 98 on hand" in lines[2]
    assert lines[3] == 'GET /orders/o-1: 200 {"order": "o-1", "status": "placed", "units": 2}'
    assert lines[4].startswith("GET /orders/o-2: 404 ")
    assert lines[5].startswith("PUT /orders/o-3: 400 ")


def test_a_script_shares_one_client_between_its_threads() -> None:
    """Every call from every thread counts once, and what the state machine refuses changes nothing."""
    lines = lines_of("script")
    assert lines[:3] == [
        "5 more is 5 more",
        "100 calls from 8 threads gave 100 different totals",
        "100 less, and it stands at 5 more than before",
    ]
    assert lines[3].startswith("refused by the state machine on every replica alike: ")
    assert lines[4].endswith(" leads")
