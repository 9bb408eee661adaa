"""A client of the log, for trio and asyncio programs."""

from __future__ import annotations

from .client import TIMEOUT_S as TIMEOUT_S
from .client import Answer as Answer
from .client import Client as Client
from .client import Consistency as Consistency
from .client import connect as connect
from .session import Receipt as Receipt
