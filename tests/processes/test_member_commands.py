"""``replog member`` and ``replog join`` against real processes: what they say, and the codes that scripts decide by."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from replog import LocalCluster, local_cluster
from replog.ports import free_ports

from .load import DEADLINE_S, MACHINE

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]


async def said(cluster: LocalCluster, *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command that is given the cluster's endpoints."""
    command = [sys.executable, "-m", "replog", *words, "--endpoints", ",".join(cluster.endpoints)]
    with trio.fail_after(DEADLINE_S):
        done: subprocess.CompletedProcess[bytes] = await trio.run_process(
            command, capture_stdout=True, capture_stderr=True, check=False
        )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


async def fields(cluster: LocalCluster, *words: str) -> dict[str, Any]:
    code, out, err = await said(cluster, *words, "--json")
    assert code == 0, (out, err)
    told: dict[str, Any] = json.loads(out)
    return told


async def test_a_node_is_replaced_by_commands(tmp_path: Path) -> None:
    """Each change is tried first; a command that is given again is a success and changes nothing."""
    async with local_cluster(state_machine=MACHINE, data_dir=tmp_path) as cluster:
        listed = await fields(cluster, "member", "list")
        assert (listed["version"], listed["voters"], listed["next_node"]) == (1, ["n1", "n2", "n3"], "n4")
        assert await cluster.join() == "n4"
        assert (await fields(cluster, "member", "wait", "n4"))["node"] == "n4"
        tried = await fields(cluster, "member", "promote", "n4", "--dry-run")
        assert (tried["is_dry_run"], tried["quorum"], tried["failures_survived"]) == (True, 3, 1)
        assert (await fields(cluster, "member", "list"))["version"] == 2
        code, out, _ = await said(cluster, "member", "replace", "n3", "n4")
        assert code == 0
        assert out.splitlines() == [
            "version 3: voters n1, n2, n4 (quorum 2, 1 may be lost)",
            "n3 may be stopped and wiped.",
        ]
        assert (await fields(cluster, "member", "replace", "n3", "n4"))["version"] == 3
        code, out, _ = await said(cluster, "member", "list")
        assert code == 0
        assert [line.split()[:2] for line in out.splitlines()[2:]] == [
            ["n1", "voter"],
            ["n2", "voter"],
            ["n4", "voter"],
        ]


async def test_what_is_refused_has_its_code_and_its_sentence(tmp_path: Path) -> None:
    """4: the cluster says no; 2: the words are wrong; nothing is done either way."""
    async with local_cluster(state_machine=MACHINE, data_dir=tmp_path) as cluster:
        calls = [
            (["remove", "n3", "--if-version", "7"], 4, "version 1, not 7"),
            (["add", f"n4={cluster.endpoint('n1')}"], 4, "the address of two members"),
            (["promote", "n4"], 2, "n4 is no member"),
            (["remove", "n9"], 2, "n9 is no member"),
            (["set-address", "10.0.0.1:7101"], 2, "whose address"),
            (["add", "n4=nowhere"], 2, "no host:port"),
        ]
        for words, wanted, sentence in calls:
            patience = ["--timeout", "2"] if words[0] == "promote" else []
            code, out, err = await said(cluster, "member", *words, *patience, *(["--dry-run"] if patience else []))
            assert (code, sentence in err) == (wanted, True), (words, code, out, err)
        assert (await fields(cluster, "member", "list"))["version"] == 1


async def test_join_is_given_again_and_goes_on(tmp_path: Path) -> None:
    """It was killed after its directory was formatted: the next one makes that directory a learner."""
    async with local_cluster(state_machine=MACHINE, data_dir=tmp_path) as cluster:
        address = f"127.0.0.1:{free_ports(1)[0]}"
        words = ("join", str(tmp_path / "new"), "--address", address)
        first = await fields(cluster, *words)
        assert (first["node"], first["version"], first["address"]) == ("n4", 2, address)
        again = await fields(cluster, *words)
        assert (again["node"], again["incarnation"], again["version"]) == ("n4", first["incarnation"], 2)
        assert (await fields(cluster, "member", "list"))["incarnations"]["n4"] == first["incarnation"]
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "file").touch()
        code, _, err = await said(cluster, "join", str(tmp_path / "full"), "--address", "127.0.0.1:1")
        assert (code, "not empty" in err) == (4, True), err
        moved = f"127.0.0.1:{free_ports(1)[0]}"
        assert (await fields(cluster, "member", "set-address", f"n4={moved}"))["addresses"]["n4"] == moved
        assert (await fields(cluster, "member", "remove", "n4"))["gone"] == ["n4"]
        assert (await fields(cluster, "member", "list"))["next_node"] == "n5"
