"""The log's LMDB environment: what it consists of, how it is made, and how it is checked and opened.

It owns everything that happens before the first record is read: an earlier process's writes are made durable, the
structure is checked before LMDB maps the file, a commit that lacked its last step is finished, and the log must be the
one that its directory says it is (P9).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import attrs
import lmdb
import msgspec

from ..disk.environment import DATA_FILE, begin_reading, finish_commit, open_environment
from ..disk.page_cache import settle
from ..disk.pages import Layout, PageReport, check_pages
from ..errors import Damaged, StorageError
from ..paxos.ballot import node_name
from ..process.resources import lacking
from .contract import Identity
from .records import (
    FORMAT_BEFORE,
    FORMAT_VERSION,
    IDENTITY_KEY,
    MEMBERSHIP_KEY,
    POSITION_KEY,
    PROMISE_KEY,
    SLOT_KEY_BYTES,
    SLOTS_NAME,
    Position,
    Promised,
    decode_identity,
    decode_position,
    encode_identity,
    encode_membership,
    encode_position,
    encode_promise,
    is_of_format_before,
)

LOG_LAYOUT: Final = Layout(
    trees=(SLOTS_NAME,),
    position_key=POSITION_KEY,
    transaction_of=lambda data: decode_position(data).transaction,
    key_bytes=SLOT_KEY_BYTES,
    is_older_ours=True,
)
_NEW_MAP_BYTES: Final = 16 * 2**20

NEVER_FRESH: Final = (
    "the node can't start from it, and never starts afresh. Keep the directory for inspection "
    '(`replog verify` says more) and see "replace a dead node" in docs/OPERATING.md'
)


@attrs.frozen
class LogEnvironment:
    """A log that is open and whose it is.

    Parameters
    ----------
    slots: LMDB's handle of the tree of slots.
    position: where it stands.
    distrust: empty, or why the node must abstain: the log's own record of its identity is damaged (P10).
    """

    env: lmdb.Environment
    slots: Any
    identity: Identity
    position: Position
    distrust: str


def create_log(path: Path, identity: Identity) -> None:
    """Make the log of a new node in the empty folder ``path``. Raises ``StorageError``."""
    try:
        with open_environment(path, _NEW_MAP_BYTES) as env:
            slots = env.open_db(SLOTS_NAME)
            for _root_page in (0, 1):  # both root pages then stand on a tree that names its transaction
                with env.begin(write=True) as transaction:
                    transaction.put(IDENTITY_KEY, encode_identity(identity))
                    transaction.put(MEMBERSHIP_KEY, encode_membership(identity.membership))
                    transaction.put(PROMISE_KEY, encode_promise(Promised()))
                    transaction.put(POSITION_KEY, encode_position(Position(transaction.id())))
                    transaction.stat(slots)
    except lmdb.Error as error:
        lack = lacking(f"{path / DATA_FILE} can't be created", error)
        raise lack or StorageError(f"{path / DATA_FILE} can't be created: {error}; check the disk.") from error


def open_log_environment(path: Path, expected: Identity | None, *, map_step_bytes: int) -> LogEnvironment:
    """Make durable what an earlier process wrote, check the structure of the log in ``path``, and open it.

    Parameters
    ----------
    path: folder of the log; its data directory is locked by the caller.
    expected: whose log it must be; None if the identity file is damaged and the log's own record has to do.
    map_step_bytes: how much larger than the file the map is.

    Raises
    ------
    StorageError: see ``DataDirectory.open_log``.
    """
    data_path = path / DATA_FILE
    settle(data_path)
    unfinished = check_file(data_path).unfinished
    if unfinished is not None:
        finish_commit(data_path, unfinished)
    try:
        env = open_environment(path, data_path.stat().st_size + map_step_bytes)
    except lmdb.Error as error:
        lack = lacking(f"{data_path} can't be opened", error)
        raise lack or StorageError(f"{data_path} can't be opened: {error}; {NEVER_FRESH}") from error
    try:
        env.reader_check()
        slots = env.open_db(SLOTS_NAME, create=False)
        with begin_reading(env) as transaction:
            stored = transaction.get(IDENTITY_KEY)
            position = decode_position(transaction.get(POSITION_KEY))
        identity, distrust = _identity_in(data_path, stored, expected)
        if is_of_format_before(stored):
            _raise_format(env, data_path, identity, position)
    except lmdb.Error as error:
        env.close()
        lack = lacking(f"{data_path} can't be opened", error)
        raise lack or Damaged(f"{data_path} is damaged: {error}; {NEVER_FRESH}") from error
    except BaseException:
        env.close()
        raise
    return LogEnvironment(env, slots, identity, position, distrust)


def _raise_format(env: lmdb.Environment, data_path: Path, identity: Identity, position: Position) -> None:
    """Identity and position in the form of this format, in one transaction (J19). A program before it refuses both."""
    try:
        with env.begin(write=True) as transaction:
            transaction.put(IDENTITY_KEY, encode_identity(identity))
            raised = msgspec.structs.replace(position, transaction=transaction.id())
            transaction.put(POSITION_KEY, encode_position(raised))
    except lmdb.Error as error:
        raise lacking(f"{data_path} can't be written", error) or StorageError(
            f"{data_path}: a write failed ({error}) that raises its format from {FORMAT_BEFORE} to {FORMAT_VERSION}. "
            "Check the disk (dmesg, free space), then start the node again: it is of either format, and both are read."
        ) from error


def _identity_in(data_path: Path, stored: bytes | None, expected: Identity | None) -> tuple[Identity, str]:
    """Whose log it is, and why that is not to be relied on (empty: it is)."""
    try:
        identity = decode_identity(stored)
    except Damaged as error:
        if expected is None:
            raise Damaged(
                f"{data_path}: {error}, and the identity file beside it is damaged too; {NEVER_FRESH}"
            ) from error
        return expected, f"in the log, {error}"
    except StorageError as error:
        raise StorageError(f"{data_path}: {error}.") from error
    if expected is not None and identity != expected:
        raise StorageError(
            f"{data_path} belongs to {_owner(identity)}, its directory to {_owner(expected)}: one of them "
            "was copied or restored from elsewhere. Put back what belongs together; never start the mixture."
        )
    return identity, ""


def _owner(identity: Identity) -> str:
    return (
        f"{node_name(identity.node)} of cluster {identity.cluster.hex()} (incarnation {identity.incarnation.hex()[:8]})"
    )


def check_file(data_path: Path) -> PageReport:
    """Check the structure of a log that no process has open.

    Raises
    ------
    StorageError: the file is absent or can't be read.
    Damaged: it is truncated or damaged in its structure.
    """
    try:
        descriptor = os.open(data_path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        lack = lacking(f"{data_path} can't be read", error)
        raise lack or StorageError(f"{data_path} can't be read: {error}; {NEVER_FRESH}") from error
    try:
        size = os.fstat(descriptor).st_size
        return check_pages(lambda offset, length: os.pread(descriptor, length, offset), size, LOG_LAYOUT)
    except OSError as error:
        lack = lacking(f"{data_path} can't be read", error)
        raise lack or StorageError(f"{data_path} can't be read: {error}; {NEVER_FRESH}") from error
    except Damaged as error:
        raise Damaged(f"{data_path} is damaged: {error}; {NEVER_FRESH}") from error
    finally:
        os.close(descriptor)
