"""A figure says with what kind of interpreter it was made, and another one can be named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.app import COMMANDS, build_app
from bench.interpreter import build_of, chosen

ROOT = Path(__file__).parent.parent.parent
PLAIN = {"CONFIG_ARGS": "'--enable-shared'", "PGO_PROF_USE_FLAG": "-fprofile-use -fprofile-correction"}


def test_the_option_of_a_profile_guided_build_is_recognized() -> None:
    """What was configured with ``--enable-optimizations`` is, and what was not is not."""
    guided = {**PLAIN, "CONFIG_ARGS": "'--enable-optimizations' '--with-lto'"}
    found = build_of("CPython 3.11.7", guided, distribution="")
    assert found.is_profile_guided
    assert found.has_lto
    assert found.words == "CPython 3.11.7 with PGO"
    assert build_of("CPython 3.11.7", PLAIN, distribution="").words == "CPython 3.11.7 without PGO"


def test_debians_build_is_recognized_by_what_it_takes_out() -> None:
    """Its configuration names no option, and its flags for the profile are empty; nobody else's would be."""
    stripped = {**PLAIN, "PGO_PROF_USE_FLAG": ""}
    assert build_of("CPython 3.11.2", stripped, distribution="debian").is_profile_guided
    assert not build_of("CPython 3.11.2", PLAIN, distribution="debian").is_profile_guided
    assert not build_of("CPython 3.11.2", stripped, distribution="").is_profile_guided


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["codec", "--python", "/usr/bin/python3"], "/usr/bin/python3"),
        (["codec", "--python=/usr/bin/python3", "--json"], "/usr/bin/python3"),
        (["codec", "--json"], ""),
        (["codec", "--python"], ""),
    ],
)
def test_the_interpreter_is_found_among_the_words(words: list[str], path: str) -> None:
    """Before the command line is parsed, since what parses it is to run in that interpreter too."""
    assert chosen(words) == path


def run_with(python: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", "codec", "--python", python, *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.processes
@pytest.mark.parametrize("python", ["/nowhere/python", "/bin/true", "/bin/false"])
def test_what_is_no_python_is_refused_with_a_sentence(python: str) -> None:
    """Before anything is measured, and without a traceback."""
    done = run_with(python)
    assert done.returncode == 4
    assert python in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.processes
def test_everything_goes_on_in_the_named_interpreter(tmp_path: Path) -> None:
    """Another name of the same one, which says of itself what it was started as."""
    link = tmp_path / "python-by-another-name"
    link.symlink_to(Path(sys.executable).resolve())
    done = run_with(
        str(link), "--commands", "1", "--rounds", "1", "--seconds", "0.001", "--results", str(tmp_path), "--json"
    )
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*-codec.json")
    assert '"interpreter"' in path.read_text()
    assert str(link) in path.read_text()


def test_every_command_has_one_line_in_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    """It says what the measurement asks, and is short enough to stay one line on 80 columns."""
    build_app()(["--help"])
    said = capsys.readouterr().out
    for _group, name, _target, summary in COMMANDS:
        assert any(name in line and summary in line for line in said.splitlines()), name


def test_every_option_says_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Those that all measurements share too."""
    build_app(["reads"])(["reads", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    for option, words in {
        "--rounds": "Measured windows",
        "--data": "Folder the clusters",
        "--python": "Interpreter",
    }.items():
        assert option in said
        assert words in said
