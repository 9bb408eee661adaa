"""The words under a picture: what machine, which versions, how it was measured."""

from __future__ import annotations

from typing import Any

from ...interpreter import Build
from ..machine import one_line
from .style import SYSTEM_TITLES

Result = dict[str, Any]


def machine_line(result: Result) -> str:
    """The machine, the interpreter and how it was built, and the versions of everything in the picture."""
    versions = dict.fromkeys(
        f"{_product(name)} {_short(about['version'])}" for name, about in result["systems"].items()
    )
    return " · ".join(filter(None, (one_line(result["machine"]), interpreter_line(result), ", ".join(versions))))


def _product(system: str) -> str:
    """What a version is of: two ways to run the same program are one product."""
    return SYSTEM_TITLES.get(system, system).split(",")[0].removesuffix(" 3.5")


def durability_line(result: Result) -> str:
    """What is on disk when each system answers."""
    return f"Durable when answered: {_grouped(result, 'durability')}"


def asked_line(result: Result) -> str:
    """Whom the clients of each system are connected to."""
    return f"Asked: {_grouped(result, 'asked')}"


def _grouped(result: Result, key: str) -> str:
    """What is said of the systems, and of which: ``etcd, ZooKeeper: fsync on a quorum before the answer``."""
    groups: dict[str, list[str]] = {}
    for name, about in result["systems"].items():
        groups.setdefault(about.get(key, "not recorded"), []).append(SYSTEM_TITLES.get(name, name))
    return "; ".join(f"{' / '.join(names)}: {text}" for text, names in groups.items())


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
