"""What several files of this room share."""

from __future__ import annotations

import socket

import pytest


@pytest.fixture
def unused_ports() -> list[int]:
    """Three ports nobody listens on at the moment."""
    sockets = [socket.socket() for _ in range(3)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()
