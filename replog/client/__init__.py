"""A client of the log, for trio and asyncio programs; and ways to ask one given node."""

from __future__ import annotations

from .call import Receipt as Receipt
from .client import Client as Client
from .client import Consistency as Consistency
from .client import connect as connect
from .entries import DecodedEntry as DecodedEntry
from .entries import LoggedCommand as LoggedCommand
from .entries import decode_entry as decode_entry
from .members import Members as Members
from .one_node import ask_query as ask_query
from .one_node import ask_status as ask_status
from .one_node import ask_transfer as ask_transfer
from .options import ClientOptions as ClientOptions
from .reads import Answer as Answer
