"""A lock service with fencing numbers: a state machine, a typed client, and what the numbers are for.

    python examples/locks.py

A lock is a lease: its owner may be paused for longer than that and not know it, so that for a moment two programs
believe they own it. Every grant therefore carries a number above all earlier ones of that lock. Whoever is written to
remembers the highest number seen and refuses lower ones. Time is log time, the same on every replica.
"""

from __future__ import annotations

import msgspec
import trio

import replog


class Acquire(msgspec.Struct, tag=True):
    lock: str
    owner: str
    lease_ms: int


class Release(msgspec.Struct, tag=True):
    lock: str
    owner: str
    fence: int


class Granted(msgspec.Struct, tag=True):
    """The lock is the asker's; ``fence`` is above that of every earlier grant of this lock."""

    fence: int


class Busy(msgspec.Struct, tag=True):
    """Somebody else has it, for ``left_ms`` more unless it is released."""

    owner: str
    left_ms: int


class Released(msgspec.Struct, tag=True):
    """The lock is free; it may have been already."""


class _Lock(msgspec.Struct):
    owner: str = ""
    until_ms: int = 0
    fence: int = 0


Outcome = Granted | Busy | Released
_commands = msgspec.msgpack.Decoder(Acquire | Release)
_outcomes: msgspec.msgpack.Decoder[Outcome] = msgspec.msgpack.Decoder(Outcome)
_locks = msgspec.msgpack.Decoder(_Lock)
_encode = msgspec.msgpack.encode


class Locks(replog.StateMachine):
    """One record a lock. A free lock keeps its record, because its number must never be given again."""

    def apply(self, state: replog.State, command: replog.Command) -> bytes:
        request = _commands.decode(command.payload)  # what is no command raises: an error reply, nothing done
        key = request.lock.encode()
        found = state.get(key)
        lock = _locks.decode(found) if found is not None else _Lock()
        if isinstance(request, Release):
            if (lock.owner, lock.fence) == (request.owner, request.fence):
                state.put(key, _encode(_Lock("", 0, lock.fence)))
            return _encode(Released())
        if lock.owner and lock.owner != request.owner and command.time_ms < lock.until_ms:
            return _encode(Busy(lock.owner, lock.until_ms - command.time_ms))
        state.put(key, _encode(_Lock(request.owner, command.time_ms + request.lease_ms, lock.fence + 1)))
        return _encode(Granted(lock.fence + 1))

    def query(self, view: replog.StateView, request: bytes) -> bytes:
        """The last owner of a lock, empty if it was released."""
        found = view.get(request)
        return _locks.decode(found).owner.encode() if found is not None else b""


class LockClient:
    """The service as typed methods over a client of the log."""

    def __init__(self, log: replog.Client) -> None:
        self._log = log

    async def try_acquire(self, lock: str, owner: str, lease_ms: int) -> Granted | Busy:
        outcome = await self._run(Acquire(lock, owner, lease_ms))
        assert isinstance(outcome, Granted | Busy)
        return outcome

    async def acquire(self, lock: str, owner: str, lease_ms: int) -> int:
        """Wait for the lock; returns the fencing number."""
        while True:
            outcome = await self.try_acquire(lock, owner, lease_ms)
            if isinstance(outcome, Granted):
                return outcome.fence
            await trio.sleep(min(outcome.left_ms, 50) / 1000)

    async def release(self, lock: str, owner: str, fence: int) -> None:
        await self._run(Release(lock, owner, fence))

    async def owner(self, lock: str) -> str:
        return (await self._log.query(lock.encode())).decode()

    async def _run(self, request: Acquire | Release) -> Outcome:
        return _outcomes.decode((await self._log.submit(_encode(request))).reply)


class Ledger:
    """What the lock protects, with the one rule that makes it safe."""

    def __init__(self) -> None:
        self._highest_fence = 0
        self.lines: list[str] = []

    def write(self, line: str, fence: int) -> bool:
        if fence < self._highest_fence:
            return False
        self._highest_fence = fence
        self.lines.append(line)
        return True


async def main() -> None:
    async with replog.local_cluster(state_machine="locks:Locks") as cluster, cluster.client() as log:
        locks, ledger = LockClient(log), Ledger()

        anns = await locks.acquire("ledger", "ann", lease_ms=1_000)
        ledger.write("ann was here", anns)
        print(f"ann has the lock with fence {anns}")
        busy = await locks.try_acquire("ledger", "bob", lease_ms=1_000)
        print(f"bob is told: {type(busy).__name__}")

        cluster.kill(await cluster.leader())
        print(f"the leader was killed; the lock is still {await locks.owner('ledger')}'s")

        bobs = await locks.acquire("ledger", "bob", lease_ms=60_000)  # ann is paused, and her lease passes
        print(f"bob has the lock with fence {bobs}: written {ledger.write('bob was here', bobs)}")
        print(f"ann wakes up and believes the lock is hers: written {ledger.write('ann again', anns)}")

        await locks.release("ledger", "bob", bobs)
        carols = await locks.acquire("ledger", "carol", lease_ms=1_000)
        print(f"carol has the lock with fence {carols}")
        print(f"the ledger says: {', '.join(ledger.lines)}")


if __name__ == "__main__":
    trio.run(main)
