"""Completion works as the hint installs it, for both commands."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from replog.cli_kit import ExitCode

PROGRAMS = {"replog": "replog", "shop": "shop_sm"}
WORDS = {"replog": {"submit", "status", "completion"}, "shop": {"order", "demo", "completion"}}


def script(program: str, shell: str) -> tuple[str, str]:
    """The script, and what is said beside it."""
    done = subprocess.run(
        [sys.executable, "-m", PROGRAMS[program], "completion", shell], capture_output=True, text=True, check=False
    )
    assert done.returncode == ExitCode.OK, done.stderr
    return done.stdout, done.stderr


def installed(program: str, shell: str, home: Path) -> Path:
    """Do what the hint says, in another home; returns the file that came of it."""
    text, said = script(program, shell)
    hint = re.search(r"next:  mkdir -p (\S+); (.*) > (\S+)", said)
    assert hint is not None
    assert hint[2] == f"{program} completion {shell}"
    path = home / hint[3].removeprefix("~/")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("program", PROGRAMS)
def test_bash_completes_the_first_word(program: str, tmp_path: Path) -> None:
    """As bash itself asks: it loads the file by the program's name, and calls what that registers."""
    path = installed(program, "bash", tmp_path)
    assert path.name == program
    function = re.search(rf"^complete .*-F (\w+) .*{program}$", path.read_text(), re.MULTILINE)
    assert function is not None
    asked = f"COMP_WORDS=({program} ''); COMP_CWORD=1; {function[1]}; echo ${{COMPREPLY[@]}}"
    text = f"source {path}; {asked}"
    done = subprocess.run(["bash", "--norc", "-c", text], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) >= WORDS[program]


@pytest.mark.parametrize("program", PROGRAMS)
def test_zsh_completes_from_a_folder_of_its_path(program: str, tmp_path: Path) -> None:
    """zsh runs the file as the body of a function: the file has to call what it defines."""
    path = installed(program, "zsh", tmp_path)
    lines = path.read_text().splitlines()
    assert path.name == f"_{program}"
    assert lines[0] == f"#compdef {program}"
    assert f'  _cyclopts_{program} "$@"' in lines[-5:]
    zsh = shutil.which("zsh")
    if zsh is None:
        pytest.skip("zsh is not installed; only the file's text was checked")
    stub = "_arguments() { state=cmds }; _describe() { print -l ${(P)4} }"
    text = f"fpath=({path.parent} $fpath); autoload -Uz _{program}; {stub}; _{program}"
    done = subprocess.run([zsh, "-f", "-c", text], capture_output=True, text=True, check=True)
    assert {line.partition(":")[0] for line in done.stdout.splitlines()} >= WORDS[program]


@pytest.mark.parametrize("program", PROGRAMS)
def test_fish_finds_a_file_of_the_programs_name(program: str, tmp_path: Path) -> None:
    """Only the place can be checked here."""
    assert installed(program, "fish", tmp_path).name == f"{program}.fish"
