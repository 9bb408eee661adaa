"""Where the peers' load generators are, and running one of them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import trio

from ..child_process import started
from ..errors import ChildFailed
from ..load.measurement import Measurement
from ..load.plan import LoadPlan
from ..load.window import During, follow_window

INSTALLER = Path(__file__).parent / "install.sh"
PREPARED_S_MAX = 60.0
_TRY_AGAIN_S = 0.3
_BUILD = Path(__file__).parent / "build"


def built_path(name: str) -> Path:
    """Where ``install.sh`` puts a load generator, or a server that comes from PyPI."""
    return _BUILD / name


def missing_parts(program: Path, generator: str) -> str | None:
    """Why a peer can't be measured: its program or its generator is not there; None if both are."""
    if not program.exists():
        return f"{program.name} is not installed; run bench/peers/install.sh"
    if not built_path(generator).exists():
        return "its load generator is not built; run bench/peers/install.sh"
    return None


def package_version(package: str) -> str:
    """Version of a Debian package, or ``unknown`` where dpkg does not know it."""
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def program_version(program: Path) -> str:
    """The version a program says it has: the first word with a dot in it."""
    done = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=False)
    return next((word.lstrip("v") for word in done.stdout.split() if "." in word), "unknown")


async def prepare_with(generator: str, endpoints: Sequence[str], folder: Path, *, replicas: int, keys: int) -> None:
    """Have a generator make what the puts go into, as soon as the servers let it. Raises ``ChildFailed``."""
    words = ["--prepare", "--endpoints", ",".join(endpoints), "--replicas", str(replicas), "--keys", str(keys)]
    log_path = folder / "prepare.log"
    with trio.move_on_after(PREPARED_S_MAX):
        while True:
            with log_path.open("ab") as log:
                done = await trio.run_process([str(built_path(generator)), *words], stdout=log, stderr=log, check=False)
            if not done.returncode:
                return
            await trio.sleep(_TRY_AGAIN_S)
    said = log_path.read_text(errors="replace").strip().splitlines()[-1:]
    raise ChildFailed(f"{generator} could not prepare the servers within {PREPARED_S_MAX:.0f} s: {''.join(said)}")


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
    command = [str(built_path(generator)), *plan.words(endpoints)]
    with started(command, log_path=folder / "load.log", has_pipes=True) as child:
        return await follow_window(child, plan, system=system, servers=servers, during=during)
