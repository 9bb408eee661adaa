"""Somebody removes a node's damaged state, as its message says: the node fills it again."""

from __future__ import annotations

from pathlib import Path

import pytest

from .stage import MemoryState, eventually, stage


@pytest.mark.parametrize("tail_slots", [2, 1000])
async def test_a_node_whose_state_was_removed_fills_it_again(tmp_path: Path, tail_slots: int) -> None:
    """From its own log where that begins at slot 1, and otherwise from the state of another node."""
    async with stage(tmp_path, node={"log_tail_slots": tail_slots}) as cluster, cluster.client() as client:
        for number in range(30):
            await client.submit(b"line %d" % number)
        (member, _other) = await cluster.followers()
        through = member.node.applied_through
        await eventually(lambda: member.state.durable_through >= through)
        if tail_slots < 30:
            await eventually(lambda: member.log.compacted_through > 10)
        await member.stop()
        member.state = MemoryState()
        await member.start()
        await client.submit(b"one more")
        await cluster.settled()
        assert member.node.applied_through > through
        assert (
            member.node.driver.jobs.chunks_stored > 0 if tail_slots < 30 else member.node.driver.jobs.chunks_stored == 0
        )
