"""A node's data directory: who it belongs to, who holds it, and formatting it once.

```
DIR/            0700
  identity      who this directory belongs to; written last by formatting, so its presence says "formatted"
  origin        which file on the disk the log is, so that a copy of the directory is told from the original
  lock          held (flock) by the process that uses the directory; its text is that process's id
  log/          LMDB: everything Paxos must not forget, with the identity once more
  state/        LMDB: the state machine's data; made by the state store
```

Nothing here ever starts afresh where something was before: a directory that is empty, foreign, damaged or in use is
refused with the next step in the message, because a node that forgot what it promised must not vote (P9).

Never: start fresh on a damaged directory.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import struct
from pathlib import Path
from typing import Final

from ..disk.durable_files import sync_folder, write_durably
from ..disk.environment import DATA_FILE
from ..disk.page_cache import settle
from ..errors import Damaged, Refused, StorageError
from ..log.contract import Identity
from ..log.environment import create_log
from ..log.journaled import JournaledLogStore
from ..log.on_disk import open_log
from ..log.records import IDENTITY_KEY, decode_identity, encode_identity, is_of_format_before
from ..log.space import LogLimits
from ..paxos.ballot import NodeId, node_name
from ..paxos.membership import Membership
from ..process.forking import close_descriptor, own
from ..process.resources import lacking

IDENTITY_FILE: Final = IDENTITY_KEY.decode()
LOCK_FILE: Final = "lock"
ORIGIN_FILE: Final = "origin"
LOG_FOLDER: Final = "log"
_GET_INODE_GENERATION: Final = 0x80087601  # FS_IOC_GETVERSION of <linux/fs.h>
STATE_FOLDER: Final = "state"

_WRONG_PLACE: Final = (
    *(errno.EEXIST, errno.ENOTDIR, errno.ENOENT, errno.ENAMETOOLONG, errno.ELOOP),
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EINVAL, errno.EILSEQ),
)
"""What the system says of a path that no folder can be made at, by this user; the disk is as it should be."""

_REPLACE = 'keep the directory for inspection and see "replace a dead node" in docs/OPERATING.md'


def format_directory(path: Path, *, node: NodeId, cluster: bytes, membership: Membership) -> Identity:
    """Format ``path`` for ``node`` of ``cluster``; returns the identity with a new incarnation.

    Parameters
    ----------
    path: made if absent; must be empty.
    cluster: 16 bytes, the same on all members.
    membership: the members the cluster is founded with.

    Raises
    ------
    Refused: the directory is not empty.
    StorageError: it can't be written.
    """
    identity = Identity(cluster, node, secrets.token_bytes(16), membership)
    try:
        _make_folder(path)
        _refuse_contents(path)
        path.chmod(0o700)
        (path / LOG_FOLDER).mkdir(mode=0o700)
        create_log(path / LOG_FOLDER, identity)
        sync_folder(path / LOG_FOLDER)  # LMDB syncs what is in its file, not the file's name
        write_durably(path / ORIGIN_FILE, _origin_of(path))
        write_durably(path / IDENTITY_FILE, encode_identity(identity))
    except OSError as error:
        if error.errno in _WRONG_PLACE:
            place = path if error.filename is None else os.fsdecode(error.filename)
            raise Refused(
                f"{path} can't be formatted: {place}: {error.strerror}; name a folder that can be made and written."
            ) from None
        raise lacking(f"{path} can't be formatted", error) or StorageError(
            f"{path} can't be formatted: {error}; check the disk."
        ) from error
    return identity


def open_directory(path: Path) -> DataDirectory:
    """Take the lock of a formatted directory.

    Raises
    ------
    Refused: absent, not formatted, or used by another process.
    StorageError: it can't be read, or made durable, or who it belongs to is damaged; the message names the file.
    """
    try:
        refuse_unformatted(path)
        read_identity(path)  # a directory of another format is refused before anything in it is touched
        lock = DirectoryLock(path)
        try:
            settle(path / IDENTITY_FILE)
            identity = read_identity(path)
        except BaseException:
            lock.release()
            raise
    except OSError as error:
        raise lacking(f"{path} can't be opened", error) or StorageError(
            f"{path} can't be opened: {error}; check its owner, its permissions and the disk."
        ) from error
    return DataDirectory(path, identity, lock)


class DataDirectory:
    """A locked data directory; the lock lasts until ``close`` or the end of the process."""

    def __init__(self, path: Path, identity: Identity | None, lock: DirectoryLock) -> None:
        self.path = path
        self._lock = lock
        self._identity = identity

    @property
    def log_path(self) -> Path:
        """Folder of the log."""
        return self.path / LOG_FOLDER

    @property
    def state_path(self) -> Path:
        """Folder of the state."""
        return self.path / STATE_FOLDER

    def open_log(self, limits: LogLimits | None = None) -> JournaledLogStore:
        """Check the log's structure and open it.

        Raises
        ------
        Refused: the directory is a copy, which may have forgotten what the node promised since (P9).
        StorageError: it is absent, truncated, damaged in its structure, or belongs to another node; the message names
            the file and the next step. Damaged *records* are no error here: ``recover`` reports them.
        """
        try:
            _refuse_copy(self.path)
        except OSError as error:
            lack = lacking(f"{self.path} can't be read", error)
            raise lack or StorageError(f"{self.path} can't be read: {error}; check its owner and the disk.") from error
        store = open_log(self.log_path, self._identity, limits)
        try:
            _raise_format(self.path, store.identity)
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Let another process use the directory. Close the stores first."""
        self._lock.release()


