"""Signals that end a command in order: from a keyboard, a supervisor, or a terminal that is closed.

A terminal that is closed may send more than one hangup, so only another SIGINT or SIGTERM hurries. Where whoever
started the command had hangups ignored (``nohup``), they stay so.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import trio


async def stop_at_signal(scope: trio.CancelScope, *, task_status: trio.TaskStatus[None]) -> None:
    """Cancel ``scope`` at the first of them; the next one, but for a hangup, does what it does to any process."""
    import structlog
    import trio

    on_hangup = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what the receiver leaves behind
    heard = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    if on_hangup is signal.SIG_IGN:
        heard.remove(signal.SIGHUP)
    try:
        with trio.open_signal_receiver(*heard) as signals:
            task_status.started()
            async for number in signals:
                structlog.get_logger(__name__).info("stopping", signal=signal.Signals(number).name)
                scope.cancel()
                return
    except trio.Cancelled:
        signal.signal(signal.SIGHUP, on_hangup)
        raise
