"""``replog dev``: a whole cluster on this machine with one command, shown live until Ctrl-C.

Every replica is a process of its own with a directory of its own, so that killing one is killing one. One that ends is
started again on its directory after a while, as a supervisor would: long enough to see the others go on without it.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import attrs
from cyclopts import Parameter

from replog.cli_kit.exit_codes import ExitCode
from replog.cli_kit.options import DEV_ENDPOINTS, AsJson, WholeNumber
from replog.cli_kit.printing import note, print_json, print_line, stdout_console
from replog.errors import ConfigError, ReplogError

if TYPE_CHECKING:
    from rich.console import Group

    from replog.local_cluster import LocalCluster

    from .cluster_report import ClusterReport

REPLICAS_MAX = 9
LOOK_INTERVAL_S = 0.5
LOOK_TIMEOUT_S = 1.0
RESTART_AFTER_S = 5.0
RATE_WINDOW_LOOKS = 4
_AGAIN = f"it is started again {RESTART_AFTER_S:.0f} s after that; "

_SHOP = "shop_sm:Shop"
_HINTS = {
    _SHOP: (
        'shop product put tea-250 --name "Tea, 250 g" --price 4.99',
        "shop stock adjust tea-250 100 --reference delivery-1",
        "shop customer add c-1 --name Ada",
        "shop order place o-1001 tea-250=2 --customer c-1",
    )
}


def dev(
    *,
    replicas: WholeNumber = 3,
    base_port: WholeNumber = 7101,
    data_dir: Annotated[Path | None, Parameter(metavar="DIR")] = None,
    state_machine: Annotated[str, Parameter(metavar="MODULE:CLASS")] = _SHOP,
    json: AsJson = False,
) -> None:
    """Start a whole cluster on this machine and show it live until Ctrl-C.

    With --json one object a line: the cluster whenever it changed.

    Parameters
    ----------
    replicas
        How many; three survive the loss of one, five of two.
    base_port
        Port of the first replica on 127.0.0.1; the others follow it.
    data_dir
        Keeps the data from one time to the next; a temporary folder, deleted on exit, if left out.
    state_machine
        What the replicas run.
    """
    import trio

    if not 1 <= replicas <= REPLICAS_MAX:
        raise ConfigError(f"--replicas {replicas}: choose 1 to {REPLICAS_MAX}; 3 or 5 is usual.")
    check_ports(base_port, replicas)
    _check_state_machine(state_machine)
    folder = data_dir.resolve() if data_dir else None
    trio.run(_dev, _Plan(replicas, base_port, folder, state_machine), json)


@attrs.frozen
class _Plan:
    """What was asked for."""

    replicas: int
    base_port: int
    data_dir: Path | None
    state_machine: str


def check_ports(base_port: int, count: int) -> None:
    """Raises ``ConfigError`` if a port is none or is taken: better now than in the logs of three processes."""
    import socket

    if not 1 <= base_port <= 65536 - count:
        raise ConfigError(f"--base-port {base_port}: {count} ports from there must lie between 1 and 65535.")
    for port in range(base_port, base_port + count):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise ConfigError(
                    f"port {port} can't be used ({error.strerror}): is a cluster running already? "
                    "`replog status` shows it; otherwise choose another --base-port."
                ) from None


def _check_state_machine(name: str) -> None:
    from replog.config import load_state_machine

    from .serve import find_modules_here

    find_modules_here()
    load_state_machine(name)


async def _dev(plan: _Plan, is_json: bool) -> None:
    import trio

    from replog.local_cluster import local_cluster

    from .stopping import stop_at_signal

    async with trio.open_nursery() as nursery:
        await nursery.start(stop_at_signal, nursery.cancel_scope)
        if not is_json:
            note(f"starting {plan.replicas} {'replica' if plan.replicas == 1 else 'replicas'} ...")
        async with local_cluster(
            replicas=plan.replicas,
            state_machine=plan.state_machine,
            data_dir=plan.data_dir,
            base_port=plan.base_port,
        ) as cluster:
            keeper = _Keeper(cluster)
            nursery.start_soon(keeper.run)
            await _show(_Screen(plan, cluster, keeper), is_json=is_json)


class _Keeper:
    """Starts replicas that have ended again; one that ends again at once is left alone and named."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster
        self._ended_at_s: dict[str, float] = {}
        self._given_up: set[str] = set()

    def remarks(self) -> list[str]:
        """What a person should know about processes that are not running."""
        return sorted(
            f"{name} {'has ended' if name in self._ended_at_s else 'ends as soon as it is started'} "
            f"({self._how(name)}); {_AGAIN if name in self._ended_at_s else ''}"
            f"its log: {self._cluster.log_path(name)}"
            for name in {*self._ended_at_s, *self._given_up}
        )

    def _how(self, name: str) -> str:
        how = how_it_ended(self._cluster.exit_code(name) or 0)
        reason = last_failure(self._cluster.log_path(name)) if self._cluster.exit_code(name) else ""
        return f"{how}: {reason}" if reason else how

    async def run(self) -> None:
        import trio

        while True:
            await trio.sleep(LOOK_INTERVAL_S / 2)
            now_s = trio.current_time()
            running = self._cluster.pids
            for name in self._cluster.nodes:
                if name not in running and name not in self._given_up:
                    self._ended_at_s.setdefault(name, now_s)
            due = [name for name, ended_at_s in self._ended_at_s.items() if now_s - ended_at_s >= RESTART_AFTER_S]
            for name in due:
                await self._start(name)

    async def _start(self, name: str) -> None:
        try:
            await self._cluster.start(name)
        except ReplogError:
            if name not in self._cluster.pids:
                self._given_up.add(name)
        self._ended_at_s.pop(name, None)


