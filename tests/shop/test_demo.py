"""``shop demo`` is a check: right only if every replica shows every cent, and able to be wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import attrs
import pytest

from shop_sm.cdnow import KnownTotals, read_purchases, sample_file, totals_of
from shop_sm.cli.demo import Outcome, Shown

KNOWN = KnownTotals(orders=6_919, customers=2_357, units=16_479, revenue_minor=24_409_194)
DEADLINE_S = 120


def shown(node: str, *, slot: int = 40, digest: str = "a1", totals: KnownTotals = KNOWN) -> Shown:
    return Shown(node, slot, digest, totals)


ONE, TWO, THREE = (shown(node) for node in ("n1", "n2", "n3"))


def outcome_of(*replicas: Shown) -> Outcome:
    return Outcome(KNOWN, list(replicas), [120.0], orders_per_s=5_000.4, seconds=1.5)


@pytest.mark.processes
@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("kills", [0, 1, 5])
def test_the_demonstration_ends_with_the_known_sums_on_every_replica(kills: int) -> None:
    """Three processes, leaders killed under load, and exactly the sample's orders, customers, units and cents on each.

    Every kill is felt: with five the load would be over before the second if it did not wait for the first one's end.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REPLOG_")}
    done = subprocess.run(
        [sys.executable, "-m", "shop_sm", "demo", "--json", "--kills", str(kills)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    fields = json.loads(done.stdout)
    assert fields["ok"] is True
    assert (fields["orders"], fields["customers"], fields["units"]) == (6_919, 2_357, 16_479)
    assert fields["revenue_minor"] == 24_409_194
    assert sorted(fields["digests"]) == ["n1", "n2", "n3"]
    assert len(set(fields["digests"].values())) == 1
    assert fields["leader_kills"] == len(fields["gaps_ms"]) == kills
    assert all(gap_ms > 0 for gap_ms in fields["gaps_ms"])
    assert fields["failover_ms"] == max(fields["gaps_ms"], default=None)
    assert fields["orders_per_s"] > 0


def test_the_known_sums_are_the_samples() -> None:
    """The file that is carried sums to what its source says."""
    with sample_file() as path:
        assert totals_of(read_purchases(path)) == KNOWN


def test_an_outcome_is_right_if_all_replicas_show_what_is_known() -> None:
    """Same slot, same digest, same sums, three times."""
    outcome = outcome_of(ONE, TWO, THREE)
    assert outcome.is_right
    assert outcome.fields()["ok"] is True
    assert outcome.fields()["digests"] == {"n1": "a1", "n2": "a1", "n3": "a1"}


@pytest.mark.parametrize(
    "replicas",
    [
        (ONE, TWO, shown("n3", digest="b2")),
        (ONE, TWO, shown("n3", slot=41)),
        (ONE, TWO, shown("n3", totals=attrs.evolve(KNOWN, revenue_minor=KNOWN.revenue_minor - 1))),
        (ONE, TWO, shown("n3", totals=attrs.evolve(KNOWN, orders=KNOWN.orders + 1))),
        (ONE, TWO),
        (),
    ],
    ids=["another digest", "another slot", "a cent short", "an order twice", "a replica missing", "none"],
)
def test_an_outcome_with_anything_amiss_is_wrong(
    replicas: tuple[Shown, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """One replica that differs in anything is enough, and both outputs say so."""
    outcome = outcome_of(*replicas)
    assert not outcome.is_right
    assert outcome.fields()["ok"] is False
    outcome.show()
    assert "wrong: " in capsys.readouterr().out


def test_the_worst_replica_is_the_one_reported() -> None:
    """No number in the JSON object is better than that of the replica that shows least."""
    short = attrs.evolve(KNOWN, orders=1, revenue_minor=5)
    fields = outcome_of(ONE, shown("n2", totals=short), THREE).fields()
    assert (fields["orders"], fields["revenue_minor"]) == (1, 5)


def test_all_wrong_alike_is_still_wrong() -> None:
    """Three replicas that agree on the wrong sums lost the same order."""
    short = attrs.evolve(KNOWN, orders=KNOWN.orders - 1)
    assert not outcome_of(*(shown(node, totals=short) for node in ("n1", "n2", "n3"))).is_right
