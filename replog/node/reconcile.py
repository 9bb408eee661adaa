"""How the two stores of a node are brought to one position when it starts.

The state may stand above the log's own ``chosen_through``, which is a hint written with the next transaction; and a
crash can come between the two steps of an install, after the received state is in place and before the log's floor is
(docs/STATE.md, "Installing"). It may stand below the log's first slot, too, if it was damaged and somebody removed it.
Both drivers, node and simulator, begin here.
"""

from __future__ import annotations

import msgspec

from ..errors import Damaged
from ..log.contract import LogStore
from ..paxos.ballot import Slot
from ..paxos.effects import LogWrite
from ..paxos.membership import Membership, newest
from ..paxos.recovered import Recovered
from ..paxos.values import decode_membership, stamp_of

_STAMPS_SLOTS = 256


def reconcile(
    log: LogStore, applied_through: Slot, installed_through: Slot, membership: Membership | None = None
) -> Recovered:
    """What the log remembers, once its position is at least the state's, and the newest stamp unknown to the state.

    ``membership``: the state's, if there has been a change (M12).
    """
    recovered = _at_one_position(log, applied_through, installed_through, membership)
    return msgspec.structs.replace(
        recovered,
        log_time_ms=_newest_stamp(log, applied_through, recovered),
        incarnation=log.identity.incarnation,
    )


def _newest_stamp(log: LogStore, applied_through: Slot, recovered: Recovered) -> int:
    """The newest stamp of what is chosen and not applied (P11).

    It stands near the end: only what an older ballot left, at most a window of slots, can carry an older one.
    """
    last = recovered.chosen_through
    above = max(applied_through, recovered.compacted_through, last - _STAMPS_SLOTS)
    return max((_stamp_at(log, Slot(number)) for number in range(above + 1, last + 1)), default=0)


def _stamp_at(log: LogStore, slot: Slot) -> int:
    try:
        found = log.read(slot, slot, slots_max=1, bytes_max=1)
    except Damaged:
        return 0  # it is repaired before it is applied
    return stamp_of(found[0].value) if found else 0


def _at_one_position(
    log: LogStore, applied_through: Slot, installed_through: Slot, state_membership: Membership | None
) -> Recovered:
    """What the log remembers, once its position is at least the state's.

    Up to ``installed_through`` the state came from a peer. It says that those slots are chosen, and nothing about what
    stands in them here, which may be acceptances that lost (P6): the install is finished, and they go. What was applied
    above that was released from this log, so the log may say that it is chosen. A gap in it (lost, damaged) is passed
    over by a floor, since the state holds what was there. Where the log begins above the state, the last slot that is
    gone counts as damaged: nothing but a peer's state goes over it.
    """
    recovered = log.recover()
    if installed_through > recovered.compacted_through:
        log.install_floor(installed_through, newest(recovered.membership, state_membership))
        recovered = log.recover()
    if applied_through < recovered.compacted_through:
        damaged = (recovered.compacted_through, *recovered.damaged_chosen)
        return msgspec.structs.replace(recovered, damaged_chosen=damaged)
    if applied_through <= recovered.chosen_through:
        return recovered
    membership = newest(_newest_membership(recovered, applied_through), state_membership)
    held = {record.slot for record in recovered.accepted}
    if all(slot in held for slot in range(recovered.chosen_through + 1, applied_through + 1)):
        log.write([LogWrite(None, (), applied_through, membership)])
    else:
        log.install_floor(applied_through, membership)
    return log.recover()


def _newest_membership(recovered: Recovered, applied_through: Slot) -> Membership:
    """The newest one known chosen, with those in the slots that the state says are chosen."""
    found = [decode_membership(record.value) for record in recovered.accepted if record.slot <= applied_through]
    chosen = [recovered.membership, *(membership for membership in found if membership is not None)]
    return max(chosen, key=lambda membership: membership.version)