def how_it_ended(code: int) -> str:
    """What a process ended with: a signal, or a row of "Exit codes" in docs/OPERATING.md."""
    if code < 0:
        return signal.Signals(-code).name
    meaning = ExitCode(code).name.lower().replace("_", " ") if code in set(ExitCode) else "of its own"
    return f"exit code {code}: {meaning}"


def last_failure(path: Path) -> str:
    """Why a replica says in its log that it has failed, if that is the last thing it says."""
    import json

    try:
        lines = path.read_text(errors="replace").splitlines()
        fields = json.loads(lines[-1]) if lines else {}
    except (OSError, ValueError):
        return ""
    return str(fields.get("reason", "")) if isinstance(fields, dict) and fields.get("event") == "failed" else ""


class _Rate:
    """Commands a second, over the last few looks."""

    def __init__(self) -> None:
        self._points: list[tuple[float, int]] = []

    def add(self, now_s: float, report: ClusterReport) -> float:
        applied = max((member.commands_applied or 0 for member in report.members), default=0)
        if self._points and applied < self._points[-1][1]:
            self._points.clear()
        self._points = [*self._points[-RATE_WINDOW_LOOKS:], (now_s, applied)]
        (first_s, first), (last_s, last) = self._points[0], self._points[-1]
        return (last - first) / (last_s - first_s) if last_s > first_s else 0.0


@attrs.define
class _Screen:
    """Everything that is shown."""

    plan: _Plan
    cluster: LocalCluster
    keeper: _Keeper
    rate: float = 0.0

    @property
    def data_text(self) -> str:
        if self.plan.data_dir is None:
            return f"in {self.cluster.folder} (deleted on exit)"
        return f"in {self.plan.data_dir}"

    def hints(self) -> list[str]:
        """Commands to try, complete with what they need to find this cluster."""
        lines = []
        if self.cluster.endpoints != DEV_ENDPOINTS:
            lines.append(f"export REPLOG_ENDPOINTS={','.join(self.cluster.endpoints)}")
        lines += _HINTS.get(self.plan.state_machine, ())
        lines += ["replog status --watch", "replog log tail --follow"]
        if self.plan.replicas > 2:
            lines.append("replog leader transfer")
        return lines

    def fields(self, report: ClusterReport) -> dict[str, Any]:
        """For ``--json``."""
        from .status import report_fields

        folder = str(self.plan.data_dir) if self.plan.data_dir else None
        return {
            "endpoints": list(self.cluster.endpoints),
            "pids": dict(self.cluster.pids),
            "data_dir": folder,
            "folder": str(self.cluster.folder),
            "remarks": self.keeper.remarks(),
            **report_fields(report),
        }

    def picture(self, report: ClusterReport, remarks: list[str], width: int) -> Group:
        """For a terminal."""
        from rich.console import Group
        from rich.text import Text

        from .cluster_view import render_cluster

        lines: list[Any] = [render_cluster(report, width=width), ""]
        lines.append(Text(f"commands  {self.rate:,.0f} a second"))
        lines += [Text(f"note      {remark}", style="yellow") for remark in remarks]
        pids = "  ".join(f"{name} {pid}" for name, pid in sorted(self.cluster.pids.items()))
        lines.append(Text(f"data      {self.data_text}"))
        lines.append(Text(f"pids      {pids}"))
        for number, hint in enumerate(self.hints()):
            lines.append(Text.assemble("try it    " if number == 0 else "          ", (hint, "cyan")))
        lines.append(Text("stop      Ctrl-C"))
        return Group(*lines)


async def _show(screen: _Screen, *, is_json: bool) -> None:
    """Look at the cluster again and again, and show it as the reader of stdout wants it."""
    if is_json:
        await _show_json(screen)
    elif stdout_console().is_terminal:
        await _show_live(screen)
    else:
        await _show_lines(screen)


async def _show_live(screen: _Screen) -> None:
    import trio
    from rich.live import Live

    from .survey import survey

    console, rate = stdout_console(), _Rate()
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            report = await survey(screen.cluster.endpoints, timeout_s=LOOK_TIMEOUT_S)
            now_s = trio.current_time()
            screen.rate = rate.add(now_s, report)
            live.update(screen.picture(report, screen.keeper.remarks(), console.width), refresh=True)
            await trio.sleep(LOOK_INTERVAL_S)


async def _show_lines(screen: _Screen) -> None:
    """For a pipe or a log file: how to use the cluster once, then a line whenever something changed."""
    import trio

    from .cluster_view import verdict_line
    from .survey import survey

    print_line(f"endpoints  {','.join(screen.cluster.endpoints)}")
    print_line(f"data       {screen.data_text}")
    for hint in screen.hints():
        print_line(f"try it     {hint}")
    said: list[str] = []
    while True:
        report = await survey(screen.cluster.endpoints, timeout_s=LOOK_TIMEOUT_S)
        lines = [verdict_line(report).plain, *(f"note       {one}" for one in screen.keeper.remarks())]
        if lines != said:
            said = lines
            for line in lines:
                print_line(line)
        await trio.sleep(LOOK_INTERVAL_S)


async def _show_json(screen: _Screen) -> None:
    import trio

    from .survey import survey

    said: object = None
    while True:
        report = await survey(screen.cluster.endpoints, timeout_s=LOOK_TIMEOUT_S)
        change = (report.verdict, report.leader, dict(screen.cluster.pids), screen.keeper.remarks())
        if change != said:
            said = change
            print_json(screen.fields(report), is_line=True)
        await trio.sleep(LOOK_INTERVAL_S)
