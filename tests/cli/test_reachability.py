"""Who hears whom, and what may fail: by hand for small clusters, by trying everything for random ones."""

from __future__ import annotations

import random
from itertools import chain, combinations

import pytest

from replog.cli import reachability
from replog.cli.reachability import Reach, gaps


def nodes(count: int) -> list[str]:
    return [f"n{number}" for number in range(1, count + 1)]


def reach(count: int, *missing: tuple[int, int], voters: int = 0) -> Reach:
    links: dict[str, dict[str, str]] = {}
    for first, second in missing:
        links.setdefault(f"n{first}", {})[f"n{second}"] = "timed out"
    return Reach(nodes(count), gaps(nodes(count), links), (voters or count) // 2 + 1)


@pytest.mark.parametrize(
    ("network", "survived"),
    [
        (reach(1), 0),
        (reach(2), 0),
        (reach(3), 1),
        (reach(5), 2),
        (reach(2, voters=3), 0),
        (reach(1, voters=3), -1),
        (reach(0, voters=3), -1),
        (reach(3, (1, 2)), 0),
        (reach(3, (1, 2), (1, 3)), 0),
        (reach(3, (1, 2), (1, 3), (2, 3)), -1),
        (reach(5, (1, 2)), 2),
        (reach(5, (1, 2), (3, 4)), 2),
        (reach(5, (1, 5), (2, 5), (3, 5), (4, 5)), 1),
        (reach(4, (1, 2), (3, 4), voters=5), 1),
        (reach(5, (1, 2), (2, 3), (3, 4), (4, 5), (5, 1)), 1),
    ],
)
def test_how_many_failures_are_survived(network: Reach, survived: int) -> None:
    """A leader must hear a quorum itself; a quorum that is up and does not hear itself is none."""
    assert network.survives() == survived


def test_a_link_is_lost_where_either_end_says_so() -> None:
    """Who does not hear the other is named with the reason; who said nothing is taken to hear."""
    both, one = gaps(
        nodes(3), {"n1": {"n2": "timed out", "n3": ""}, "n2": {"n1": "refused", "n3": ""}, "n3": {"n1": "x"}}
    )
    assert str(both) == "n1 and n2 do not hear each other"
    assert both.deaf == {"n1": "timed out", "n2": "refused"}
    assert str(one) == "n3 does not hear n1"
    assert not gaps(nodes(3), {})


@pytest.mark.parametrize("seed", range(200))
def test_the_count_is_what_trying_every_failure_finds(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """On random networks; the bound for large clusters is never above it."""
    draw = random.Random(seed)
    count = draw.randint(1, 7)
    pairs = list(combinations(range(1, count + 1), 2))
    network = reach(count, *draw.sample(pairs, draw.randint(0, len(pairs))), voters=draw.randint(count, count + 1))

    def works_without(lost: tuple[str, ...]) -> bool:
        left = set(network.voters) - set(lost)
        return any(sum(network.is_linked(node, other) for other in left) >= network.quorum for node in left)

    fatal = [
        lost for size in range(count + 1) for lost in combinations(network.voters, size) if not works_without(lost)
    ]
    assert network.survives() == min(map(len, fatal)) - 1
    monkeypatch.setattr(reachability, "EXACT_VOTERS_MAX", 0)
    assert network.survives() <= min(map(len, fatal)) - 1


def test_a_report_of_very_many_voters_is_judged_at_once() -> None:
    """Whoever answers may name as many as it likes."""
    missing = list(chain(combinations(range(1, 6), 2)))
    assert reach(101).survives() == 50
    assert reach(101, *missing).survives() == 50
