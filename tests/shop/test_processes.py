"""The shop on three real replicas: an interrupted load is exact, and an audit finds what is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio

from replog import LocalCluster, connect, local_cluster
from shop_sm import ShopClient
from shop_sm.answers import Totals
from shop_sm.cdnow import Import, read_purchases, sample_file, totals_of
from shop_sm.cli.audit import audit_all
from shop_sm.commands import ShipOrder
from shop_sm.loading import Loader

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

DEADLINE_S = 60


def shop(*words: object) -> list[str]:
    return [sys.executable, "-m", "shop_sm", *(str(word) for word in words)]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("REPLOG_")}


async def run_shop(cluster: LocalCluster, *words: object) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON object of a finished command."""
    done = await trio.run_process(
        shop(*words, "--endpoints", ",".join(cluster.endpoints), "--json"),
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        env=environment(),
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.returncode, json.loads(done.stdout)


@asynccontextmanager
async def opened_shop(cluster: LocalCluster) -> AsyncIterator[ShopClient]:
    async with connect(cluster.endpoints) as log:
        yield ShopClient(log)


def orders_in(totals: Totals) -> int:
    return sum(row.orders for row in totals.currencies)


async def load_first(cluster: LocalCluster, count: int) -> None:
    with sample_file() as path:
        imported = Import("sample", read_purchases(path)[:count])
    async with opened_shop(cluster) as client:
        await Loader(client, imported).load()


async def break_off_a_load(cluster: LocalCluster, client: ShopClient, orders: int, by: signal.Signals) -> int:
    """Start ``shop load``, send it a signal once that many orders are in; returns its exit code."""
    command = shop("load", "--endpoints", ",".join(cluster.endpoints), "--outstanding", "64")
    quiet = partial(trio.run_process, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    async with trio.open_nursery() as nursery:  # which does not end before the process
        process: trio.Process = await nursery.start(partial(quiet, command, env=environment()))
        with trio.fail_after(DEADLINE_S):
            while orders_in(await client.totals()) < orders:  # noqa: ASYNC110 - another process: no event to wait for
                await trio.sleep(0.001)
        process.send_signal(by)
    assert process.returncode is not None
    return process.returncode


async def test_a_load_that_is_interrupted_and_killed_ends_exact() -> None:
    """Stopped by Ctrl-C, killed, and run again to its end: every order once, and the file's sums to the cent."""
    with sample_file() as path:
        known = totals_of(read_purchases(path))
    async with local_cluster(state_machine="shop_sm:Shop") as cluster:
        async with opened_shop(cluster) as client:
            assert await break_off_a_load(cluster, client, 500, signal.SIGINT) == 130
            assert orders_in(await client.totals()) < known.orders
            assert await break_off_a_load(cluster, client, 1_500, signal.SIGKILL) == -signal.SIGKILL
            assert orders_in(await client.totals()) < known.orders
            code, fields = await run_shop(cluster, "load")
            assert (code, fields["orders"], fields["refused"]) == (0, known.orders, 0)
            totals = await client.totals()
        (row,) = totals.currencies
        assert (row.orders, totals.customer_count) == (known.orders, known.customers)
        assert (row.units, row.revenue_minor) == (known.units, known.revenue_minor)
        assert (await run_shop(cluster, "audit"))[0] == 0


async def test_an_audit_compares_all_replicas_and_says_who_was_not_there() -> None:
    """All three are sound at one slot; with one dead the two others are, and the command ends with 3."""
    async with local_cluster(state_machine="shop_sm:Shop") as cluster:
        await load_first(cluster, 300)
        code, fields = await run_shop(cluster, "audit")
        assert (code, fields["ok"], fields["disagreements"], fields["unreachable"]) == (0, True, [], {})
        assert [replica["node"] for replica in fields["replicas"]] == ["n1", "n2", "n3"]
        assert {replica["applied_through"] for replica in fields["replicas"]} == {fields["slot"]}
        assert all(replica["violations"] == [] for replica in fields["replicas"])

        cluster.kill("n2")
        await cluster.wait_ended("n2")
        code, fields = await run_shop(cluster, "audit", "--timeout", 3)
        assert (code, fields["ok"]) == (3, True)
        assert [replica["node"] for replica in fields["replicas"]] == ["n1", "n3"]
        assert list(fields["unreachable"]) == [cluster.endpoint("n2")]


async def test_an_audit_of_a_shop_that_loses_stock_ends_with_1() -> None:
    """Every replica of a leaky shop shows the product whose books do not balance."""
    async with local_cluster(state_machine="tests.shop.leaky_shop:LeakyShop") as cluster:
        async with opened_shop(cluster) as client:
            await client.put_product("tea", "Tea", 250, "USD")
            await client.adjust_stock("tea", 10, "delivery-1")
            await client.register_customer("ann", "Ann")
            await client.place_order("o-1", "ann", [("tea", 2)])
            await client.pay_order("o-1", 500, "USD", "payment-1")
            assert (await audit_all(cluster.endpoints, 10.0)).is_sound
            await client.run_batch([ShipOrder("o-1")])
        code, fields = await run_shop(cluster, "audit")
        assert (code, fields["ok"]) == (1, False)
        for replica in fields["replicas"]:
            assert any("tea" in sentence for sentence in replica["violations"])


async def test_what_is_no_shop_is_refused_with_a_sentence() -> None:
    """A command sent to replicas that run something else says so, without a traceback."""
    async with local_cluster(replicas=1, state_machine="tests.shop.echo:Echo") as cluster:
        for words in (("totals",), ("audit",), ("product", "show", "tea"), ("customer", "add", "c", "--name", "C")):
            code, fields = await run_shop(cluster, *words)
            assert code != 0
            assert "shop_sm:Shop" in fields["error"]["message"]
