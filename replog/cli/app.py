"""The ``replog`` command: which words there are. Each command's module is imported only when its word is said."""

from __future__ import annotations

import sys
from typing import NoReturn

import cyclopts

from .running import new_app, run

_STARTING = cyclopts.Group("Start", sort_key=1)
_WATCHING = cyclopts.Group("Watch and steer", sort_key=2)
_STORAGE = cyclopts.Group("Data directories", sort_key=3)
_CHECKING = cyclopts.Group("Check", sort_key=4)
_ABOUT = cyclopts.Group("About", sort_key=5)


def build_app() -> cyclopts.App:
    """The whole command tree, without importing what the commands need."""
    app = new_app(
        "replog",
        "A replicated log: three or five replicas agree on one order of commands, and the loss of a minority of them "
        "loses nothing.\n\nBegin with `replog dev`; `replog status` shows any cluster.",
        version=_version,
    )
    app["--help"].group = app["--version"].group = _ABOUT
    _add_starting(app)
    _add_watching(app)
    _add_storage(app)
    _add_checking(app)
    return app


def _version() -> str:
    from importlib.metadata import version

    return f"replog {version('replog')}"


def _add_starting(app: cyclopts.App) -> None:
    app.command("replog.cli.dev:dev", name="dev", group=_STARTING)
    app.command("replog.cli.init:init", name="init", group=_STARTING)
    app.command("replog.cli.serve:serve", name="serve", group=_STARTING)


def _add_watching(app: cyclopts.App) -> None:
    app.command(
        "replog.cli.status:status",
        name="status",
        group=_WATCHING,
    )
    leader = new_app("leader", "Move leadership.")
    leader.group = (_WATCHING,)
    leader.command("replog.cli.leader:transfer", name="transfer")
    app.command(leader)
    log = new_app("log", "Read the log.")
    log.group = (_WATCHING,)
    log.command("replog.cli.log:tail", name="tail")
    app.command(log)


def _add_storage(app: cyclopts.App) -> None:
    app.command("replog.cli.directory:inspect", name="inspect", group=_STORAGE)
    app.command("replog.cli.directory:verify", name="verify", group=_STORAGE)


def _add_checking(app: cyclopts.App) -> None:
    config = new_app("config", "Look at configuration.")
    config.group = (_CHECKING,)
    config.command("replog.cli.config_check:check", name="check")
    app.command(config)
    app.command("replog.cli.sim:sim", name="sim", group=_CHECKING)
    app.command("replog.cli.completion:completion", name="completion", group=_CHECKING)


def main() -> NoReturn:
    """Entry point of the ``replog`` command."""
    sys.exit(run(build_app(), sys.argv[1:]))
