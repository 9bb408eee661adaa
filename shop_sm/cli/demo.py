"""``shop demo``: real orders through three real replicas, the leader killed in the middle, and the sums checked.

It is a demonstration and a check in one: it ends with 0 only if every replica shows every order, to the cent, and all
replicas show the same state. The gap is what a client sees: the longest time without an answered order around a kill.

The load waits at each kill until the replica killed before is back, so that every kill meets a whole cluster that is
under load; without that five thousand orders a second are done before a second kill. The wait is in no figure.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import attrs
import trio
from cyclopts import Parameter

from replog.cli_kit import (
    AsJson,
    ExitCode,
    WholeNumber,
    new_table,
    note,
    print_json,
    print_table,
    print_text,
    stderr_console,
)
from replog.errors import ConfigError, Unavailable

from ..cdnow import Import, KnownTotals, totals_of
from ..client import Consistency, LogClient, Reply, ShopClient
from ..loading import OUTSTANDING, Loader, Progress
from ..money import format_money
from .load import read_import

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from replog import LocalCluster, NodeStatus

REPLICAS = 3
DOWN_S = 0.5
"""How long a killed leader stays away before it is started again."""
ORDERS_PER_KILL = 1_000
"""So many lie between two kills at least; fewer would all be under way at once, and a kill would meet no load."""
_STATE_MACHINE = "shop_sm:Shop"
_SETTLE_TIMEOUT_S = 20.0
_TIMEOUT_S = 10.0
_LOOK_AGAIN_S = 0.05


def demo(
    *,
    file: Path | None = None,
    kills: Annotated[WholeNumber, Parameter(help="How often the leader is killed on the way.")] = 1,
    data_dir: Annotated[Path | None, Parameter(metavar="DIR")] = None,
    json: AsJson = False,
) -> int:
    """Run a shop on three replicas, kill its leader in the middle, and check every sum.

    Parameters
    ----------
    file
        CDNOW's master or sample file; the sample of 6,919 orders that comes with this program if left out.
    data_dir
        keeps the replicas' data and logs; a temporary folder, deleted on exit, if left out.
    """
    if kills < 0:
        raise ConfigError(f"--kills is {kills}; write 0 or more")
    imported = read_import(file)
    kills_max = max(0, len(imported.purchases) // ORDERS_PER_KILL - 1)
    if kills > kills_max:
        raise ConfigError(f"--kills is {kills}; the orders of this file are enough for {kills_max}")
    outcome = trio.run(Demo(imported, kills).run, data_dir)
    if json:
        print_json(outcome.fields())
    else:
        outcome.show()
    return ExitCode.OK if outcome.is_right else ExitCode.BUG


@attrs.frozen
class Shown:
    """What one replica shows at the end."""

    node: str
    slot: int
    digest: str
    totals: KnownTotals


@attrs.frozen
class Outcome:
    """What came of a demonstration.

    Parameters
    ----------
    known
        what the file itself sums to.
    gaps_ms
        for each kill, how long no order was answered.
    """

    known: KnownTotals
    shown: list[Shown]
    gaps_ms: list[float]
    orders_per_s: float
    seconds: float

    @property
    def is_right(self) -> bool:
        return (
            len(self.shown) == REPLICAS
            and all(one.totals == self.known for one in self.shown)
            and len({(one.slot, one.digest) for one in self.shown}) == 1
        )

    @property
    def failover_ms(self) -> float | None:
        return max(self.gaps_ms, default=None)

    def fields(self) -> dict[str, object]:
        """The least that any replica shows, so that no number here is better than the worst replica's."""
        totals = [one.totals for one in self.shown]
        return {
            "ok": self.is_right,
            "orders": min((one.orders for one in totals), default=0),
            "customers": min((one.customers for one in totals), default=0),
            "units": min((one.units for one in totals), default=0),
            "revenue_minor": min((one.revenue_minor for one in totals), default=0),
            "digests": {one.node: one.digest for one in self.shown},
            "leader_kills": len(self.gaps_ms),
            "failover_ms": self.failover_ms,
            "gaps_ms": self.gaps_ms,
            "orders_per_s": round(self.orders_per_s),
            "seconds": round(self.seconds, 3),
        }

    def show(self) -> None:
        numbers = ("ORDERS", "CUSTOMERS", "UNITS", "REVENUE", "SLOT")
        table = new_table("", *numbers, "DIGEST", right=numbers)
        table.add_row("known", *_cells(self.known), "", "")
        for one in self.shown:
            table.add_row(one.node, *_cells(one.totals), f"{one.slot:,}", f"{one.digest[:8]}..")
        print_table(table)
        rate = f"{self.orders_per_s:,.0f} orders/s, each placed and paid, durable on a quorum"
        if self.gaps_ms:
            gaps = ", ".join(f"{gap:.0f} ms" for gap in self.gaps_ms)
            print_text(f"{rate}; leader killed {len(self.gaps_ms)} x, gap seen by clients {gaps}")
        else:
            print_text(rate)
        if self.is_right:
            print_text(("right:", "bold green"), " every replica agrees, to the cent")
        else:
            print_text(("wrong:", "bold red"), " the replicas do not show what the file sums to, or not the same")


