"""``replog log tail``: which slots are printed, and what is said about those that are gone."""

from __future__ import annotations

import json

from .conftest import Replog
from .fake_nodes import fake_cluster


def test_the_last_slots_come_first_to_last(replog: Replog) -> None:
    """Without --from it is the end of the log, as many lines as asked for."""
    with fake_cluster(1) as (node,):
        done = replog("log", "tail", "--endpoints", node.address, "-n", "3")
    assert done.code == 0
    assert [line.split()[0] for line in done.out.splitlines()] == ["118", "119", "120"]


def test_from_a_slot_to_the_end(replog: Replog) -> None:
    """Each slot is one JSON object on one line."""
    with fake_cluster(1) as (node,):
        done = replog("log", "tail", "--endpoints", node.address, "--from", "119", "--json")
    entries = [json.loads(line) for line in done.out.splitlines()]
    assert [(entry["schema"], entry["slot"], entry["kind"]) for entry in entries] == [
        (1, 119, "no-op"),
        (1, 120, "no-op"),
    ]


def test_an_empty_log_has_no_lines(replog: Replog) -> None:
    """Nothing chosen yet is no error."""
    with fake_cluster(1) as (node,):
        node.status = {"chosen_through": 0, "applied_through": 0}
        done = replog("log", "tail", "--endpoints", node.address)
    assert (done.code, done.out) == (0, "")


def test_slots_that_are_gone_are_refused_with_where_the_log_begins(replog: Replog) -> None:
    """Whoever asks for a compacted slot learns the first one there is."""
    with fake_cluster(1) as (node,):
        node.status = {"compacted_through": 100}
        done = replog("log", "tail", "--endpoints", node.address, "--from", "7")
        assert len(replog("log", "tail", "--endpoints", node.address, "-n", "50").out.splitlines()) == 20
    assert done.code == 4
    assert "slot 7 is compacted away on every node; the log begins at slot 101." in done.err


def test_nobody_to_ask_is_said_with_the_next_step(replog: Replog) -> None:
    """No node, no log: code 3."""
    with fake_cluster(1) as (node,):
        address = node.address
    done = replog("log", "tail", "--endpoints", address)
    assert done.code == 3
    assert "next:  nobody answered" in done.err


def test_a_slot_below_one_is_no_slot(replog: Replog) -> None:
    """Slots count from 1."""
    assert replog("log", "tail", "--from", "0").code == 2
