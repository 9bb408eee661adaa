"""What an index and an installer get: a wheel with its licence, its types, its commands and a front page that works."""

from __future__ import annotations

import email
import email.message
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from .imports import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built as for a release."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def about(wheel: zipfile.ZipFile, file: str) -> str:
    """A file of the wheel's own description."""
    (name,) = (name for name in wheel.namelist() if re.fullmatch(rf"replog-[^/]+\.dist-info/{file}", name))
    return wheel.read(name).decode()


@pytest.fixture
def metadata(wheel: zipfile.ZipFile) -> email.message.Message:
    return email.message_from_string(about(wheel, "METADATA"))


def test_the_wheel_has_all_of_the_library_and_nothing_of_its_workshop(wheel: zipfile.ZipFile) -> None:
    """Every module, the marker of types, the data of the demo; no tests, no benchmarks."""
    names = set(wheel.namelist())
    modules = {str(path.relative_to(ROOT)) for room in ("replog", "shop_sm") for path in (ROOT / room).rglob("*.py")}
    assert modules | {"replog/py.typed", "shop_sm/data/cdnow_sample.txt"} <= names
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"replog", "shop_sm"}


def test_the_wheel_has_its_licence(wheel: zipfile.ZipFile, metadata: email.message.Message) -> None:
    """As a file, and by its name."""
    assert about(wheel, "licenses/LICENSE") == (ROOT / "LICENSE").read_text()
    assert metadata["License-Expression"] == "MIT"


def test_an_index_can_sort_it(metadata: email.message.Message) -> None:
    """What it is for, on what it runs, and that its types can be relied on."""
    classifiers = set(metadata.get_all("Classifier", []))
    assert {"Operating System :: POSIX :: Linux", "Framework :: Trio", "Typing :: Typed"} <= classifiers
    assert metadata["Keywords"]


def test_an_extra_that_is_offered_installs_something_that_runs(metadata: email.message.Message) -> None:
    """The benchmarks are no part of a wheel, so none is offered."""
    assert not metadata.get_all("Provides-Extra", [])


def test_both_commands_are_installed(wheel: zipfile.ZipFile) -> None:
    assert about(wheel, "entry_points.txt").split() == [
        "[console_scripts]", "replog", "=", "replog.cli:main", "shop", "=", "shop_sm.cli:main",
    ]  # fmt: skip


def test_the_front_page_needs_no_file_beside_it(metadata: email.message.Message) -> None:
    """No dead picture, no dead link; the words are there."""
    page = str(metadata.get_payload())
    assert "<picture>" not in page
    assert not [target for target in re.findall(r"\]\(([^)]+)\)", page) if "://" not in target]
    assert "docs/OPERATING.md" in page
    assert len(page) > 0.8 * len((ROOT / "README.md").read_text())


def test_every_picture_of_the_front_page_is_there() -> None:
    """In the repository, where it is shown with them."""
    page = (ROOT / "README.md").read_text()
    pictures = re.findall(r'(?:src|srcset)="([^"]+)"', page)
    assert pictures
    assert all((ROOT / picture).exists() for picture in pictures)
    assert Path(ROOT / "LICENSE").exists()
