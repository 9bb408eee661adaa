"""What commands share: errors as exit codes, options, output, logging.

A program with a command of its own (``shop`` is one) takes from here what makes commands alike: ``run`` turns
errors into a sentence and an exit code, ``Endpoints`` and ``AsJson`` are the options that mean the same
everywhere, and ``print_json``, ``print_table`` and ``note`` say where output goes.

Never: be the `replog` command.
"""

from __future__ import annotations

from .completion import Shell, print_completion
from .exit_codes import ExitCode
from .logging_setup import LogFormat, LogLevel, configure_logging
from .options import (
    DEV_ENDPOINTS,
    AsJson,
    Endpoints,
    LogFormatOption,
    LogLevelOption,
    Seconds,
    Timeout,
    WholeNumber,
    parse_endpoints,
    parse_whole,
)
from .printing import (
    done,
    new_table,
    note,
    print_json,
    print_line,
    print_table,
    print_text,
    stderr_console,
    stdout_console,
)
from .running import add_command, new_app, run

__all__ = [
    "DEV_ENDPOINTS",
    "AsJson",
    "Endpoints",
    "ExitCode",
    "LogFormat",
    "LogFormatOption",
    "LogLevel",
    "LogLevelOption",
    "Seconds",
    "Shell",
    "Timeout",
    "WholeNumber",
    "add_command",
    "configure_logging",
    "done",
    "new_app",
    "new_table",
    "note",
    "parse_endpoints",
    "parse_whole",
    "print_completion",
    "print_json",
    "print_line",
    "print_table",
    "print_text",
    "run",
    "stderr_console",
    "stdout_console",
]
