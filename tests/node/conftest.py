"""What several files of this room share."""

from __future__ import annotations

import pytest

from replog.ports import free_ports


@pytest.fixture
def unused_ports() -> list[int]:
    """Three ports nobody listens on at the moment."""
    return free_ports(3)
