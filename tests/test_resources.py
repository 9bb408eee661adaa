"""What a process lacks for a moment is told from what is wrong with a disk."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path
from typing import Any

import lmdb
import pytest

from replog.directory.known_peers import KnownPeers
from replog.directory.layout import format_directory, open_directory
from replog.disk import environment
from replog.disk.environment import DATA_FILE, begin_reading, open_environment
from replog.errors import Lacking, ReplogError
from replog.log.contract import Identity
from replog.log.environment import create_log
from replog.paxos.ballot import NodeId
from replog.paxos.membership import Membership
from replog.process.resources import lack_of, lacking, take_descriptors
from replog.state.store import LmdbStateStore

MEMBERSHIP = Membership(1, (NodeId(1),))
LACKS = [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES, errno.EINTR]


@pytest.mark.parametrize("code", LACKS)
def test_a_lack_is_known_whoever_says_it(code: int) -> None:
    """The system with a number, LMDB in the system's words."""
    assert lack_of(OSError(code, os.strerror(code))) == code
    assert lack_of(lmdb.Error(f"/data/log: {os.strerror(code)}")) == code


@pytest.mark.parametrize("error", [OSError(errno.EIO, "x"), OSError(errno.ENOSPC, "x"), lmdb.CorruptedError("x"), None])
def test_a_failed_disk_is_no_lack(error: BaseException | None) -> None:
    """Nor is a full one."""
    assert lack_of(error) == 0
    assert error is None or lacking("x", error) is None


def test_no_thread_and_no_memory_are_lacks() -> None:
    """As the interpreter says them."""
    assert lack_of(RuntimeError("can't start new thread")) == errno.ENOMEM
    assert lack_of(MemoryError()) == errno.ENOMEM
    assert lack_of(RuntimeError("something else")) == 0


def broken_open(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Nothing can be opened any more."""

    def refuse(*_arguments: Any, **_named: Any) -> Any:
        raise OSError(code, os.strerror(code))

    def refuse_lmdb(*_arguments: Any, **_named: Any) -> Any:
        raise lmdb.Error(f"/data: {os.strerror(code)}")

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(environment.lmdb, "open", refuse_lmdb)


def said(error: ReplogError) -> str:
    """It is a lack, it says so, and advises to touch nothing that is stored."""
    assert isinstance(error, Lacking)
    assert error.exit_code == 3
    text = str(error)
    assert "Nothing stored is at fault" in text
    assert "remove" not in text
    assert "dmesg" not in text
    return text


@pytest.mark.parametrize("code", LACKS)
def test_a_node_that_can_not_open_its_files_says_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Directory, log, state and the memory of peers; as soon as the lack has passed all of it opens."""
    path = tmp_path / "data"
    format_directory(path, node=NodeId(1), cluster=bytes(16), membership=MEMBERSHIP)
    LmdbStateStore.open(path / "state").close()
    directory = open_directory(path)
    for opened in (
        lambda: open_directory(path),
        directory.open_log,
        lambda: LmdbStateStore.open(path / "state"),
        lambda: format_directory(tmp_path / "other", node=NodeId(1), cluster=bytes(16), membership=MEMBERSHIP),
    )[: 3 if code == errno.EACCES else 4]:  # where nobody may make a folder is a wrong place for a new one
        with monkeypatch.context() as broken:
            broken_open(broken, code)
            with pytest.raises(ReplogError) as raised:
                opened()
        said(raised.value)
    directory.open_log().close()
    LmdbStateStore.open(path / "state").close()
    directory.close()


def test_a_peer_that_can_not_be_remembered_is_let_in_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not now, since whom this node has met must not be forgotten; and the node goes on."""
    peers = KnownPeers(tmp_path)
    with monkeypatch.context() as broken:
        broken_open(broken, errno.EMFILE)
        assert "can't be remembered at this moment" in peers.refusal_of(NodeId(2), b"2" * 16)
    assert peers.refusal_of(NodeId(2), b"2" * 16) == ""
    assert "another incarnation" in KnownPeers(tmp_path).refusal_of(NodeId(2), b"3" * 16)


def test_the_scrub_of_the_state_needs_no_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs each second, and a crowd may have taken them all."""
    store = LmdbStateStore.open(tmp_path / "state")
    with monkeypatch.context() as broken:
        broken_open(broken, errno.EMFILE)
        store.scrub(b"")
    store.close()


def test_a_full_table_of_readers_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads shortly gives the place back; if nobody does, that is a lack, and no failed disk."""
    monkeypatch.setattr(environment, "READERS_MAX", 4)
    monkeypatch.setattr(environment, "_FULL_PAUSE_S", 0.0)
    path = tmp_path / "log"
    path.mkdir()
    create_log(path, Identity(bytes(16), NodeId(1), bytes(16), MEMBERSHIP))
    env = open_environment(path, 2**24)
    others = [env.begin() for _ in range(4)]
    with pytest.raises(Lacking, match="others read it"):
        begin_reading(env)
    monkeypatch.setattr(environment.time, "sleep", lambda _seconds: others.pop().abort())
    begin_reading(env).abort()
    for other in others:
        other.abort()
    env.close()


def test_a_thousand_look_at_a_time(tmp_path: Path) -> None:
    """Beside the owner, who needs a few places of the table himself."""
    assert environment.READERS_MAX >= 1024
    path = tmp_path / "log"
    path.mkdir()
    create_log(path, Identity(bytes(16), NodeId(1), bytes(16), MEMBERSHIP))
    assert (path / DATA_FILE).exists()
    env = open_environment(path, 2**24)
    assert env.info()["max_readers"] >= 1024
    env.close()


def test_the_soft_limit_is_raised_and_never_lowered() -> None:
    """As far as the hard one goes."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, before[1]))
        assert take_descriptors(300) == 300
        assert take_descriptors(250) == 300
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, before[1])
        assert take_descriptors(2**40) == before[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
