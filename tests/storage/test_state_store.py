"""The durable state store: its file, its map, its disk, its crashes."""

from __future__ import annotations

import json
import random
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from replog.errors import Damaged, StorageError, StorageFull
from replog.paxos.ballot import Slot
from replog.state.store import LmdbStateStore

from .state_cases import STEP_BYTES, chunks, contents, fill, flush, transfer
from .state_writer import Acknowledged, check

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state"


def open_store(path: Path) -> LmdbStateStore:
    return LmdbStateStore.open(path, map_step_bytes=STEP_BYTES)


@contextmanager
def full_disk(file: Path, left_bytes: int = 0) -> Iterator[None]:
    """No file of this process may grow beyond the size that ``file`` has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + left_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# --- opening ---


def test_the_folder_is_private_and_holds_one_file(path: Path) -> None:
    """Nobody else reads the state, and nothing of making it is left."""
    open_store(path).close()
    assert path.stat().st_mode & 0o777 == 0o700
    assert sorted(file.name for file in path.iterdir()) == ["data.mdb", "lock.mdb"]
    assert (path / "data.mdb").stat().st_mode & 0o777 == 0o600


def test_making_it_may_be_interrupted(path: Path) -> None:
    """Until the file has its name there is no state, so making it begins again."""
    open_store(path).close()
    (path / "fresh").mkdir()
    (path / "data.mdb").rename(path / "fresh" / "data.mdb")
    store = open_store(path)
    assert contents(store) == ({}, {}, 0)
    store.close()
    assert not (path / "fresh").exists()


def test_a_truncated_file_is_damage(path: Path) -> None:
    """LMDB would kill the process when it reads beyond the end."""
    store = open_store(path)
    fill(store, 3000, 1)
    store.close()
    data = (path / "data.mdb").read_bytes()
    for size in (len(data) // 8, 8192, 4096, 100, 0):
        (path / "data.mdb").write_bytes(data[:size])
        with pytest.raises(Damaged, match=r"data\.mdb is damaged.*truncated.*other nodes"):
            open_store(path)


@pytest.mark.parametrize("page", [0, 1])
def test_a_zeroed_root_page_is_damage(path: Path, page: int) -> None:
    """It is never taken for an empty state."""
    open_store(path).close()
    with (path / "data.mdb").open("r+b") as file:
        file.seek(page * 4096)
        file.write(bytes(4096))
    with pytest.raises(Damaged, match=rf"root page {page} is overwritten"):
        open_store(path)


def test_a_flipped_position_is_damage(path: Path) -> None:
    """Where the state stands has a checksum."""
    store = open_store(path)
    flush(store, 77)
    stored = store._environment.record(b"position")
    assert stored is not None
    store.close()
    data = bytearray((path / "data.mdb").read_bytes())
    at = data.index(stored)
    for offset in range(len(stored)):
        damaged = bytearray(data)
        damaged[at + offset] ^= 4
        (path / "data.mdb").write_bytes(damaged)
        with pytest.raises(Damaged, match="checksum"):
            open_store(path)


def test_an_older_root_page_that_says_it_is_the_newest_is_damage(path: Path) -> None:
    """It would go back one flush; the numbers of the two root pages are neighbours."""
    store = open_store(path)
    flush(store, 1)
    flush(store, 2)
    store.close()
    data = bytearray((path / "data.mdb").read_bytes())
    numbers = [int.from_bytes(data[page * 4096 + 144 : page * 4096 + 152], "little") for page in (0, 1)]
    older = numbers.index(min(numbers))
    data[older * 4096 + 144 + 1] ^= 1
    (path / "data.mdb").write_bytes(data)
    with pytest.raises(Damaged, match="no sequence of writes leaves behind"):
        open_store(path)


def test_a_newest_root_page_that_says_it_is_the_oldest_is_finished(path: Path) -> None:
    """A flush without its number in the root page is whole: going back behind it could go below the log's floor."""
    store = open_store(path)
    for through in range(1, 5):
        fill(store, 50, through)
    while store._environment.position.transaction % 4 != 2:
        store.close()
        store = open_store(path)
        fill(store, 50, store.durable_through + 1)
    store.close()
    store = open_store(path)
    newest, before = store._environment.position.transaction, contents(store)
    store.close()
    data = bytearray((path / "data.mdb").read_bytes())
    at = newest % 2 * 4096 + 144
    assert int.from_bytes(data[at : at + 8], "little") == newest
    data[at] ^= 2
    (path / "data.mdb").write_bytes(data)
    store = open_store(path)
    assert contents(store) == before
    assert store._environment.position.transaction == newest
    store.close()


