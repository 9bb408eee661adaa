"""In what two members must agree beside the log, and how a difference is told."""

from __future__ import annotations

import types

import attrs
import pytest

from replog.apply import machine_terms as machine_terms_module
from replog.apply.machine_terms import difference, machine_terms, python_tag
from replog.apply.sessions import SessionOptions


def test_members_with_the_same_options_agree() -> None:
    """Two processes of one installation find nothing."""
    assert difference(machine_terms(SessionOptions()), machine_terms(SessionOptions())) == ""


@pytest.mark.parametrize("name", attrs.fields_dict(SessionOptions))
def test_every_option_of_the_sessions_is_a_term(name: str) -> None:
    """When a session ends and what is kept for it is decided by each replica for itself."""
    usual = SessionOptions()
    value = getattr(usual, name)
    other = attrs.evolve(usual, **{name: value + 1})
    told = difference(machine_terms(usual), machine_terms(other))
    assert told == f"[sessions] {name}: {value} here, {value + 1} there"


def test_a_term_that_only_one_knows_is_a_difference() -> None:
    """A newer version may have one more; which of the two it is does not matter."""
    assert difference((("a", "1"),), (("a", "1"), ("b", "2"))) == "b: unknown here, 2 there"
    assert difference((("a", "1"), ("b", "2")), (("a", "1"),)) == "b: 2 here, unknown there"


def python(minor: int, micro: str, compiler: str) -> dict[str, object]:
    """What a member says that runs on this Python."""
    return {
        "sys": types.SimpleNamespace(
            implementation=types.SimpleNamespace(cache_tag=f"cpython-3{minor}", name="cpython"),
            version_info=(3, minor, int(micro)),
        ),
        "platform": types.SimpleNamespace(
            python_version=lambda: f"3.{minor}.{micro}", machine=lambda: "x86_64", python_compiler=lambda: compiler
        ),
    }


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (python(11, "2", "GCC 12"), python(11, "9", "Clang 18"), True),
        (python(11, "2", "GCC 12"), python(12, "2", "GCC 12"), False),
        (python(14, "0", "GCC 12"), python(14, "0", "GCC 12"), True),
        (python(14, "0", "GCC 12"), python(14, "1", "GCC 12"), False),
        (python(14, "0", "GCC 12"), python(14, "0", "Clang 18"), False),
    ],
)
def test_which_pythons_may_run_one_log(
    one: dict[str, object], other: dict[str, object], is_same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One minor version; from 3.14 on one build, since how deep a command may recurse follows from it."""
    tags: list[str] = []
    for says in (one, other):
        for name, module in says.items():
            monkeypatch.setattr(machine_terms_module, name, module)
        tags.append(python_tag())
    assert (tags[0] == tags[1]) is is_same
