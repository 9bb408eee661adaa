"""``replog status``: the verdict about a cluster, a row a node, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from replog.cli_kit.exit_codes import ExitCode
from replog.cli_kit.options import DEV_ENDPOINTS, AsJson, Endpoints, Seconds, Timeout
from replog.cli_kit.printing import print_json, print_text, stdout_console

if TYPE_CHECKING:
    from .cluster_report import ClusterReport


def status(
    *,
    endpoints: Endpoints = DEV_ENDPOINTS,
    watch: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    interval: Seconds = 1.0,
    timeout: Timeout = 2.0,
    json: AsJson = False,
) -> int:
    """Show whether a cluster is healthy, what still works if not, and every node.

    Ends with 0 if the cluster takes writes, with 3 if it does not, and with 1 if its replicas contradict each other and
    no majority agrees. Never says healthy while a voter is missing.

    Parameters
    ----------
    watch
        Go on until Ctrl-C.
    interval
        How often to ask with --watch.
    """
    import trio

    from .survey import survey

    if watch:
        return _watch(endpoints, interval_s=interval, timeout_s=timeout, is_json=json)

    async def look() -> ClusterReport:
        return await survey(endpoints, timeout_s=timeout)

    report = trio.run(look)
    if json:
        print_json(report_fields(report))
    else:
        _print_report(report)
    return exit_code(report)


def exit_code(report: ClusterReport) -> ExitCode:
    """What a script decides by: whether writes work, and whether what is answered can be trusted."""
    if not report.can_write:
        return ExitCode.UNREACHABLE
    return ExitCode.BUG if report.verdict == "contradicted" else ExitCode.OK


def report_fields(report: ClusterReport) -> dict[str, Any]:
    """The report for ``--json``, each member with its lag."""
    import attrs

    from .cluster_report import lag_of

    fields = attrs.asdict(report, recurse=False)
    fields["gaps"] = [attrs.asdict(gap) for gap in report.gaps]
    fields["members"] = [
        attrs.asdict(member) | {"lag_slots": lag_of(member, report.members) if member.up else None}
        for member in report.members
    ]
    return fields


def _print_report(report: ClusterReport) -> None:
    from .cluster_view import render_cluster

    print_text(render_cluster(report, width=stdout_console().width))


def _watch(endpoints: tuple[str, ...], *, interval_s: float, timeout_s: float, is_json: bool) -> int:
    import trio

    last: list[ClusterReport] = []
    try:
        trio.run(_watch_forever, endpoints, interval_s, timeout_s, is_json, last)
    except KeyboardInterrupt:
        pass
    except BaseExceptionGroup as group:
        if group.split(KeyboardInterrupt)[1] is not None:
            raise
    return exit_code(last[0]) if last else ExitCode.INTERRUPTED


async def _watch_forever(
    endpoints: tuple[str, ...], interval_s: float, timeout_s: float, is_json: bool, last: list[ClusterReport]
) -> None:
    """Ask, show, wait; ``last`` holds the newest report for the one who interrupts."""
    import trio
    from rich.live import Live

    from .cluster_view import render_cluster
    from .survey import survey

    console = stdout_console()
    is_screen = console.is_terminal and not is_json
    live = Live(console=console, auto_refresh=False) if is_screen else None
    if live is not None:
        live.start()
    try:
        while True:
            began_s = trio.current_time()
            report = await survey(endpoints, timeout_s=timeout_s)
            last[:] = [report]
            if is_json:
                print_json(report_fields(report), is_line=True)
            elif live is not None:
                live.update(render_cluster(report, width=console.width), refresh=True)
            else:
                _print_report(report)
            await trio.sleep_until(began_s + interval_s)
    finally:
        if live is not None:
            live.stop()
