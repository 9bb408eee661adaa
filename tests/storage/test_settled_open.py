"""What a starting node answers on is durable, also what a process that was killed before its syncs left behind.

The writer's syncs are left out, as if it had been killed before each of them: what it wrote is there for every reader
and on no disk. Then the directory is opened as a new process opens it, and the power fails.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import replog.state.receiving
from replog.directory.known_peers import KnownPeers
from replog.directory.layout import STATE_FOLDER, format_directory, open_directory
from replog.disk.durable_files import sync_folder
from replog.disk.page_cache import ROOT_FOLIOS_BYTES, settle
from replog.errors import StorageError
from replog.paxos.ballot import NodeId
from replog.paxos.recovered import Recovered
from replog.state.store import LmdbStateStore
from tests.faults.acknowledged import CLUSTER, LIMITS, MEMBERSHIP, NODE, Acknowledged, check_log
from tests.faults.directories import formatted

from .power_cut import PowerCut
from .state_cases import STEP_BYTES, Contents, chunks, contents, fill
from .test_log_power_cut import work

SEEDS = (None, 1, 2)
"""What the disk does of the writes that were not synced: nothing of them, or one half or another."""


@pytest.fixture
def disk(power_cut: PowerCut) -> PowerCut:
    """One with a formatted directory that no node has run on, all of it durable."""
    format_directory(power_cut.node, node=NODE, cluster=CLUSTER, membership=MEMBERSHIP)
    return power_cut


def without_syncs(disk: PowerCut, act: Callable[[], object]) -> None:
    disk.command(sync=False)
    act()
    disk.command(sync=True)


def cut(disk: PowerCut, seed: int | None) -> None:
    disk.command(cut=seed)
    disk.command(on=True)


def opened(path: Path) -> tuple[Recovered, Contents]:
    """What a node would answer on, as a new process finds it in the directory ``path``."""
    with contextlib.ExitStack() as stack:
        held = stack.enter_context(contextlib.closing(open_directory(path)))
        store = stack.enter_context(contextlib.closing(held.open_log(LIMITS)))
        state = LmdbStateStore.open(held.state_path, map_step_bytes=STEP_BYTES)
        stack.callback(state.close)
        return store.recover(), contents(state)


@pytest.mark.power_cut
@pytest.mark.parametrize("is_first_run", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_starting_node_finds_survives_a_power_cut(disk: PowerCut, seed: int | None, is_first_run: bool) -> None:
    """Promise, acceptances, positions and state that a killed process left unsynced are answered on, so they stay."""
    if not is_first_run:
        assert work(disk, 3).returncode == 0
    without_syncs(disk, lambda: work(disk, 20))
    answered = opened(disk.node)
    cut(disk, seed)
    assert opened(disk.node) == answered
    recovered, (_data, _records, flushed_through) = answered
    assert recovered.promise.round >= 3
    assert flushed_through >= 18
    check_log(disk.node, Acknowledged(promise=recovered.promise.round, slot=20))


@pytest.mark.power_cut
def test_a_directory_that_a_node_was_started_on_stays_formatted(power_cut: PowerCut) -> None:
    """Formatting may have been killed before its last sync; whoever starts on the result makes its names durable."""
    power_cut.node.mkdir()
    sync_folder(power_cut.mount)
    without_syncs(
        power_cut, lambda: format_directory(power_cut.node, node=NODE, cluster=CLUSTER, membership=MEMBERSHIP)
    )
    answered = opened(power_cut.node)
    cut(power_cut, None)
    assert opened(power_cut.node) == answered


@pytest.mark.power_cut
def test_every_folder_that_formatting_makes_is_durable(power_cut: PowerCut) -> None:
    """A directory three folders deep is there after a power cut, not just its last name."""
    path = power_cut.mount / "srv" / "replog" / "node"
    format_directory(path, node=NODE, cluster=CLUSTER, membership=MEMBERSHIP)
    cut(power_cut, None)
    opened(path)


@pytest.mark.power_cut
def test_a_peer_that_was_let_in_is_known_after_a_power_cut(disk: PowerCut) -> None:
    """What is refused on the word of the file ``peers`` stays refused, or a wiped node would vote (P9)."""
    without_syncs(disk, lambda: KnownPeers(disk.node).refusal_of(NodeId(2), b"first incarnation"))
    assert KnownPeers(disk.node).refusal_of(NodeId(2), b"other incarnation")
    cut(disk, None)
    assert KnownPeers(disk.node).refusal_of(NodeId(2), b"other incarnation")


@pytest.mark.power_cut
def test_a_transfer_goes_on_from_what_is_durable(
    disk: PowerCut, quick_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half-received state that a new process finds is as much of it after a power cut."""
    monkeypatch.setattr(replog.state.receiving, "COMMIT_BYTES", 20_000)
    source = LmdbStateStore.open(quick_path / "source", map_step_bytes=STEP_BYTES)
    fill(source, 4_000, 7, value_bytes=1000)
    snapshot = source.open_snapshot()
    state = disk.node / STATE_FOLDER
    LmdbStateStore.open(state, map_step_bytes=STEP_BYTES).close()

    def receive_half() -> None:
        store = LmdbStateStore.open(state, map_step_bytes=STEP_BYTES)
        store.begin_install(snapshot.name)
        for position, data in chunks(snapshot, 100_000):
            if position < 2_000_000:
                store.install_chunk(position, data)
        store.close()

    def received() -> int:
        store = LmdbStateStore.open(state, map_step_bytes=STEP_BYTES)
        store.begin_install(snapshot.name)
        count = store.received_bytes(snapshot.name)
        store.close()
        return count

    without_syncs(disk, receive_half)
    asked_from = received()
    cut(disk, None)
    assert received() == asked_from > 50_000
    source.close()


