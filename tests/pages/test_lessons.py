"""docs/TUTORIAL.md and docs/COOKBOOK.md: every block runs as it stands, in a network of its own where that may be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ..imports import ROOT
from .lesson import Block, blocks, commands, is_as_told, missing_packages

LESSONS = ("docs/TUTORIAL.md", "docs/COOKBOOK.md")
APART = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
"""The pages name ports that another cluster of this machine may have."""


def _can_be_apart() -> bool:
    try:
        return subprocess.run([*APART, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.processes
@pytest.mark.timeout(900)  # a person's first hour; on a machine that does something else besides, for long
@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("page", LESSONS)
def test_a_page_does_what_it_says(page: str, tmp_path: Path) -> None:
    """From its first block to its last; what needs a package that is not here is compiled, and said."""
    command = [sys.executable, "-m", "tests.pages.lesson", str(ROOT / page), str(tmp_path / "lesson")]
    done = subprocess.run(
        [*(APART if _can_be_apart() else []), *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    if done.stdout:
        pytest.skip(f"everything else ran; {done.stdout.strip()}")


@pytest.mark.parametrize("page", LESSONS)
def test_a_page_has_blocks_that_run_and_no_others(page: str) -> None:
    """A block of another kind would never be tried."""
    found = list(blocks((ROOT / page).read_text()))
    assert len(found) * 2 == (ROOT / page).read_text().count("```")
    assert {block.kind for block in found} <= {"python", "toml", "console", "terminal"}


def test_a_block_is_compared_with_what_is_printed() -> None:
    """Three dots stand for anything, nothing for whatever comes."""
    (block,) = blocks("a\n```console\n$ ls\nx ... z\n$ true\n```\n")
    assert block == Block("console", "$ ls\nx ... z\n$ true\n", 2)
    assert list(commands(block.text)) == [("ls", "x ... z\n"), ("true", "")]
    assert is_as_told("x ... z\n", "x\ny z\n") is False
    assert is_as_told("x ... z\n", "x 1\n2 z\n")
    assert is_as_told("", "anything")
    assert not is_as_told("a", "ab")


def test_a_package_that_is_not_there_is_named() -> None:
    """By its top level."""
    assert missing_packages("import os, replog\nfrom surely_not_here.x import y") == {"surely_not_here"}