class DirectoryLock:
    """Says that this process uses a directory, and no child of it.

    Raises ``Refused`` if another process holds it.
    """

    def __init__(self, path: Path) -> None:
        lock_path = path / LOCK_FILE
        self._descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder, taker = _holder(self._descriptor)
            self.release()
            heir = "" if holder == taker else f", which has it from process {taker} that is gone"
            raise Refused(
                f"{lock_path} is held by another process (id {holder}{heir}); one process uses a data directory at a "
                "time. Stop that process, or name another directory."
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        own(self)

    def release(self) -> None:
        """At once, or when every child that holds it too is gone."""
        close_descriptor(self._descriptor)
        self._descriptor = -1

    on_forked = release
    """The lock is the open file's, so a child that closes its own leaves the parent's as it is."""


def _holder(descriptor: int) -> tuple[str, str]:
    """Ids of who holds the lock and of who took it: a child that outlives its parent may have it from there."""
    taker = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
    holders = _processes_with(os.fstat(descriptor))
    return (taker if taker in holders or not holders else holders[0]), taker


def _processes_with(file: os.stat_result) -> list[str]:
    """Other processes that have it open, as far as this one may see that."""
    return [process.name for process in Path("/proc").glob("[0-9]*") if _has_open(process, file)]


def _has_open(process: Path, file: os.stat_result) -> bool:
    if process.name == str(os.getpid()):
        return False
    try:
        return any(_is_same(descriptor, file) for descriptor in (process / "fd").iterdir())
    except OSError:  # gone, or somebody else's
        return False


def _is_same(descriptor: Path, file: os.stat_result) -> bool:
    try:
        return os.path.samestat(descriptor.stat(), file)
    except OSError:
        return False


def holder_of(path: Path) -> str:
    """Process id of the node that uses the directory; empty: nobody does. The lock is tried for a moment."""
    try:
        descriptor = os.open(path / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return ""
    except BlockingIOError:
        return _holder(descriptor)[0]
    finally:
        os.close(descriptor)


def read_identity(path: Path) -> Identity | None:
    """Who the identity file says the directory belongs to, or None if that file is damaged: the log has a second copy.

    Raises ``StorageError`` if it has another format.
    """
    try:
        return decode_identity((path / IDENTITY_FILE).read_bytes())
    except Damaged:
        return None
    except StorageError as error:
        raise StorageError(f"{path / IDENTITY_FILE}: {error}.") from error


def _make_folder(path: Path) -> None:
    """Make ``path`` and what lacks above it; each name is durable before anything is in the folder."""
    absent = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in absent or [path]:
        sync_folder(folder.parent)


def _refuse_contents(path: Path) -> None:
    if (path / IDENTITY_FILE).exists():
        identity = read_identity(path)
        owner = f"node {node_name(identity.node)} of cluster {identity.cluster.hex()}" if identity else "a node"
        raise Refused(
            f"{path} is already formatted for {owner}; start it with `replog serve`. "
            "If that node is to be replaced, give the new one an empty directory."
        )
    names = sorted(os.listdir(path))
    if LOG_FOLDER in names:
        raise Refused(
            f"{path} has a log and no {IDENTITY_FILE}: formatting was interrupted, or that file is lost. If the node "
            "never ran, remove the directory and format it again; otherwise "
            'see "replace a dead node" in docs/OPERATING.md.'
        )
    if names:
        raise Refused(f"{path} is not empty (it has {', '.join(names[:3])}); name an empty or absent directory.")


def _origin_of(path: Path) -> bytes:
    """The log's inode and its generation: they stay when a directory is renamed or its disk mounted elsewhere.

    A copy has another inode, or, if the original was deleted first, perhaps the same one in another generation. File
    systems that know no generations (tmpfs) leave it at 0.
    """
    descriptor = os.open(path / LOG_FOLDER / DATA_FILE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        number = os.fstat(descriptor).st_ino
        try:
            (generation,) = struct.unpack_from("=I", fcntl.ioctl(descriptor, _GET_INODE_GENERATION, bytes(8)))
        except OSError:
            generation = 0
    finally:
        os.close(descriptor)
    return b"inode %d generation %d\n" % (number, generation)


def _refuse_copy(path: Path) -> None:
    """An absent origin is taken for the word of a person that this copy is the only one, and written anew."""
    origin_path = path / ORIGIN_FILE
    if not (path / LOG_FOLDER / DATA_FILE).is_file():
        return  # opening the log says so
    settle(origin_path)
    try:
        origin = origin_path.read_bytes()
        if origin != _origin_of(path):
            raise Refused(
                f"{path / LOG_FOLDER / DATA_FILE} is not the file that was formatted: {path} is a copy, or was "
                "restored from a backup. A copy may have forgotten what the node promised since it was made, so "
                f"it must not take the node's place. If the node has not run since, and the original is gone, "
                f"delete {origin_path} and start again; otherwise {_REPLACE}."
            )
    except FileNotFoundError:
        write_durably(origin_path, _origin_of(path))


def _raise_format(path: Path, identity: Identity) -> None:
    """The log is of this format, and then the file that says so follows it (J19). Raises ``StorageError``."""
    try:
        if is_of_format_before((path / IDENTITY_FILE).read_bytes()):
            write_durably(path / IDENTITY_FILE, encode_identity(identity))
    except OSError as error:
        lack = lacking(f"{path / IDENTITY_FILE} can't be written", error)
        raise lack or StorageError(f"{path / IDENTITY_FILE} can't be written: {error}; check the disk.") from error


def refuse_unformatted(path: Path) -> None:
    """Raise ``Refused`` unless ``path`` was formatted; the message tells an empty folder from a foreign or half one."""
    if not (path / IDENTITY_FILE).exists():
        raise Refused(_unformatted(path))


def _unformatted(path: Path) -> str:
    if path.exists() and not path.is_dir():
        return f"{path} is no directory; name the one that `replog init` formatted."
    if not path.exists() or not os.listdir(path):
        return f"{path} is not formatted; run `replog init {path}` once, then start the node."
    if (path / LOG_FOLDER).exists():
        return (
            f"{path / IDENTITY_FILE} is missing. If formatting was interrupted, delete the directory and run "
            f"`replog init` again; if this node has run before, {_REPLACE}."
        )
    return f"{path} is not a data directory of replog (it has no {IDENTITY_FILE} file); name another, or an empty one."
