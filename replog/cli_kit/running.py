"""Runs a command and turns whatever comes out of it into an exit code and a sentence.

One handler for all commands, so that an error looks the same wherever it comes from: what happened and why on the
first line, what to do next on the second, both on stderr. A traceback means a defect of the program and nothing
else; with ``--json`` the error is also one JSON object on stdout, since whoever asked for JSON reads that.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cyclopts

from replog.errors import ReplogError

from .exit_codes import NEXT_STEPS, ExitCode
from .log_sink import open_standard_streams
from .printing import print_json, stderr_console


def new_app(name: str, summary: str, *, version: Callable[[], str] | None = None) -> cyclopts.App:
    """An application (or, without a version, a group of commands) whose errors are left to ``run``."""
    return cyclopts.App(
        name=name,
        help=summary,
        version=version,
        version_flags=("--version",) if version else (),
        help_format="markdown",
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )


def add_command(
    app: cyclopts.App,
    target: str,
    name: str,
    summary: str,
    *,
    group: cyclopts.Group | None = None,
    tokens: Sequence[str],
) -> None:
    """Add a command whose module is imported only if the command line names it.

    A command that is not imported is listed with ``summary``; its own help is the whole docstring of its function.

    Parameters
    ----------
    target: ``module:function``.
    tokens: the words of the command line.
    """
    groups: dict[str, Any] = {} if group is None else {"group": group}
    if name in tokens:
        module_name, _, function = target.partition(":")
        app.command(getattr(importlib.import_module(module_name), function), name=name, **groups)
    else:
        app.command(target, name=name, help=summary, **groups)


def run(app: Callable[[Sequence[str]], object], tokens: Sequence[str]) -> int:
    """Run ``app`` on the words of the command line; returns the exit code.

    Parameters
    ----------
    app: a cyclopts application made by ``new_app``; its commands return None or an exit code.
    tokens: the words after the program's name.
    """
    open_standard_streams()
    is_json = "--json" in tokens
    try:
        code = app(tokens)
        sys.stdout.flush()
    except BaseExceptionGroup as group:
        return _report_group(group, is_json=is_json)
    except BaseException as error:
        return _report(error, is_json=is_json)
    return code if isinstance(code, int) else ExitCode.OK


def _report_group(group: BaseExceptionGroup[BaseException], *, is_json: bool) -> int:
    """A nursery wraps what happened in it; a person wants the cause, not the nursery."""
    leaves = list(_leaves(group))
    interrupts = [leaf for leaf in leaves if isinstance(leaf, KeyboardInterrupt)]
    defects = [leaf for leaf in leaves if not _is_expected(leaf)]
    if defects:
        return _report_defect(group)
    return _report((interrupts or leaves)[0], is_json=is_json)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _is_expected(error: BaseException) -> bool:
    expected = (ReplogError, cyclopts.CycloptsError, KeyboardInterrupt, BrokenPipeError, SystemExit)
    return isinstance(error, expected) or _is_file_trouble(error)


def _is_file_trouble(error: BaseException) -> bool:
    """Whether a person named a file or place that can't be used: the message then needs no traceback."""
    return isinstance(error, OSError) and error.filename is not None


def _report(error: BaseException, *, is_json: bool) -> int:
    match error:
        case SystemExit():
            return error.code if isinstance(error.code, int) else ExitCode.OK
        case KeyboardInterrupt():
            _say("interrupted", kind="")
            return ExitCode.INTERRUPTED
        case BrokenPipeError():
            return _leave_closed_pipe()
        case ReplogError():
            return _report_error(type(error).__name__, str(error), next_step(error), error.exit_code, is_json=is_json)
        case cyclopts.CycloptsError():
            return _report_error("Usage", *_usage(error), ExitCode.USAGE, is_json=is_json)
        case OSError() if _is_file_trouble(error):
            text = f"{error.filename}: {error.strerror}"
            return _report_error("FileTrouble", text, "", ExitCode.USAGE, is_json=is_json)
    return _report_defect(error)


def next_step(error: ReplogError) -> str:
    """What to do: the notes the raiser added, or what is always right for this class of error."""
    notes: list[str] = getattr(error, "__notes__", [])
    return "\n".join(notes) or NEXT_STEPS.get(type(error).__name__, "")


def _usage(error: cyclopts.CycloptsError) -> tuple[str, str]:
    """What is wrong with the command line, and where its words are explained."""
    error.verbose = False
    program = os.path.basename(sys.argv[0])
    name = program if program not in ("", "__main__.py") else "replog"
    return str(error).strip(), f"{' '.join([name, *(error.command_chain or ())])} --help"


def _report_error(kind: str, text: str, next_step: str, code: int, *, is_json: bool) -> int:
    if is_json:
        print_json({"error": {"kind": kind, "message": text, "next": next_step, "exit_code": int(code)}})
    _say(text, kind=kind, next_step=next_step)
    return code


def _say(text: str, *, kind: str, next_step: str = "") -> None:
    from rich.markup import escape

    console = stderr_console()
    label = f"[bold red]{'error' if kind else 'stopped'}:[/] "
    console.print(label + escape(text or kind), soft_wrap=True)
    for line in next_step.splitlines():
        console.print(f"[bold]next:[/]  {escape(line)}", soft_wrap=True)


def _report_defect(error: BaseException) -> int:
    traceback.print_exception(error)
    _say("this is a defect of the program, not of what you asked for.", kind="Bug")
    return ExitCode.BUG


def _leave_closed_pipe() -> int:
    """Point stdout elsewhere, or the interpreter's own flush at exit would complain about the pipe again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ExitCode.PIPE_CLOSED
