"""How many calls of a client leave together."""

from __future__ import annotations

import trio
import trio.testing

import replog
from replog.client.traffic import GROUP_CALLS

from .scripted_nodes import scripted_nodes
from .test_finding_the_leader import leads


async def test_many_callers_leave_in_groups_so_that_the_leader_need_not_wait_for_all_of_them() -> None:
    count = 3 * GROUP_CALLS
    async with scripted_nodes(leads) as (node,), replog.connect([node.address]) as client:
        await client.submit_many([b"a", b"b"])  # a session is there, and nobody is known to be alone
        async with trio.open_nursery() as callers:
            for number in range(count):
                callers.start_soon(client.submit, b"%d" % number)
        sizes = [len(commands.payloads) for commands in node.commands[1:]]
        assert sum(sizes) == count
        assert sizes[:3] == [GROUP_CALLS] * 3


async def test_few_callers_leave_together() -> None:
    async with scripted_nodes(leads) as (node,), replog.connect([node.address]) as client:
        await client.submit_many([b"first", b"second"])
        async with trio.open_nursery() as callers:
            for number in range(9):
                callers.start_soon(client.submit, b"%d" % number)
        assert [len(commands.payloads) for commands in node.commands[1:]] == [9]