def _cells(totals: KnownTotals) -> tuple[str, str, str, str]:
    return (
        f"{totals.orders:,}",
        f"{totals.customers:,}",
        f"{totals.units:,}",
        format_money(totals.revenue_minor, "USD"),
    )


class PacedLog:
    """The log as the load sees it: while it is held nothing more is sent, and what is under way is still answered."""

    def __init__(self, log: LogClient) -> None:
        self._log = log
        self._is_free = trio.Event()
        self._is_free.set()

    def hold(self) -> None:
        if self._is_free.is_set():
            self._is_free = trio.Event()

    def release(self) -> None:
        self._is_free.set()

    async def submit(self, payload: bytes, *, timeout: float) -> Reply:  # noqa: ASYNC109 - as in LogClient
        await self._is_free.wait()
        return await self._log.submit(payload, timeout=timeout)

    async def query(self, request: bytes, *, consistency: Consistency, timeout: float) -> bytes:  # noqa: ASYNC109 - too
        return await self._log.query(request, consistency=consistency, timeout=timeout)


class Demo:
    """One demonstration."""

    def __init__(self, imported: Import, kills: int) -> None:
        self._import = imported
        self._total = len(imported.purchases)
        self._kill_at = [self._total * number // (kills + 1) for number in range(1, kills + 1)]
        self._next_kill_at: int | None = self._kill_at[0] if kills else None
        self._answered_at_s = 0.0
        self._worst_gap_s = 0.0
        self._held_s = 0.0
        self._done = 0
        self._first_at_s = 0.0
        self._gaps_ms: list[float] = []
        self._leader = ""

    async def run(self, data_dir: Path | None) -> Outcome:
        """Raises ``Unavailable`` if the replicas do not come up, or do not come to rest at the end."""
        from replog import local_cluster

        async with local_cluster(replicas=REPLICAS, state_machine=_STATE_MACHINE, data_dir=data_dir) as cluster:
            self._leader = await cluster.leader()
            note(f"{REPLICAS} replicas at {', '.join(cluster.endpoints)}; {self._leader} leads")
            begun_s = trio.current_time()
            async with cluster.client(name="shop demo") as client, trio.open_nursery() as nursery:
                log = PacedLog(client)
                nursery.start_soon(self._kill_leaders, cluster, log)
                with self._bar() as (bar, task):
                    loader = Loader(
                        ShopClient(log, timeout_s=_TIMEOUT_S),
                        self._import,
                        outstanding=OUTSTANDING,
                        watch=lambda progress: self._watch(progress, log, bar, task),
                    )
                    await loader.load()
            seconds = trio.current_time() - begun_s
            loading_s = self._answered_at_s - self._first_at_s - self._held_s
            shown = await self._settled(cluster)
        return Outcome(
            totals_of(self._import.purchases),
            shown,
            self._gaps_ms,
            self._total / loading_s if loading_s else 0.0,
            seconds,
        )

    # --- the load, as clients see it ---

    def _watch(self, progress: Progress, log: PacedLog, bar: Bar, task: TaskID) -> None:
        now_s = trio.current_time()
        if self._done:
            self._worst_gap_s = max(self._worst_gap_s, now_s - self._answered_at_s)
        elif progress.done:
            self._first_at_s = now_s
        self._answered_at_s = now_s
        self._done = progress.done
        if self._next_kill_at is not None and self._done >= self._next_kill_at:
            log.hold()
        if progress.done % 64 == 0 or progress.done == progress.total:
            rate = progress.done / max(now_s - self._first_at_s - self._held_s, 0.001)
            bar.update(task, completed=progress.done, rate=f"{rate:,.0f} orders/s", leader=f"{self._leader} leads")

    @contextmanager
    def _bar(self) -> Iterator[tuple[Bar, TaskID]]:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (
            TextColumn("orders"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[leader]}"),
        )
        console = stderr_console()
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            yield bar, bar.add_task("orders", total=self._total, rate="", leader="")

    # --- the faults ---

    async def _kill_leaders(self, cluster: LocalCluster, log: PacedLog) -> None:
        for number, at in enumerate(self._kill_at, 1):
            await self._wait_until_done(at)
            await self._kill_leader(cluster, log, self._kill_at[number] if number < len(self._kill_at) else None)

    async def _kill_leader(self, cluster: LocalCluster, log: PacedLog, next_kill_at: int | None) -> None:
        """SIGKILL to whoever leads, and the longest silence until orders are answered again."""
        killed = await cluster.leader()
        self._next_kill_at = next_kill_at
        self._end_hold(log)
        await self._wait_until_done(self._done + OUTSTANDING)
        self._worst_gap_s = 0.0
        done_before = self._done
        cluster.kill(killed)
        self._leader = await cluster.leader()
        # At the next kill the load is held; orders were answered then, for more lie between two than are under way.
        await self._wait_until_done(min(self._done + 1, next_kill_at or self._total))
        await trio.sleep(DOWN_S)
        gap_ms = round(self._worst_gap_s * 1000, 1)
        self._gaps_ms.append(gap_ms)
        note(f"killed {killed} at order {done_before:,}: {self._leader} took over, {gap_ms:.0f} ms without an answer")
        await cluster.start(killed)
        note(f"started {killed} again on its directory")

    def _end_hold(self, log: PacedLog) -> None:
        """The silence so far was ours, and is no gap."""
        now_s = trio.current_time()
        self._held_s += now_s - self._answered_at_s
        self._answered_at_s = now_s
        log.release()

    async def _wait_until_done(self, orders: int) -> None:
        while self._done < min(orders, self._total):  # noqa: ASYNC110 - a millisecond late is early enough
            await trio.sleep(0.001)

    # --- the end ---

    async def _settled(self, cluster: LocalCluster) -> list[Shown]:
        """What every replica shows once all stand at one slot. Raises ``Unavailable`` if they do not get there."""
        with trio.move_on_after(_SETTLE_TIMEOUT_S):
            while True:
                shown = [await self._shown(cluster, name) for name in cluster.nodes]
                if len({one.slot for one in shown}) == 1:
                    return shown
                await trio.sleep(_LOOK_AGAIN_S)
        raise Unavailable(f"the replicas stand at different slots after {_SETTLE_TIMEOUT_S:.0f} s")

    async def _shown(self, cluster: LocalCluster, name: str) -> Shown:
        """What one replica shows; asked until it is there, since a client goes to another one in the meantime."""
        from replog import connect

        while True:
            async with connect([cluster.endpoint(name)], name="shop demo") as log:
                shop = ShopClient(log, timeout_s=_TIMEOUT_S, consistency="stale")
                before: NodeStatus = await log.status(timeout=_TIMEOUT_S)
                totals = await shop.totals()
                after = await log.status(timeout=_TIMEOUT_S)
            if (name, before.applied_through) == (after.node, after.applied_through) and before.node == name:
                break
            await trio.sleep(_LOOK_AGAIN_S)
        rows = totals.currencies
        return Shown(
            name,
            after.applied_through,
            after.digest,
            KnownTotals(
                orders=sum(row.orders for row in rows),
                customers=totals.customer_count,
                units=sum(row.units for row in rows),
                revenue_minor=sum(row.revenue_minor for row in rows),
            ),
        )
