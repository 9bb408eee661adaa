"""The ``replog`` command: which words there are. Each command's module is imported only when its word is said."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import cyclopts

from replog.cli_kit.running import add_command, new_app, run

_STARTING = cyclopts.Group("Start", sort_key=1)
_USING = cyclopts.Group("Use", sort_key=2)
_WATCHING = cyclopts.Group("Watch and steer", sort_key=3)
_STORAGE = cyclopts.Group("Data directories", sort_key=4)
_CHECKING = cyclopts.Group("Check", sort_key=5)
_ABOUT = cyclopts.Group("About", sort_key=6)

_COMMANDS = (
    (_STARTING, "dev", "dev:dev", "Start a whole cluster on this machine and show it live."),
    (_STARTING, "init", "init:init", "Format a data directory for one node, once in its life."),
    (_STARTING, "join", "join:join", "Add a node to a running cluster, as a learner."),
    (_STARTING, "serve", "serve:serve", "Run one replica until SIGTERM or Ctrl-C."),
    (_USING, "submit", "submit:submit", "Submit commands to the state machine."),
    (_USING, "query", "query:query", "Ask the state machine."),
    (_WATCHING, "status", "status:status", "Show whether a cluster is healthy, and every node."),
    (_STORAGE, "inspect", "directory:inspect", "Show whose directory it is and what is in it."),
    (_STORAGE, "verify", "directory:verify", "Check every record of a directory, reading only."),
    (_CHECKING, "sim", "sim:sim", "Run the real core through every fault there is."),
    (_CHECKING, "completion", "completion:completion", "Print a shell's completion script."),
)
_MEMBER_COMMANDS = (
    ("list", "member:list_members", "Show who belongs, as the log says it."),
    ("add", "member:add", "Let a node follow, without a vote."),
    ("promote", "member:promote", "Let a learner vote."),
    ("remove", "member:remove", "Take a node out, for good."),
    ("replace", "member:replace", "Let a learner vote in the place of a node."),
    ("set-address", "member:set_address", "Say where a member is reached."),
    ("wait", "member:wait", "Wait until a member has caught up."),
)
_TRANSFER = (("transfer", "leader:transfer", "Hand over; wait until another leads."),)
_TAIL = (("tail", "log:tail", "Print chosen slots, as they stand or as they grow."),)
_CHECK = (("check", "config_check:check", "Check a file, show every setting."),)
_GROUPS = (
    (_WATCHING, "leader", "Move leadership.", _TRANSFER),
    (_WATCHING, "member", "See and change who belongs.", _MEMBER_COMMANDS),
    (_WATCHING, "log", "Read the log.", _TAIL),
    (_CHECKING, "config", "Look at configuration.", _CHECK),
)


def build_app(tokens: Sequence[str] = ()) -> cyclopts.App:
    """The whole command tree; of its modules only those that ``tokens`` name are imported."""
    app = new_app(
        "replog",
        "A replicated log: three or five replicas agree on one order of commands, and the loss of a minority of them "
        "loses nothing.\n\nBegin with `replog dev`; `replog status` shows any cluster.",
        version=_version,
    )
    app["--help"].group = app["--version"].group = _ABOUT
    for group, name, target, summary in _COMMANDS:
        add_command(app, f"replog.cli.{target}", name, summary, group=group, tokens=tokens)
    for group, name, summary, commands in _GROUPS:
        inner = new_app(name, summary)
        inner.group = (group,)
        for inner_name, target, inner_summary in commands:
            add_command(inner, f"replog.cli.{target}", inner_name, inner_summary, tokens=tokens)
        app.command(inner)
    return app


def _version() -> str:
    from replog import __version__

    return f"replog {__version__}"


def main() -> NoReturn:
    """Entry point of the ``replog`` command."""
    sys.exit(run(build_app(sys.argv[1:]), sys.argv[1:]))
