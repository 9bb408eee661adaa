"""The front page as a package index shows it: without what only a repository can serve.

An index has the text of README.md and none of the files beside it: a picture would be a dead frame and a relative link
a dead end. A link's words stay; what is behind it is told by its path.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

PICTURE = re.compile(r"<picture>.*?</picture>\n*", re.DOTALL)
RELATIVE_LINK = re.compile(r"\[([^\]]+)\]\((?!\w+:)([^)]+)\)")


def for_an_index(text: str) -> str:
    """README.md without pictures and relative links."""
    return RELATIVE_LINK.sub(_words, PICTURE.sub("", text))


def _words(link: re.Match[str]) -> str:
    words, path = link.groups()
    return f"`{path}`" if words == path else f"{words} (`{path}`)"


class FrontPage(MetadataHookInterface):
    """Gives the wheel its readme."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": for_an_index(text)}
