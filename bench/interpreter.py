"""Which Python is measured: how it was built, and running the whole benchmark with another one.

An interpreter that was compiled with the profile of a run (PGO) takes about a sixth less CPU for the same program,
which is more than most changes to the program give. So a figure says which kind it was made with.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from .errors import BenchError

OPTION = "--python"
_ROOT = Path(__file__).parent.parent
_CHOSEN = "BENCH_PYTHON"
"""Set for the process that was started for ``--python``, so that it does not start another."""
_NEEDED = ("replog.client", "replog.config", "lmdb", "trio", "psutil", "hdrh.histogram")
_HAS_ALL = "all there"
_PACKAGED = ("debian", "ubuntu")


@attrs.frozen(kw_only=True)
class Build:
    """How an interpreter was made.

    Parameters
    ----------
    python: its kind and version.
    is_profile_guided: compiled with the profile of a run.
    has_lto: optimized across its source files when it was linked.
    known_from: what says so.
    """

    python: str
    is_profile_guided: bool
    has_lto: bool
    known_from: str

    @property
    def words(self) -> str:
        """As a caption says it."""
        return f"{self.python} {'with PGO' if self.is_profile_guided else 'without PGO'}"


def this_build() -> Build:
    """Of the interpreter that runs this, which is also that of the replicas and of the load generator."""
    return build_of(
        f"{platform.python_implementation()} {platform.python_version()}",
        sysconfig.get_config_vars(),
        distribution=_distribution() if sys.base_prefix == "/usr" else "",
    )


def build_of(python: str, settings: Mapping[str, Any], *, distribution: str) -> Build:
    """Read it from what an interpreter tells of its own configuration.

    Parameters
    ----------
    settings: as ``sysconfig.get_config_vars`` gives them.
    distribution: ``ID`` of the system whose package the interpreter is; empty for any other.
    """
    arguments = str(settings.get("CONFIG_ARGS") or "")
    is_guided, known_from = "--enable-optimizations" in arguments, "CONFIG_ARGS"
    if not is_guided and distribution in _PACKAGED and settings.get("PGO_PROF_USE_FLAG") == "":
        # Debian's build names no option; it profiles by itself, and takes the flags out of what is installed.
        is_guided, known_from = True, f"{distribution}'s package, which takes the profile's flags out"
    has_lto = "--with-lto" in arguments or "-flto" in str(settings.get("PY_LDFLAGS") or "")
    return Build(python=python, is_profile_guided=is_guided, has_lto=has_lto, known_from=known_from)


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("ID", "")
    except OSError:
        return ""


def go_on_with_chosen(words: Sequence[str]) -> None:
    """Start again with the interpreter that ``--python`` names, if there is one; then this call does not return.

    So everything that is measured is Python of one kind: replicas, load generator, PySyncObj's nodes, and what the
    commands that look inside time in their own process.

    Parameters
    ----------
    words: the command line after the program's name.

    Raises
    ------
    BenchError: there is no such interpreter, or it does not find the packages.
    """
    word = chosen(words)
    if not word or os.environ.get(_CHOSEN) == word:
        return
    path = shutil.which(word)
    if path is None:
        raise BenchError(f"{word} is no program that can be started; name a Python, like {OPTION} /usr/bin/python3.")
    environment = {**os.environ, _CHOSEN: word, "PYTHONPATH": os.pathsep.join(_paths_for(path))}
    os.execve(path, [path, "-m", "bench", *words], environment)


def chosen(words: Sequence[str]) -> str:
    """What follows ``--python``; empty if it is not among the words."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == OPTION:
            return following
        if word.startswith(f"{OPTION}="):
            return word.partition("=")[2]
    return ""


def _paths_for(path: str) -> list[str]:
    """What its PYTHONPATH must hold: its own packages if it has them, or else ours if they fit it."""
    own, ours = [str(_ROOT)], [str(_ROOT), *dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))]
    if not (lack := _lack(path, own)):
        return own
    if _abi(path) == sysconfig.get_config_var("SOABI"):
        lack = _lack(path, ours)
    if lack:
        raise BenchError(
            f"{path} can't run the benchmark: {lack}. Make an environment with it (`make env PYTHON={path}` in "
            "another checkout) and name the bin/python of that."
        )
    return ours


def _lack(path: str, paths: Sequence[str]) -> str:
    """What it says when it is to import what is needed; empty if it has all."""
    program = f"import importlib\nfor name in {_NEEDED!r}:\n    importlib.import_module(name)\nprint({_HAS_ALL!r})"
    done = _ask(path, paths, program)
    if done.stdout.strip() == _HAS_ALL:
        return ""
    said = done.stderr.strip().splitlines() or ["it is no Python"]
    return said[-1]


def _abi(path: str) -> str:
    """For which interpreters' compiled modules it is made; empty if it is no Python."""
    return _ask(path, [], "import sysconfig; print(sysconfig.get_config_var('SOABI'))").stdout.strip()


def _ask(path: str, paths: Sequence[str], program: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run([path, "-c", program], env=environment, capture_output=True, text=True, check=False)