def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    """The message says which one and what to check."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file/state can't be opened.*check its owner"):
        LmdbStateStore.open(tmp_path / "file" / "state")


# --- flush ---


def test_the_map_grows_while_reads_go_on(path: Path) -> None:
    """A flusher thread makes the map larger many times beside a reader, and no read fails or is wrong."""
    store = open_store(path)
    fill(store, 2000, 1)
    failures: list[BaseException] = []

    def flusher() -> None:
        try:
            store.flush()
        except BaseException as error:
            failures.append(error)

    for round_number in range(2, 12):
        for number in range(1000):
            store.write({b"new/%d/%d" % (round_number, number): b"x" * 1500})
        store.begin_flush(Slot(round_number))
        thread = threading.Thread(target=flusher)
        thread.start()
        while thread.is_alive():
            for number in range(0, 2000, 37):
                value = store.get(b"row/%08d" % number)
                assert value is not None
                assert value.startswith(b"%08d" % number)
            assert len(list(store.scan(b"row/", b"row/00000100"))) == 100
        thread.join()
        store.end_flush()
    assert not failures
    assert store.file_bytes > 10 * STEP_BYTES
    before = contents(store)
    store.close()
    store = open_store(path)
    assert contents(store) == before
    store.close()


def test_a_hot_key_is_written_once_a_flush(path: Path) -> None:
    """Ten thousand changes of one key leave the file as large as one."""
    store = open_store(path)
    fill(store, 100, 1)
    size = store.file_bytes
    for number in range(10_000):
        store.write({b"hot": b"%d" % number * 100})
    flush(store, 2)
    assert store.file_bytes == size
    store.close()


def test_flushing_the_same_rows_again_and_again_does_not_grow_the_file(path: Path) -> None:
    """Pages that a flush let go of are used by a later one."""
    store = open_store(path)
    fill(store, 2000, 1)
    sizes = []
    for through in range(2, 60):
        fill(store, 2000, through)
        sizes.append(store.file_bytes)
    assert max(sizes[10:]) == sizes[10]
    store.close()


def test_a_failed_flush_is_the_last_one(path: Path) -> None:
    """Nothing is written after it, reads go on, and the file stands at the flush before."""
    store = open_store(path)
    fill(store, 100, 1)
    before = contents(store)
    store.write({b"k" * 600: b"LMDB takes no such key"})
    store.write({b"a": b"1"})
    assert store.begin_flush(Slot(2))
    for _attempt in range(2):
        with pytest.raises(StorageError, match=r"data\.mdb: a write failed.*must end"):
            store.flush()
    for refused in (store.open_snapshot, lambda: store.begin_install(b"i" * 16)):
        with pytest.raises(StorageError, match="must end"):
            refused()
    assert store.get(b"a") == b"1"
    assert store.durable_through == 1
    store.close()
    store = open_store(path)
    assert contents(store) == before
    store.close()


def test_a_full_disk_is_found_before_anything_is_written(path: Path) -> None:
    """The same flush succeeds when there is space, and meanwhile everything is read as if it had."""
    store = open_store(path)
    fill(store, 1000, 1)
    before = contents(store)
    for number in range(1000):
        store.write({b"new/%d" % number: b"x" * 5000})
    store.begin_flush(Slot(2))
    with full_disk(path / "data.mdb"):
        for _attempt in range(3):
            with pytest.raises(StorageFull, match=r"data\.mdb: no space.*nothing was written"):
                store.flush()
    store.write({b"meanwhile": b"y"})
    assert len(list(store.scan(b"new/", b"new0"))) == 1000
    copy = path.with_name("copy")
    shutil.copytree(path, copy)
    crashed = open_store(copy)
    assert contents(crashed) == before
    crashed.close()
    store.flush()
    store.end_flush()
    flush(store, 3)
    assert store.get(b"meanwhile") == b"y"
    store.close()
    store = open_store(path)
    assert (len(list(store.scan(b"new/", b"new0"))), store.durable_through) == (1000, 3)
    store.close()


# --- snapshots and installing ---


def test_flushes_go_on_while_a_snapshot_is_read(path: Path, tmp_path: Path) -> None:
    """Between any two chunks the sender may flush; the snapshot stays what it was."""
    sender, receiver = open_store(path), open_store(tmp_path / "receiver")
    fill(sender, 3000, 1, value_bytes=500)
    expected = contents(sender)
    snapshot = sender.open_snapshot()
    receiver.begin_install(snapshot.name)
    for through, (position, data) in enumerate(chunks(snapshot, 100_000), start=2):
        receiver.install_chunk(position, data)
        fill(sender, 3000, through, value_bytes=600)
    receiver.finish_install(Slot(1))
    assert contents(receiver) == expected
    snapshot.close()
    sender.close()
    receiver.close()


def test_a_map_that_a_snapshot_holds_and_that_is_used_up_is_waited_for(path: Path) -> None:
    """The flush says that there is no space, and succeeds when the snapshot is closed."""
    store = open_store(path)
    fill(store, 1000, 1)
    transaction = store._environment.begin_snapshot("a snapshot with no headroom", 0)
    for number in range(6000):
        store.write({b"new/%d" % number: b"x" * 1500})
    store.begin_flush(Slot(2))
    for _attempt in range(2):
        with pytest.raises(StorageFull, match="while a snapshot of the state is being sent"):
            store.flush()
    assert store.durable_through == 1
    transaction.abort()
    store._environment.end_snapshot("a snapshot with no headroom")
    store.flush()
    store.end_flush()
    before = contents(store)
    store.close()
    store = open_store(path)
    assert contents(store) == before
    assert store.durable_through == 2
    store.close()


def test_the_same_flush_has_the_same_name_after_a_restart(path: Path) -> None:
    """So that a transfer goes on from a sender that was restarted."""
    store = open_store(path)
    fill(store, 100, 1)
    snapshot = store.open_snapshot()
    name, whole = snapshot.name, snapshot.read(0, 10**6)
    snapshot.close()
    store.close()
    store = open_store(path)
    again = store.open_snapshot()
    assert (again.name, again.read(0, 10**6)) == (name, whole)
    again.close()
    store.close()


def test_a_closed_snapshot_says_so(path: Path) -> None:
    """Reading it is an error that names the way on, and closing it again is none."""
    store = open_store(path)
    fill(store, 100, 1)
    snapshot = store.open_snapshot()
    store.close()
    snapshot.close()
    with pytest.raises(StorageError, match="another one"):
        snapshot.read(500, 10)


def test_a_crash_at_any_moment_of_an_install_leaves_the_old_state_or_the_new_one(path: Path, tmp_path: Path) -> None:
    """The receiver's files are copied after every step and opened: whole, and able to finish the transfer."""
    sender, receiver = open_store(tmp_path / "sender"), open_store(path)
    fill(sender, 6000, 9, value_bytes=2000)
    fill(receiver, 50, 1)
    old, new = contents(receiver), contents(sender)
    snapshot = sender.open_snapshot()
    seen: list[int] = []

    def crash_here() -> None:
        copy = tmp_path / "copy"
        shutil.copytree(path, copy)
        crashed = open_store(copy)
        found = contents(crashed)
        assert found in (old, new)
        crashed.begin_install(snapshot.name)
        seen.append(crashed.received_bytes(snapshot.name))
        if found == old:
            transfer(snapshot, crashed, 1_000_000)
            crashed.finish_install(Slot(9))
            assert contents(crashed) == new
        crashed.close()
        shutil.rmtree(copy)

    receiver.begin_install(snapshot.name)
    crash_here()
    for position, data in chunks(snapshot, 2_000_000):
        receiver.install_chunk(position, data)
        assert receiver.received_bytes(snapshot.name) <= position + len(data)
        crash_here()
    assert contents(receiver) == old
    receiver.prepare_install(Slot(9))
    assert contents(receiver) == old
    crash_here()
    receiver.finish_install(Slot(9))
    assert contents(receiver) == new
    crash_here()
    assert len(set(seen)) >= 3, "a transfer resumed at several positions"
    assert not (path / "incoming").exists()
    for store in (sender, receiver):
        store.close()


