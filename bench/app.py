"""Which measurements there are. Each command's module is imported only when its word is said."""

from __future__ import annotations

from collections.abc import Sequence

import cyclopts

from replog.cli_kit import add_command, new_app

_LOAD = cyclopts.Group("Under load", sort_key=1)
_FAULTS = cyclopts.Group("Faults and growth", sort_key=2)
_INSIDE = cyclopts.Group("Inside", sort_key=3)
_REPORT = cyclopts.Group("Beside others, and in pictures", sort_key=4)
_ABOUT = cyclopts.Group("About", sort_key=5)

COMMANDS = (
    (_LOAD, "throughput", "throughput:throughput", "Commands a second, with a fixed number of them under way."),
    (_LOAD, "latency", "latency:latency", "How long a command takes when they arrive at a given rate."),
    (_LOAD, "reads", "reads:reads", "Reads a second: linearizable, stale, and mixed with puts."),
    (_FAULTS, "steady", "steady:steady", "An hour of load, a kill each minute: lost, doubled, grown?"),
    (_FAULTS, "failover", "failover:failover", "The gap when the leader is killed, hangs, or is cut off."),
    (_FAULTS, "recovery", "recovery:recovery", "How soon a replica that was away is back."),
    (_FAULTS, "scale", "scale:scale", "The cost of a command as log, sessions, state and cluster grow."),
    (_INSIDE, "cost", "cost:cost", "What a slot, a client's frame and a command cost, each for itself."),
    (_INSIDE, "storage", "storage:storage", "The log's commits beside plain LMDB; flushes; hand-overs."),
    (_INSIDE, "codec", "codec:codec", "Encoding, decoding and applying a command, step by step."),
    (_REPORT, "compare", "compare:compare", "The same puts on replog and on what people would take instead."),
    (_REPORT, "plot", "plot:plot", "The newest results as pictures."),
    (_REPORT, "all", "everything:everything", "Every measurement one after the other, then the pictures."),
)  # fmt: skip
"""Group, word, module and function, and the one line of the list."""


def build_app(tokens: Sequence[str] = ()) -> cyclopts.App:
    """The whole command tree; of its modules only those that ``tokens`` name are imported."""
    app = new_app(
        "python -m bench",
        "How fast is it on this machine, and did a change make it slower.\n\n"
        "Every command prints a table and writes a result file with the machine, versions and settings. "
        "docs/BENCHMARKS.md says how to read them; measure on a machine that does nothing else.",
    )
    app["--help"].group = _ABOUT
    for group, name, target, summary in COMMANDS:
        add_command(app, f"bench.commands.{target}", name, summary, group=group, tokens=tokens)
    return app
