"""Where the peers' load generators are, and running one of them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..child_process import started
from ..load.measurement import Measurement
from ..load.plan import LoadPlan
from ..load.window import During, follow_window

INSTALLER = Path(__file__).parent / "install.sh"
_BUILD = Path(__file__).parent / "build"


def generator_path(name: str) -> Path:
    """Where ``install.sh`` puts a load generator."""
    return _BUILD / name


def missing_parts(program: Path, generator: str, package: str) -> str | None:
    """Why a peer can't be measured: its program or its generator is not there; None if both are."""
    if not program.exists():
        return f"{package} is not installed; run bench/peers/install.sh"
    if not generator_path(generator).exists():
        return "its load generator is not built; run bench/peers/install.sh"
    return None


def package_version(package: str) -> str:
    """Version of a Debian package, or ``unknown`` where dpkg does not know it."""
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


async def measure_with(
    generator: str,
    plan: LoadPlan,
    endpoints: Sequence[str],
    servers: Mapping[str, int],
    *,
    system: str,
    folder: Path,
    during: During | None,
) -> Measurement:
    """Run a generator once and follow its window."""
    command = [str(generator_path(generator)), *plan.words(endpoints)]
    with started(command, log_path=folder / "load.log", has_pipes=True) as child:
        return await follow_window(child, plan, system=system, servers=servers, during=during)
