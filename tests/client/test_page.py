"""docs/OPERATING.md tells the truth about a client's options."""

from __future__ import annotations

import re
from pathlib import Path

import attrs

from replog.client import ClientOptions

PAGE = (Path(__file__).parent.parent.parent / "docs" / "OPERATING.md").read_text()


def test_every_option_is_on_the_page_with_its_default() -> None:
    """In the order of the code, none missing and none that is no more."""
    section = PAGE.split("\n### A client's options\n", 1)[1].split("\n## ", 1)[0]
    described = re.findall(r"^\| `(\w+)` \| ([^|]+) \| .+\. \|$", section, re.MULTILINE)
    defaults = [(field.name, field.default) for field in attrs.fields(ClientOptions)]
    assert described == [(name, f"{one:,}" if isinstance(one, int) else f"{one:g}") for name, one in defaults]
