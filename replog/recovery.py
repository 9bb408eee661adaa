"""How the two stores of a node are brought to one position when it starts.

The state may stand above the log's own ``chosen_through``, which is a hint written with the next transaction; and a
crash can come between installing a received state and dropping the log below it. It may stand below the log's first
slot, too, if it was damaged and somebody removed it. Both drivers, node and simulator, begin here.
"""

from __future__ import annotations

import msgspec

from .errors import Damaged
from .paxos.ballot import Slot
from .paxos.effects import LogWrite
from .paxos.recovered import Recovered
from .paxos.values import stamp_of
from .storage import LogStore


def reconcile(log: LogStore, applied_through: Slot) -> Recovered:
    """What the log remembers, once its position is at least the state's, and the newest stamp unknown to the state."""
    recovered = _at_one_position(log, applied_through)
    return msgspec.structs.replace(recovered, log_time_ms=_newest_stamp(log, applied_through, recovered))


def _newest_stamp(log: LogStore, applied_through: Slot, recovered: Recovered) -> int:
    """Stamps never fall along the log, so that of the last batch which is chosen and not applied says it all (P11)."""
    above = max(applied_through, recovered.compacted_through)
    for number in range(recovered.chosen_through, above, -1):
        try:
            found = log.read(Slot(number), Slot(number), slots_max=1, bytes_max=1)
        except Damaged:
            continue
        if found and (stamp_ms := stamp_of(found[0].value)):
            return stamp_ms
    return 0


def _at_one_position(log: LogStore, applied_through: Slot) -> Recovered:
    """What the log remembers, once its position is at least the state's.

    What the state machine applied was chosen, so the log may say so; where the log has a gap below it, the state came
    from a peer and the log below it is of no use. Where the log begins above the state, the last slot that is gone
    counts as damaged: nothing but a peer's state goes over it.
    """
    recovered = log.recover()
    if applied_through < recovered.compacted_through:
        damaged = (recovered.compacted_through, *recovered.damaged_chosen)
        return msgspec.structs.replace(recovered, damaged_chosen=damaged)
    if applied_through <= recovered.chosen_through:
        return recovered
    held = {record.slot for record in recovered.accepted}
    if all(slot in held for slot in range(recovered.chosen_through + 1, applied_through + 1)):
        log.write([LogWrite(None, (), applied_through)])
    else:
        log.install_floor(applied_through, recovered.membership)
    return log.recover()
