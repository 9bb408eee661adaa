"""``shop demo``: real orders through three real replicas, the leader killed in the middle, and the sums checked.

It is a demonstration and a check in one: it ends with 0 only if every replica shows every order, to the cent, and all
replicas show the same state. The gap is what a client sees: the longest time without an answered order around a kill.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import attrs
import trio
from cyclopts import Parameter

from replog.cli import AsJson, ExitCode, new_table, note, print_json, print_table, print_text, stderr_console
from replog.errors import ConfigError, ReplogError, Unavailable

from ..cdnow import Import, KnownTotals, totals_of
from ..client import ShopClient
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
_STATE_MACHINE = "shop_sm:Shop"
_SETTLE_TIMEOUT_S = 20.0
_TIMEOUT_S = 10.0
_LOOK_AGAIN_S = 0.05


def demo(
    *,
    file: Path | None = None,
    kills: Annotated[int, Parameter(help="How often the leader is killed on the way.")] = 1,
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
            table.add_row(one.node, *_cells(one.totals), f"{one.slot:,}", one.digest)
        print_table(table)
        rate = f"{self.orders_per_s:,.0f} orders/s, each placed and paid, durable on a quorum"
        if self.gaps_ms:
            gaps = ", ".join(f"{gap:.0f} ms" for gap in self.gaps_ms)
            print_text(f"{rate}; leader killed {len(self.gaps_ms)} x, gap seen by clients {gaps}")
        else:
            print_text(rate)
        if self.is_right:
            print_text("[bold green]right:[/] every replica agrees, to the cent")
        else:
            print_text("[bold red]wrong:[/] the replicas do not show what the file sums to, or not the same")


def _cells(totals: KnownTotals) -> tuple[str, str, str, str]:
    return (
        f"{totals.orders:,}",
        f"{totals.customers:,}",
        f"{totals.units:,}",
        format_money(totals.revenue_minor, "USD"),
    )


class Demo:
    """One demonstration."""

    def __init__(self, imported: Import, kills: int) -> None:
        self._import = imported
        self._total = len(imported.purchases)
        self._kill_at = [self._total * number // (kills + 1) for number in range(1, kills + 1)]
        self._answered_at_s = 0.0
        self._worst_gap_s = 0.0
        self._done = 0
        self._first_at_s = 0.0
        self._gaps_ms: list[float] = []
        self._leader = ""
        self._has_moved = trio.Event()

    async def run(self, data_dir: Path | None) -> Outcome:
        """Raises ``Unavailable`` if the replicas do not come up, or do not come to rest at the end."""
        from replog import local_cluster

        async with local_cluster(replicas=REPLICAS, state_machine=_STATE_MACHINE, data_dir=data_dir) as cluster:
            self._leader = await cluster.leader()
            note(f"{REPLICAS} replicas at {', '.join(cluster.endpoints)}; {self._leader} leads")
            begun_s = trio.current_time()
            async with cluster.client(name="shop demo") as log, trio.open_nursery() as nursery:
                nursery.start_soon(self._kill_leaders, cluster)
                with self._bar() as (bar, task):
                    loader = Loader(
                        ShopClient(log, timeout_s=_TIMEOUT_S),
                        self._import,
                        outstanding=OUTSTANDING,
                        watch=lambda progress: self._watch(progress, bar, task),
                    )
                    await loader.load()
            seconds = trio.current_time() - begun_s
            loading_s = self._answered_at_s - self._first_at_s
            shown = await self._settled(cluster)
        return Outcome(
            totals_of(self._import.purchases),
            shown,
            self._gaps_ms,
            self._total / loading_s if loading_s else 0.0,
            seconds,
        )

    # --- the load, as clients see it ---

    def _watch(self, progress: Progress, bar: Bar, task: TaskID) -> None:
        now_s = trio.current_time()
        if self._done:
            self._worst_gap_s = max(self._worst_gap_s, now_s - self._answered_at_s)
        elif progress.done:
            self._first_at_s = now_s
        self._answered_at_s = now_s
        self._done = progress.done
        if self._kill_at and self._done >= self._kill_at[0]:
            self._has_moved.set()
        if progress.done % 64 == 0 or progress.done == progress.total:
            rate = progress.done / max(now_s - self._first_at_s, 0.001)
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
        with Progress(*columns, console=stderr_console(), transient=True) as bar:
            yield bar, bar.add_task("orders", total=self._total, rate="", leader="")

    # --- the faults ---

    async def _kill_leaders(self, cluster: LocalCluster) -> None:
        while self._kill_at:
            await self._has_moved.wait()
            self._has_moved = trio.Event()
            at = self._kill_at.pop(0)
            await self._kill_leader(cluster, at)

    async def _kill_leader(self, cluster: LocalCluster, at: int) -> None:
        """SIGKILL to whoever leads, and the longest silence until orders are answered again."""
        killed = await cluster.leader()
        self._worst_gap_s = 0.0
        done_before = self._done
        cluster.kill(killed)
        while self._done <= done_before and self._done < self._total:  # noqa: ASYNC110 - any answer ends it
            await trio.sleep(0.001)
        self._leader = await cluster.leader()
        await trio.sleep(DOWN_S)
        self._gaps_ms.append(round(self._worst_gap_s * 1000, 1))
        note(f"killed {killed} at order {at:,}: {self._leader} took over, {self._gaps_ms[-1]:.0f} ms without an answer")
        await cluster.start(killed)
        note(f"started {killed} again on its directory")

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
        from replog import connect

        async with connect([cluster.endpoint(name)], name="shop demo") as log:
            shop = ShopClient(log, timeout_s=_TIMEOUT_S, consistency="stale")
            while True:
                before: NodeStatus = await log.status(timeout=_TIMEOUT_S)
                totals = await shop.totals()
                after = await log.status(timeout=_TIMEOUT_S)
                if (before.node, before.applied_through) == (after.node, after.applied_through):
                    break
        if after.node != name:
            raise ReplogError(f"{after.node} answers at the address of {name}")
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
