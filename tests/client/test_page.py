"""The pages tell the truth about a client: its options, and how its calls end."""

from __future__ import annotations

import re
from pathlib import Path

import attrs

from replog import errors
from replog.client import Client, ClientOptions
from replog.errors import (
    ChangeRefused,
    CommandFailed,
    CommandTooLarge,
    OutcomeUnknown,
    Overloaded,
    Refused,
    ReplogError,
    SessionExpired,
    StorageFull,
    Unavailable,
)

PAGE = (Path(__file__).parent.parent.parent / "docs" / "OPERATING.md").read_text()


def test_every_option_is_on_the_page_with_its_default() -> None:
    """In the order of the code, none missing and none that is no more."""
    section = PAGE.split("\n### A client's options\n", 1)[1].split("\n## ", 1)[0]
    described = re.findall(r"^\| `(\w+)` \| ([^|]+) \| .+\. \|$", section, re.MULTILINE)
    defaults = [(field.name, field.default) for field in attrs.fields(ClientOptions)]
    assert described == [(name, f"{one:,}" if isinstance(one, int) else f"{one:g}") for name, one in defaults]


def test_every_ending_is_on_the_page() -> None:
    """Each error that a client raises on purpose is in its table, and no other is named."""
    page = (Path(__file__).parent.parent.parent / "docs" / "CLIENT.md").read_text()
    raised = {
        Unavailable,
        Overloaded,
        StorageFull,
        CommandTooLarge,
        CommandFailed,
        OutcomeUnknown,
        SessionExpired,
        Refused,
        ChangeRefused,
    }
    known = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, ReplogError)}
    assert set(re.findall(r"`(\w+)`", page)) & known == {kind.__name__ for kind in raised}
    docstrings = "".join(getattr(Client, name).__doc__ or "" for name in dir(Client) if not name.startswith("_"))
    assert all(kind.__name__ in docstrings for kind in raised)
