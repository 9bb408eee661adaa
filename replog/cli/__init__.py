"""The ``replog`` command, and the frame that every command built on this library shares.

A program with a command of its own (``shop`` is one) takes from here what makes commands alike: ``run`` turns
errors into a sentence and an exit code, ``Endpoints`` and ``AsJson`` are the options that mean the same
everywhere, and ``print_json``, ``print_table`` and ``note`` say where output goes.
"""

from __future__ import annotations

from replog.cli_kit.exit_codes import ExitCode
from replog.cli_kit.logging_setup import LogFormat, LogLevel, configure_logging
from replog.cli_kit.options import AsJson, Endpoints, LogFormatOption, LogLevelOption, Timeout, parse_endpoints
from replog.cli_kit.printing import new_table, note, print_json, print_table, print_text, stderr_console, stdout_console
from replog.cli_kit.running import add_command, new_app, run

from .app import main

__all__ = [
    "AsJson",
    "Endpoints",
    "ExitCode",
    "LogFormat",
    "LogFormatOption",
    "LogLevel",
    "LogLevelOption",
    "Timeout",
    "add_command",
    "configure_logging",
    "main",
    "new_app",
    "new_table",
    "note",
    "parse_endpoints",
    "print_json",
    "print_table",
    "print_text",
    "run",
    "stderr_console",
    "stdout_console",
]
