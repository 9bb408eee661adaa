"""Runs a command and turns whatever comes out of it into an exit code and a sentence.

One handler for all commands, so that an error looks the same wherever it comes from: what happened and why on the
first line, what to do next on the second, both on stderr. A traceback means a defect of the program and nothing
else; with ``--json`` the error is also one JSON object on stdout, since whoever asked for JSON reads that.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeGuard

import cyclopts

from replog.errors import ReplogError

from .exit_codes import NEXT_STEPS, ExitCode
from .printing import leave_what_is_full, note, print_json, ready_streams

_OUR_MISTAKES = (None, errno.EBADF, errno.EFAULT, errno.EINVAL, errno.ENOTSOCK)
"""What the system says to a call that makes no sense."""

_UNCHECKED = (
    "replog checks its own invariants with assert, which python -O and PYTHONOPTIMIZE take out.",
    "run it without them.",
)

_NO_TEXT = "its bytes are no UTF-8. Type it anew."

_TROUBLE_STEPS = {
    errno.EMFILE: "allow this process more open files (ulimit -n).",
    errno.ENFILE: "allow this machine more open files (sysctl fs.file-max).",
    errno.ENOMEM: "end something else, or allow this process more (ulimit -v).",
    errno.ENOSPC: "make room on that disk.",
    errno.EDQUOT: "make room within the quota of that disk.",
    errno.EACCES: "check the owner and the permissions, of the folders above it too.",
    errno.EPERM: "check the owner and the permissions, of the folders above it too.",
    errno.ENOENT: "check the name; if it is the working directory that is gone, change to one that is there.",
}


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
    ready_streams()
    try:
        return _run(app, tokens, is_json="--json" in tokens)
    finally:
        leave_what_is_full()


def _run(app: Callable[[Sequence[str]], object], tokens: Sequence[str], *, is_json: bool) -> int:
    if not __debug__:
        return _report_error("Usage", *_UNCHECKED, ExitCode.USAGE, is_json=is_json)
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
    return isinstance(error, expected) or is_trouble(error) or _is_no_text(error)


def _is_no_text(error: BaseException) -> TypeGuard[UnicodeEncodeError]:
    """Whether bytes of the command line, or of a variable, were no text where text was meant: Python keeps them as
    surrogates, which come from nowhere else. Names of files may be such."""
    return isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed"


def is_trouble(error: BaseException) -> TypeGuard[OSError | MemoryError]:
    """Whether the system said no to something that was right to ask for: the message then needs no traceback."""
    is_named = isinstance(error, OSError) and (error.filename is not None or error.errno not in _OUR_MISTAKES)
    return is_named or isinstance(error, MemoryError)


def _report(error: BaseException, *, is_json: bool) -> int:
    match error:
        case SystemExit():
            return error.code if isinstance(error.code, int) else ExitCode.OK
        case KeyboardInterrupt():
            _say("interrupted", kind="")
            return ExitCode.INTERRUPTED
        case BrokenPipeError():
            return ExitCode.PIPE_CLOSED
        case ReplogError():
            return _report_error(type(error).__name__, str(error), next_step(error), error.exit_code, is_json=is_json)
        case cyclopts.CycloptsError():
            return _report_error("Usage", *_usage(error), ExitCode.USAGE, is_json=is_json)
        case UnicodeEncodeError() if _is_no_text(error):
            return _report_error(
                "Usage", f"{error.object[:100]!a} is no text: {_NO_TEXT}", "", ExitCode.USAGE, is_json=is_json
            )
        case _ if is_trouble(error):
            return _report_error("SystemTrouble", *trouble_of(error), ExitCode.USAGE, is_json=is_json)
    return _report_defect(error)


def trouble_of(error: OSError | MemoryError) -> tuple[str, str]:
    """What the system said no to, and what to do."""
    if isinstance(error, MemoryError):
        return "out of memory.", "end something else, or allow this process more (ulimit -v)."
    name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
    text = error.strerror or str(error)
    return (text if name is None else f"{name}: {text}"), _TROUBLE_STEPS.get(error.errno or 0, "")


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
        with suppress(OSError):
            print_json({"error": {"kind": kind, "message": text, "next": next_step, "exit_code": int(code)}})
    _say(text, kind=kind, next_step=next_step)
    return code


def _say(text: str, *, kind: str, next_step: str = "") -> None:
    first, *others = (text or kind).splitlines()
    note(("error:" if kind else "stopped:", "bold red"), f" {first}")
    for line in others:
        note(line)
    for line in next_step.splitlines():
        note(("next:", "bold"), f"  {line}")


def _report_defect(error: BaseException) -> int:
    with suppress(OSError, ValueError):
        traceback.print_exception(error)
    _say("this is a defect of the program, not of what you asked for.", kind="Bug")
    return ExitCode.BUG
