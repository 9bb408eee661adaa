"""A shop that loses a piece of stock with every order it ships: what the simulator has to find out."""

from __future__ import annotations

from replog.state_machine import Command, State
from shop_sm import Shop, keys, records
from shop_sm.commands import Batch, ShipOrder, decode_command
from shop_sm.workload import ShopWorkload


class LeakyShop(Shop):
    """Right in every answer, wrong in the state."""

    def apply(self, state: State, command: Command) -> bytes:
        reply = super().apply(state, command)
        wanted = decode_command(command.payload)
        if isinstance(wanted, Batch) and isinstance(wanted.commands[0], ShipOrder):
            self.leak(state)
        return reply

    def leak(self, state: State) -> None:
        stored = state.get(keys.PRODUCT + b"tea")
        if stored is not None:
            tea = records.decode_product(stored)
            tea.on_hand -= 1
            state.put(keys.PRODUCT + b"tea", records.encode(tea))


class LeakyWorkload(ShopWorkload):
    name = "leaky shop"

    def machine(self) -> Shop:
        return LeakyShop()


def sim_workload() -> LeakyWorkload:
    return LeakyWorkload()
