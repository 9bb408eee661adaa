"""What a node says of itself, on the wire."""

from __future__ import annotations

import json

import pytest

from replog.wire.codec import FrameError
from replog.wire.status import NodeStatus, decode_status, encode_status


def test_a_report_comes_back_as_it_was() -> None:
    """Every kind of field survives the wire."""
    status = NodeStatus(
        node="n1",
        cluster_id="aa" * 16,
        role="leader",
        chosen_through=2**40,
        is_voting=False,
        sync_p99_ms=1.5,
        members={"n1": "10.0.0.1:7101"},
        voters=["n1"],
        counters={"turns": 3},
    )
    assert decode_status(encode_status(status)) == status


def test_another_release_is_understood() -> None:
    """Keys that are not known are ignored, those that are missing take their defaults."""
    report = json.dumps({"node": "n2", "cluster_id": "aa", "mood": "calm"}).encode()
    assert decode_status(report) == NodeStatus(node="n2", cluster_id="aa")


@pytest.mark.parametrize("report", [b"", b"[]", b"{}", b"\xff", b'{"node": "n1", "cluster_id": "a", "members": 3}'])
def test_what_is_no_report_is_said_to_be_none(report: bytes) -> None:
    """A peer's nonsense is an error with a name, not a crash."""
    with pytest.raises(FrameError, match="report"):
        decode_status(report)
