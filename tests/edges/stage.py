"""Where rows run, and what is wrong with how one ended."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import attrs

from replog.cli_kit import ExitCode
from replog.directory.formatting import format_directory

from .rows import Row

MODULES = {"replog": "replog", "shop": "shop_sm", "bench": "bench"}
TIMEOUT_S = 300.0
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
_CODES = frozenset(ExitCode) - {ExitCode.BUG}
_SENTENCE = re.compile("^(error|refused|problem|stopped|next|not audited|damaged)", re.MULTILINE)


@attrs.frozen
class Ended:
    """How a row ended; ``fault`` is empty if that was right."""

    row: Row
    code: int
    sentence: str
    fault: str


def template(folder: Path) -> Path:
    """A formatted directory, its configuration, and files that are not what they are called."""
    format_directory(folder / "good", node="n1", members=["n1"], cluster="edges")
    settings = 'members = {n1 = "127.0.0.1:7101"}\nstate_machine = "shop_sm:Shop"\n'
    (folder / "good.toml").write_text(f'data_dir = "{folder}/good"\n{settings}')
    (folder / "beside.toml").write_text(f'data_dir = "d"\n{settings}')
    (folder / "file").write_text("x\n")
    (folder / "bom").write_bytes(b"\xef\xbb\xbfdata_dir = 'd'\n00001 1 19970101 1 11.77\n")
    (folder / "utf16").write_bytes("data_dir = 'd'\n".encode("utf-16"))
    (folder / "zeros").write_bytes(bytes(100_000))
    (folder / "lines").write_bytes(b"\r\n" * 10_000)
    (folder / "nested").write_text("a = " + "[" * 10_000 + "]" * 10_000)
    (folder / "wide").write_text("\u0661 " * 100_000)
    return folder


def run_row(row: Row, templates: Path, folder: Path, served: str = "") -> Ended:
    """Run it in ``folder``, which is empty. ``served``: the endpoints of a shop."""
    words = [word.replace("{T}", str(templates)) for word in row.words]
    command = [sys.executable, "-P", "-m", MODULES[words[0]], *words[1:]]  # as the installed command finds modules
    start = row.start.replace("{T}", str(templates))
    try:
        ended = subprocess.run(
            ["/bin/sh", "-c", start, "sh", *command],
            cwd=folder,
            env=_environment(row.variables, served if row.is_served else ""),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return Ended(row, -1, "", f"it still ran after {TIMEOUT_S:.0f} s")
    out, err = (_text(stream, row.variables) for stream in (ended.stdout, ended.stderr))
    sentence = next((line for line in err.splitlines() if line.strip()), "")
    return Ended(row, ended.returncode, sentence, _fault(row, ended.returncode, out, err))


def _environment(variables: Mapping[str, str], endpoints: str) -> dict[str, str]:
    """This one's, without what the rows are about; the tree that is tested comes first."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("REPLOG_", "PYTHON", "COLUMNS"))}
    own = {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "REPLOG_ENDPOINTS": endpoints or "127.0.0.1:9",
    }
    return {**kept, **own, **variables}


def _text(stream: bytes, variables: Mapping[str, str]) -> str:
    return stream.decode(variables.get("PYTHONIOENCODING", "utf-8"), "replace")


def _fault(row: Row, code: int, out: str, err: str) -> str:
    if "defect of the program" in err:
        return "a defect of the program"
    if "Traceback" in err or "Exception ignored" in err:
        return "a traceback"
    if code not in (row.codes or _CODES):
        return f"it ended with {code}, not with {', '.join(map(str, row.codes)) or 'a code of the table'}"
    if found := _CONTROL.search(re.sub("\x1b\\[[0-9;]*m", "", err) if row.is_told else ""):
        return f"it wrote {found.group()!a} to stderr"
    if found := _CONTROL.search(out if row.words[1:2] != ("completion",) else ""):
        return f"it wrote {found.group()!a} to stdout"
    if code not in (ExitCode.OK, ExitCode.PIPE_CLOSED) and row.is_told and not _SENTENCE.search(out + err):
        return "it said nothing"
    if "--json" in row.words and out:
        try:
            json.loads(out)
        except ValueError:
            return "what it printed is no JSON"
    return ""
