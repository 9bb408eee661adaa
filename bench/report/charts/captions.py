"""The words under a picture: what machine, which versions, how it was measured."""

from __future__ import annotations

from typing import Any

from ...interpreter import Build
from ..machine import one_line
from .style import SYSTEM_TITLES

Result = dict[str, Any]


def machine_line(result: Result) -> str:
    """The machine, the interpreter and how it was built, and the versions of everything in the picture."""
    versions = ", ".join(
        f"{SYSTEM_TITLES.get(name, name)} {_short(about['version'])}" for name, about in result["systems"].items()
    )
    return " · ".join(filter(None, (one_line(result["machine"]), interpreter_line(result), versions)))


def interpreter_line(result: Result) -> str:
    """What ran the replicas, and whether it was built with the profile of a run."""
    build = result.get("interpreter")
    return Build(**build).words if build else f"Python {result['versions']['python']}, its build not recorded"


def _short(version: str) -> str:
    """Without Debian's revision, which says nothing about speed."""
    return version.split("-")[0].split("+")[0]


def rounds_line(result: Result, *more: str) -> str:
    """How it was measured."""
    settings = result["settings"]
    rounds = f"median of {settings['rounds']} rounds" if settings["rounds"] > 1 else "one round"
    return " · ".join([f"{rounds} of {settings['seconds']:g} s", *more])
