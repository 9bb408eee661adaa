"""Ports for processes on loopback that nobody else uses at the moment."""

from __future__ import annotations

import random
import socket
from typing import Final

_PORTS: Final = range(10_000, 32_000)
"""Below those that the kernel gives to outgoing connections, which would take one between the look and the use."""


def free_ports(count: int) -> list[int]:
    """Different ports of 127.0.0.1 that nobody listens on.

    Raises ``OSError`` if there are not so many.
    """
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        if len(found) == count:
            break
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
    if len(found) < count:
        raise OSError(f"only {len(found)} of {count} ports are free on 127.0.0.1")
    return found
