"""A state machine that can't be loaded is its author's matter: a sentence with the line, and never "a defect"."""

from __future__ import annotations

from pathlib import Path

import pytest

from replog.config import load_state_machine
from replog.errors import ConfigError
from replog.sim import load_workload

BODY = """
import replog

class Machine(replog.StateMachine):
    def __init__(self{arguments}):
        {begin}

    def apply(self, state, command):
        return b""

    def query(self, view, request):
        return b""
"""


def written(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    return f"{name}:Machine"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("raises_at_import", "1 / 0", r"can't be loaded: ZeroDivisionError: division by zero \(.*raises_at_import.py"),
        ("exits_at_import", "raise SystemExit(7)", r"can't be loaded: SystemExit: 7 \(.*line 1\)"),
        ("is_no_python", "\ndef broken(:", r"can't be loaded: .* \(.*is_no_python.py, line 2\)"),
        ("lacks_a_package", "import surely_not_here", "No module named 'surely_not_here'; is its package installed"),
        ("lacks_the_class", "", r"lacks_the_class.py has no Machine"),
        ("has_a_function", "def Machine(): ...", "Machine is no class derived from replog.StateMachine"),
        (
            "wants_arguments",
            BODY.format(arguments=", size", begin="pass"),
            "can't be made without arguments: TypeError",
        ),
        ("raises_when_made", BODY.format(arguments="", begin="{}['x']"), r"KeyError: 'x' \(.*line 6\)"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    name: str, text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For `serve`, `dev`, `config check` and `sim` alike, since all load it here."""
    machine = written(tmp_path, name, text, monkeypatch)
    for load in (load_state_machine, load_workload):
        with pytest.raises(ConfigError, match=said):
            load(machine)


def test_a_workload_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the user's code as well."""
    text = BODY.format(arguments="", begin="pass") + "\ndef sim_workload():\n    raise ValueError('no seeds')\n"
    machine = written(tmp_path, "has_a_bad_workload", text, monkeypatch)
    with pytest.raises(ConfigError, match=r"sim_workload\(\) of has_a_bad_workload fails: ValueError: no seeds"):
        load_workload(machine)
