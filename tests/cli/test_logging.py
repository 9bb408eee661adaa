"""What the commands' log lines hold, and what they never do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from replog.cli_kit import LogFormat, configure_logging


@pytest.fixture(autouse=True)
def _configured_again() -> Iterator[None]:
    """Other tests find logging as they left it."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.mark.parametrize("log_format", ["json", "pretty"])
def test_a_traceback_shows_no_values(capsys: pytest.CaptureFixture[str], log_format: LogFormat) -> None:
    """Local variables of a replica are commands, and whoever reads a log need not know them."""
    configure_logging("info", log_format)
    try:
        command = bytes.fromhex("61206E616D65")
        command.decode("no such codec")
    except LookupError:
        structlog.get_logger().error("failed", exc_info=True)
    told = capsys.readouterr().err
    assert "LookupError" in told
    assert "a name" not in told
