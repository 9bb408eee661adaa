"""What several tests of real processes stand on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .namespaces import Network, missing


@pytest.fixture
def network() -> Iterator[Network]:
    """Machines with a network between them that can be cut; skips where none can be made."""
    if reason := missing():
        pytest.skip(reason)
    network = Network()
    try:
        network.build()
        yield network
    finally:
        network.destroy()
