"""What is logged of links: strangers can't flood the log, and can't switch off what is told of others."""

from __future__ import annotations

from typing import Any

from replog.node.link_notes import HOSTS_MAX, INTERVAL_S, LinkNotes
from replog.paxos.ballot import NodeId


class Lines:
    """An ``EventLog`` that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def info(self, event: str, **facts: Any) -> None:
        self.told.append({"event": event, **facts})

    warning = info


class Notes:
    """Notes on a clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.lines = Lines()
        self.notes = LinkNotes(self.lines, lambda: self.now_s)


def test_a_host_is_told_once_a_minute_however_many_ports_it_has() -> None:
    """The rest is counted, and told with the next line, whatever that is about."""
    one = Notes()
    for port in range(10_000):
        one.notes.of_stranger("greeting" if port % 2 else "dropped", f"10.0.0.9:{port}", f"reason {port}")
    assert len(one.lines.told) == 1
    one.now_s += INTERVAL_S
    one.notes.of_stranger("greeting", "10.0.0.9:1", "again")
    assert one.lines.told[1:] == [{"event": "link_greeting", "other": "10.0.0.9:1", "reason": "again", "more": 9_999}]
    assert one.notes.counts == {"greeting": 5_001, "dropped": 5_000}


def test_many_hosts_share_one_line_and_hide_no_host_that_is_known() -> None:
    """What they grow is bounded, and the next minute begins with an empty table."""
    one = Notes()
    one.notes.of_stranger("greeting", "[fe80::1]:7", "first")
    for number in range(3 * HOSTS_MAX):
        one.notes.of_stranger("greeting", f"[2001:db8::{number:x}]:7", "probe")
    assert len(one.lines.told) == HOSTS_MAX + 1
    assert len(one.notes._hosts) == HOSTS_MAX + 1
    one.now_s += INTERVAL_S
    one.notes.of_stranger("greeting", "[fe80::1]:8", "second")
    assert one.lines.told[-1]["reason"] == "second"
    one.notes.of_stranger("greeting", "10.0.0.1:8", "another")
    assert len(one.notes._hosts) == 2


def test_strangers_hide_nothing_of_a_peer() -> None:
    """A refused peer is told of after any flood, where it was dialled and where it knocked."""
    one = Notes()
    for port in range(2_000):
        one.notes.of_stranger("greeting", f"10.0.0.2:{port}", "closed")
    before = len(one.lines.told)
    one.notes.of_peer("refused", NodeId(2), "another incarnation", is_warning=True)
    one.notes.of_stranger("refused", "10.0.0.2:9", "another incarnation", claims="n2")
    assert [line["other"] for line in one.lines.told[before:]] == ["n2", "10.0.0.2:9"]


def test_a_peers_reasons_are_each_told_once_a_minute() -> None:
    """A peer that is down for an hour takes an hour's lines, with how often it was tried."""
    one = Notes()
    for _ in range(120):
        one.notes.of_peer("dial", NodeId(2), "connection refused")
        one.notes.of_peer("dial", NodeId(2), "timed out")
        one.now_s += 1.0
    told = [(line["reason"], line.get("more", 0)) for line in one.lines.told]
    assert told == [("connection refused", 0), ("timed out", 0), ("connection refused", 59), ("timed out", 59)]


def test_a_stranger_that_claims_to_be_a_member_in_ever_other_ways_is_told_once_a_minute() -> None:
    """Its reasons are its own words."""
    one = Notes()
    for number in range(1_000):
        one.notes.of_stranger("refused", f"10.0.0.9:{number}", f"incarnation {number}", claims="n2")
    assert len(one.lines.told) == 1


def test_events_of_the_driver_pass_unless_a_client_is_behind_them() -> None:
    """What a client can cause over and over is rare as well."""
    one = Notes()
    for number in range(50):
        one.notes.warning("client_dropped", other=f"10.0.0.9:{number}", reason="x")
        one.notes.info("leader_changed", leader="n1")
    assert [line["event"] for line in one.lines.told].count("client_dropped") == 1
    assert [line["event"] for line in one.lines.told].count("leader_changed") == 50
