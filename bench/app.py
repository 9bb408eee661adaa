"""Which measurements there are. Each command's module is imported only when its word is said."""

from __future__ import annotations

import cyclopts

from replog.cli_kit import new_app

_LOAD = cyclopts.Group("Under load", sort_key=1)
_FAULTS = cyclopts.Group("Faults and growth", sort_key=2)
_INSIDE = cyclopts.Group("Inside", sort_key=3)
_REPORT = cyclopts.Group("Beside others, and in pictures", sort_key=4)
_ABOUT = cyclopts.Group("About", sort_key=5)


def build_app() -> cyclopts.App:
    """The whole command tree, without importing what the commands need."""
    app = new_app(
        "python -m bench",
        "How fast is it on this machine, and did a change make it slower.\n\n"
        "Every command prints a table and writes a result file with the machine, versions and settings. "
        "docs/BENCHMARKS.md says how to read them; measure on a machine that does nothing else.",
    )
    app["--help"].group = _ABOUT
    for name, group in {
        "throughput": _LOAD,
        "latency": _LOAD,
        "reads": _LOAD,
        "steady": _LOAD,
        "failover": _FAULTS,
        "recovery": _FAULTS,
        "scale": _FAULTS,
        "storage": _INSIDE,
        "codec": _INSIDE,
        "compare": _REPORT,
        "plot": _REPORT,
    }.items():
        app.command(f"bench.commands.{name}:{name}", name=name, group=group)
    app.command("bench.commands.everything:everything", name="all", group=_REPORT)
    return app
