"""``replog serve``: one replica in the foreground, until a signal or a failure ends it.

Its log goes to stderr. SIGTERM, Ctrl-C and a closed terminal stop it in order: it hands over leadership, flushes and
ends with 0. A second Ctrl-C or SIGTERM does not wait for that; nothing acknowledged is lost either way.
"""

from __future__ import annotations

import gc
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from replog.cli_kit.exit_codes import ExitCode
from replog.cli_kit.log_sink import log_through_sink
from replog.cli_kit.logging_setup import configure_logging
from replog.cli_kit.options import LogFormatOption, LogLevelOption, WholeNumber
from replog.cli_kit.running import is_trouble, next_step, trouble_of
from replog.errors import ConfigError, ReplogError, StorageError

if TYPE_CHECKING:
    from replog.node.recording import Recorder
    from replog.node.settings import ReplicaConfig
    from replog.state_machine import StateMachine

RECORD_BYTES_MAX = 64 * 2**20
GARBAGE_OBJECTS = 50_000
"""Python looks for cycles whenever so many more objects live than when it looked last. A slot of a thousand commands
makes thousands, which all end with it: with the usual 700 a quarter of a busy node's time went into looking."""


def serve(
    *,
    config: Annotated[Path, Parameter(metavar="FILE", env_var="REPLOG_CONFIG")],
    data_dir: Annotated[Path | None, Parameter(metavar="DIR")] = None,
    bind: Annotated[str | None, Parameter(metavar="HOST:PORT")] = None,
    state_machine: Annotated[str | None, Parameter(metavar="MODULE:CLASS")] = None,
    log_level: LogLevelOption = "info",
    log_format: LogFormatOption = "auto",
    record: Annotated[Path | None, Parameter(metavar="FILE")] = None,
    record_contents: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    record_bytes_max: WholeNumber = RECORD_BYTES_MAX,
) -> None:
    """Run one replica until SIGTERM, SIGHUP or Ctrl-C, which stop it cleanly.

    Flags win over REPLOG_... variables, and these over the configuration file.

    Parameters
    ----------
    config
        TOML file with the settings; `replog config check` explains it.
    data_dir
        Its data directory, formatted once by `replog init`.
    bind
        Where to listen, if that is not the node's own address among the members.
    state_machine
        What it runs.
    record
        Write down this life of the node, so that `replog sim --replay-record` can live it again; costs speed.
    record_contents
        Write down what clients say and are told, too; zeros stand for it otherwise.
    record_bytes_max
        Room for the record: half for the beginning of the life, half for its newest turns.
    """
    from replog.config import load_config, load_state_machine

    log_through_sink()
    settings = load_config(config, {"data_dir": data_dir, "bind": bind, "state_machine": state_machine})
    if not settings.state_machine:
        raise ConfigError(
            f'{config}: state_machine is missing; add state_machine = "module:Class", or say --state-machine.'
        )
    if record_contents and record is None:
        raise ConfigError("--record-contents says what --record FILE writes; give both.")
    recorder = _recorder(record, record_bytes_max, is_with_contents=record_contents)
    find_modules_here()
    machine = load_state_machine(settings.state_machine)
    configure_logging(log_level, log_format, **_facts(settings))
    sys.setswitchinterval(settings.node.switch_interval_s)
    run_until_signal(settings, machine, recorder)


def _recorder(path: Path | None, bytes_max: int, *, is_with_contents: bool) -> Recorder | None:
    """It opens its file only when the node has its directory to itself."""
    from replog.node.recording import Recorder

    return None if path is None else Recorder(path, bytes_max=bytes_max, is_with_contents=is_with_contents)


def find_modules_here() -> None:
    """Let a state machine's module be in the working directory, behind everything that is installed.

    Before it, a file there that is called like one of Python's own modules would take that module's place. A working
    directory that was deleted has none.
    """
    try:
        here = os.getcwd()
    except FileNotFoundError:
        return
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)


def _facts(settings: ReplicaConfig) -> dict[str, object]:
    """What goes on every log line: which node speaks, as far as its directory says that."""
    from replog.directory.layout import IDENTITY_FILE, read_identity
    from replog.paxos.ballot import node_name

    try:
        is_formatted = (settings.data_dir / IDENTITY_FILE).is_file()
        identity = read_identity(settings.data_dir) if is_formatted else None
    except (OSError, StorageError):  # opening it says so
        identity = None
    return {"node": node_name(identity.node)} if identity else {}


def run_until_signal(settings: ReplicaConfig, machine: StateMachine, recorder: Recorder | None = None) -> None:
    """Run the replica; a failure is logged, since who reads the log may see nothing else, and raised."""
    import structlog
    import trio

    try:
        trio.run(_run, settings, machine, recorder)
    except BaseException as error:
        cause = _cause(error)
        if isinstance(cause, ReplogError):
            structlog.get_logger(__name__).error(
                "failed", kind=type(cause).__name__, reason=str(cause), next=next_step(cause), exit_code=cause.exit_code
            )
        elif is_trouble(cause):
            reason, step = trouble_of(cause)
            structlog.get_logger(__name__).error(
                "failed", kind=type(cause).__name__, reason=reason, next=step, exit_code=int(ExitCode.USAGE)
            )
        elif not isinstance(cause, KeyboardInterrupt):
            structlog.get_logger(__name__).error("failed", kind=type(cause).__name__, exc_info=error)
        raise


def _cause(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _run(settings: ReplicaConfig, machine: StateMachine, recorder: Recorder | None) -> None:
    import structlog
    import trio

    from replog.embedding import own_address, run_replica

    from .stopping import stop_at_signal

    async with trio.open_nursery() as nursery:
        await nursery.start(stop_at_signal, nursery.cancel_scope)
        node = await nursery.start(partial(run_replica, settings, machine, recorder=recorder))
        structlog.get_logger(__name__).info(
            "serving",
            address=own_address(node),
            cluster=node.identity.cluster.hex(),
            state_machine=settings.state_machine,
        )
        gc.set_threshold(GARBAGE_OBJECTS)
        gc.freeze()  # what is here lives as long as the node