# --- the sync fails, and what is read afterwards ---


@pytest.mark.parametrize("name", ["identity", "origin", "log/data.mdb", "state/data.mdb", "peers"])
def test_a_sync_that_fails_at_opening_ends_it_and_says_what_to_do(
    quick_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Nothing is answered from a file that the disk didn't take; the message names it, and the next step."""
    directory = formatted(quick_path / "node")
    KnownPeers(directory).refusal_of(NodeId(2), b"incarnation 0001")
    sync, fails = os.fsync, (directory / name).stat().st_ino

    def failing(descriptor: int) -> None:
        if os.fstat(descriptor).st_ino == fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(StorageError, match=rf"{directory / name}: .*Input/output error.*dmesg.*start the node again"):
        started(directory)
    monkeypatch.undo()
    started(directory)


def started(directory: Path) -> None:
    """Every file that a starting node relies on is read."""
    opened(directory)
    KnownPeers(directory)


def test_what_is_read_after_settling_comes_from_the_disk(tmp_path: Path) -> None:
    """The kernel keeps pages that it failed to write as if they were sound; so it may not keep any."""
    path = tmp_path / "data.mdb"
    path.write_bytes(bytes(2 * ROOT_FOLIOS_BYTES))
    if not resident_pages(path):
        pytest.skip("the temporary folder's file system has no pages to let go of")
    settle(path, let_go_bytes=ROOT_FOLIOS_BYTES)
    assert 0 < resident_pages(path) <= ROOT_FOLIOS_BYTES // mmap.PAGESIZE
    settle(path)
    assert resident_pages(path) == 0


def resident_pages(path: Path) -> int:
    """How many of the file's pages the kernel holds and could let go of (mincore)."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        pages = -(-len(mapped) // mmap.PAGESIZE)
        vector = ctypes.create_string_buffer(pages)
        address = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
        assert ctypes.CDLL(None, use_errno=True).mincore(ctypes.c_void_p(address), len(mapped), vector) == 0
        return sum(byte & 1 for byte in vector.raw)
