"""A state machine whose process has a slow resolver: ``n1.test`` is 127.0.0.1, after longer than any dial waits."""

from __future__ import annotations

import socket
import time
from typing import Any

from .ledger_machine import Ledger

SLOW_S = 2.0
DOMAIN = ".test"
_ask = socket.getaddrinfo


def _ask_slowly(host: Any, port: Any, *words: Any, **options: Any) -> Any:
    if not str(host).endswith(DOMAIN):
        return _ask(host, port, *words, **options)
    time.sleep(SLOW_S)
    return _ask("127.0.0.1", port, *words, **options)


socket.getaddrinfo = _ask_slowly

__all__ = ["Ledger"]
