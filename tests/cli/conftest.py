"""Running the command as a person would, without a process each time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from replog.cli.app import build_app
from replog.cli_kit import run


@attrs.frozen
class Done:
    """What a finished command left behind."""

    code: int
    out: str
    err: str

    @property
    def fields(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        fields: dict[str, Any] = json.loads(self.out)
        return fields


Replog = Callable[..., Done]


@pytest.fixture
def replog(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Replog:
    """Runs ``replog`` with the given words, in this process, away from the environment's own settings."""
    for name in ("REPLOG_ENDPOINTS", "REPLOG_LOG_LEVEL", "REPLOG_LOG_FORMAT", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.argv", ["replog"])

    def run_replog(*words: object) -> Done:
        capsys.readouterr()
        tokens = [str(word) for word in words]
        code = run(build_app(tokens), tokens)
        output = capsys.readouterr()
        return Done(int(code), output.out, output.err)

    return run_replog
