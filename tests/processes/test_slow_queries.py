"""Queries of real replicas that take longer than a client bears silence, as it is at first."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

import replog
from replog.client import Consistency

from .load import DEADLINE_S

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]


@pytest.mark.parametrize("consistency", get_args(Consistency))
async def test_a_query_that_takes_longer_than_silence_is_borne_is_answered(
    tmp_path: Path, consistency: Consistency
) -> None:
    """The client takes the node for hung, meets it again, and waits for longer; others are answered afterwards."""
    slow = b"%f" % (2 * replog.ClientOptions().hung_after_s)
    async with (
        replog.local_cluster(state_machine="tests.processes.slow_machine:Slow", data_dir=tmp_path) as cluster,
        cluster.client() as client,
    ):
        for _ in range(2):
            assert await client.query(slow, consistency=consistency, timeout=DEADLINE_S) == slow
        assert (await client.submit(b"next", timeout=DEADLINE_S)).reply == b"next"
        assert await client.query(b"0", timeout=DEADLINE_S) == b"0"
