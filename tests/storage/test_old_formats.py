"""A directory of formats that are not read any more is refused with a sentence that says what to do, and left alone.

It was written by the code before (``old_directory.py``): log format 3, state format 2.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from replog.directory.inspection import inspect, verify
from replog.directory.layout import STATE_FOLDER, open_directory
from replog.errors import StorageError
from replog.state.report import look_at_state, verify_state
from replog.state.store import LmdbStateStore

ARCHIVE = Path(__file__).parent / "old_directory.tar.xz"
DEADLINE_S = 30


@pytest.fixture
def old(quick_path: Path) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(quick_path, filter="data")
    return quick_path / "old"


def contents(path: Path) -> dict[str, bytes]:
    """Everything but LMDB's table of readers, which holds nothing that must last."""
    files = (file for file in path.rglob("*") if file.is_file() and file.name != "lock.mdb")
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


@pytest.mark.parametrize("look", [open_directory, inspect, verify], ids=lambda look: look.__name__)
def test_a_log_of_format_3_is_refused_and_left_as_it_is(old: Path, look: Callable[[Path], object]) -> None:
    """Both numbers and the next step, from whatever opens the directory."""
    before = contents(old)
    with pytest.raises(StorageError) as caught:
        look(old)
    assert str(caught.value) == (
        f"{old / 'identity'}: it has format version 3 and this program reads version 4 only; nothing was changed, so "
        "use the release that wrote it."
    )
    assert contents(old) == before


@pytest.mark.parametrize("look", [LmdbStateStore.open, look_at_state, verify_state], ids=lambda look: look.__name__)
def test_a_state_of_format_2_is_refused_and_left_as_it_is(old: Path, look: Callable[[Path], object]) -> None:
    """The log beside it may be of this format: then the state may be made again."""
    before = contents(old)
    with pytest.raises(StorageError) as caught:
        look(old / STATE_FOLDER)
    words = str(caught.value)
    assert words.startswith(
        f"{old / STATE_FOLDER / 'data.mdb'}: it has format 2 and this program reads format 3 only; "
    )
    assert "nothing was changed. Use the release that wrote it, or have it made again: Stop this node" in words
    assert contents(old) == before


@pytest.mark.processes
def test_a_node_does_not_start_on_it(old: Path) -> None:
    """``replog serve`` ends with the exit code of a storage failure and that sentence."""
    before = contents(old)
    settings = old.parent / "replica.toml"
    settings.write_text(f'data_dir = "{old.name}"\nstate_machine = "shop_sm:Shop"\nmembers = {{n1 = "127.0.0.1:1"}}\n')
    words = [sys.executable, "-m", "replog", "serve", "--config", str(settings)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    assert done.returncode == StorageError.exit_code, done.stderr
    assert re.search(r"format version 3.*version 4 only.*use the release that wrote it", " ".join(done.stderr.split()))
    assert "Traceback" not in done.stderr
    assert contents(old) == before
