"""``replog status`` as a person and as a script see it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from .conftest import Replog
from .fake_nodes import fake_cluster


def test_the_json_of_a_cluster(replog: Replog) -> None:
    """A script finds the verdict, the leader and each node's position under the promised names."""
    with fake_cluster(3) as nodes:
        done = replog("status", "--endpoints", nodes[2].address, "--json")
    fields = done.fields
    assert done.code == 0
    assert (fields["schema"], fields["verdict"], fields["leader"]) == (1, "healthy", "n1")
    first = fields["members"][0]
    assert fields["cluster_id"] == first["cluster_id"]
    wanted = {"node", "address", "up", "role", "ballot", "chosen_through", "applied_through", "digest", "lag_slots"}
    assert wanted <= set(first)
    assert (first["node"], first["role"], first["chosen_through"]) == ("n1", "leader", 120)


def test_the_text_of_a_degraded_cluster(replog: Replog) -> None:
    """Verdict first, a row a node, the next step last; writes work, so the code is 0."""
    with fake_cluster(3) as nodes:
        nodes[2].mood = "hangs_up"
        done = replog("status", "--endpoints", nodes[0].address)
    lines = done.out.splitlines()
    assert done.code == 0
    assert "DEGRADED: 2 of 3 voters up, n1 leads, writes OK" in lines[0]
    assert [line.split()[0] for line in lines[2:5]] == ["n1", "n2", "n3"]
    assert lines[5].startswith("next: check n3 (closed the connection)")


def test_a_cluster_that_takes_no_writes_ends_with_three(replog: Replog) -> None:
    """A script decides by the code: no quorum, and nobody at all."""
    with fake_cluster(3) as nodes:
        addresses = ",".join(node.address for node in nodes)
        nodes[1].mood = nodes[2].mood = "hangs_up"
        assert replog("status", "--endpoints", addresses).code == 3
    done = replog("status", "--endpoints", addresses)
    assert done.code == 3
    assert "NO QUORUM: 0 of 3 voters up" in done.out


def test_the_endpoints_come_from_the_environment_too(replog: Replog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable set once serves all commands."""
    with fake_cluster(1) as (node,):
        monkeypatch.setenv("REPLOG_ENDPOINTS", node.address)
        assert replog("status", "--json").fields["members"][0]["address"] == node.address


def test_watching_goes_on_until_it_is_interrupted() -> None:
    """One object a line, each a new look; Ctrl-C is how it is meant to end, so the code is the last verdict's."""
    with fake_cluster(3) as nodes:
        words = ["status", "--watch", "--interval", "0.01", "--json", "--endpoints", nodes[0].address]
        with subprocess.Popen(
            [sys.executable, "-m", "replog", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as watching:
            assert watching.stdout is not None
            assert watching.stderr is not None
            assert json.loads(watching.stdout.readline())["verdict"] == "healthy"
            nodes[1].mood = nodes[2].mood = "hangs_up"
            while json.loads(watching.stdout.readline())["verdict"] != "no_quorum":
                pass
            watching.send_signal(signal.SIGINT)
            watching.stdout.read()
            assert watching.stderr.read() == ""
            assert watching.wait(timeout=20) == 3