def test_what_a_transfer_left_behind_is_cleaned_up(path: Path, tmp_path: Path) -> None:
    """At the next start: what is damaged, and what is no newer than the state that is there."""
    sender, receiver = open_store(tmp_path / "sender"), open_store(path)
    fill(sender, 4000, 9, value_bytes=2000)
    snapshot = sender.open_snapshot()
    receiver.begin_install(snapshot.name)
    for position, data in list(chunks(snapshot, 1_000_000))[:-1]:
        receiver.install_chunk(position, data)
    receiver.close()
    receiver = open_store(path)
    assert (path / "incoming").exists()
    flush(receiver, 9)
    receiver.close()
    receiver = open_store(path)
    assert not (path / "incoming").exists()
    receiver.close()
    (path / "incoming").mkdir()
    (path / "incoming" / "data.mdb").write_bytes(b"not an environment")
    receiver = open_store(path)
    assert not (path / "incoming").exists()
    assert receiver.durable_through == 9
    receiver.close()
    snapshot.close()
    sender.close()


def test_what_was_durably_received_of_another_snapshot_is_dropped(path: Path, tmp_path: Path) -> None:
    """Rows of a flush that the new snapshot knows nothing of must not be left in it."""
    sender, receiver = open_store(tmp_path / "sender"), open_store(path)
    fill(sender, 4000, 9, value_bytes=2000)
    first = sender.open_snapshot()
    receiver.begin_install(first.name)
    receiver.install_chunk(0, first.read(0, 6_000_000)[0])
    assert receiver.received_bytes(first.name) > 0
    first.close()
    sender.write({b"row/00000001": None})
    flush(sender, 10)
    second = sender.open_snapshot()
    receiver.begin_install(second.name)
    assert (receiver.received_bytes(first.name), receiver.received_bytes(second.name)) == (0, 0)
    transfer(second, receiver, 1_000_000)
    receiver.finish_install(Slot(10))
    assert contents(receiver) == contents(sender)
    second.close()
    sender.close()
    receiver.close()


def test_a_full_disk_during_an_install_is_waited_for(path: Path, tmp_path: Path) -> None:
    """The chunk that found no space is given again, and nothing is missing."""
    sender, receiver = open_store(tmp_path / "sender"), open_store(path)
    fill(sender, 6000, 9, value_bytes=2000)
    snapshot = sender.open_snapshot()
    receiver.begin_install(snapshot.name)
    refusals = 0
    for position, data in chunks(snapshot, 2_000_000):
        try:
            with full_disk(path / "incoming" / "data.mdb"):
                receiver.install_chunk(position, data)
        except StorageFull:
            refusals += 1
            receiver.install_chunk(position, data)
    receiver.finish_install(Slot(9))
    assert refusals
    assert contents(receiver) == contents(sender)
    snapshot.close()
    sender.close()
    receiver.close()


def test_a_flipped_bit_in_any_part_of_a_snapshot_is_found(path: Path, tmp_path: Path) -> None:
    """Lengths, digests and bodies of every frame."""
    sender = open_store(path)
    fill(sender, 30, 9)
    snapshot = sender.open_snapshot()
    whole, is_last = snapshot.read(0, 10**6)
    assert is_last
    receiver = open_store(tmp_path / "receiver")
    before = contents(receiver)
    for offset in range(0, len(whole), 97):
        damaged = bytearray(whole)
        damaged[offset] ^= 1 << offset % 8
        receiver.begin_install(snapshot.name)
        receiver.install_chunk(0, bytes(damaged))
        with pytest.raises(Damaged, match="again from the beginning"):
            receiver.finish_install(Slot(9))
    assert contents(receiver) == before
    snapshot.close()
    sender.close()
    receiver.close()


# --- processes ---


def test_a_killed_process_leaves_a_whole_flush(path: Path) -> None:
    """Ten kills at any moment: what was acknowledged is there, and data, records and position agree."""
    chance = random.Random(7)
    command = [sys.executable, "-m", "tests.storage.state_writer", str(path), "-", "100000"]
    for _kill in range(10):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
            assert writer.stdout is not None
            text = "".join(writer.stdout.readline() for _line in range(chance.randrange(1, 40)))
            writer.kill()
            text += writer.stdout.read()
        assert check(path, Acknowledged.read(text)) > 0


def test_a_transfer_takes_a_bounded_amount_of_memory(tmp_path: Path) -> None:
    """Sender and receiver together, in one process, with a state several times as large as the bound."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.storage.state_transfer", "--rows", "120000", "--folder", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    figures = json.loads(done.stdout)
    assert figures["rows"] == 120_000
    assert figures["snapshot_bytes"] > 120_000_000
    assert figures["memory_growth_bytes"] < 32 * 2**20
