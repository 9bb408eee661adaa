"""A web service on asyncio over the replicated shop: handlers as in FastAPI, served by the standard library.

    python examples/orders_api.py

starts three replicas, the service, and sends it a few requests. The handlers are what matters: the caller chooses an
order's id, so a PUT may be repeated after any failure; a refusal of the shop is a 409 with its reason; and the log's
errors say which status is honest: 503 was not done, 504 may have been.
"""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Awaitable, Callable
from typing import Any

from anyio.from_thread import start_blocking_portal

import replog
from shop_sm import ShopClient
from shop_sm.answers import NotFound
from shop_sm.results import Refusal

Response = tuple[int, dict[str, Any]]


class OrdersApi:
    """One method a route. A program has one client, and all its requests share that one's session and connection."""

    def __init__(self, shop: ShopClient) -> None:
        self._shop = shop

    async def put_order(self, order: str, body: dict[str, Any]) -> Response:
        lines = [(sku, quantity) for sku, quantity in body["lines"].items()]
        placed = await self._shop.place_order(order, body["customer"], lines)
        if isinstance(placed, Refusal):
            return 409, {"refused": type(placed).__name__, "why": str(placed)}
        return 200, {"order": order, "total_minor": placed.total_minor, "currency": placed.currency}

    async def get_order(self, order: str, body: dict[str, Any]) -> Response:
        found = await self._shop.order(order)
        if isinstance(found, NotFound):
            return 404, {"order": order}
        return 200, {"order": order, "status": found.status.name.lower(), "units": found.units}


async def answer(handler: Callable[[], Awaitable[Response]]) -> Response:
    """What a middleware does once for all routes: the log's errors as statuses."""
    try:
        return await handler()
    except (replog.Unavailable, replog.Overloaded) as error:
        return 503, {"error": str(error), "next": "not done; send it again"}
    except (replog.OutcomeUnknown, replog.SessionExpired) as error:
        return 504, {"error": str(error), "next": "maybe done; send the same id again, it happens once"}
    except (KeyError, TypeError, ValueError) as error:
        return 400, {"error": repr(error)}


async def serve(api: OrdersApi) -> asyncio.Server:
    """Just enough HTTP for the demonstration: one request a connection, to ``/orders/ID``."""
    routes = {"PUT": api.put_order, "GET": api.get_order}

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split(" ", 2)
        fields = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if line)
        raw = await reader.readexactly(int(fields.get("content-length", "0")))

        async def handle() -> Response:
            return await routes[method](path.removeprefix("/orders/"), json.loads(raw or b"{}"))

        status, fields_out = await answer(handle)
        text = json.dumps(fields_out).encode()
        writer.write(f"HTTP/1.1 {status} -\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n".encode() + text)
        await writer.drain()
        writer.close()

    return await asyncio.start_server(on_connection, "127.0.0.1", 0)


async def main(endpoints: tuple[str, ...]) -> None:
    async with replog.connect(endpoints, name="orders api") as log:
        shop = ShopClient(log, timeout_s=5.0)
        await shop.put_product("tea-250", "Green tea", 250, "EUR")
        await shop.adjust_stock("tea-250", 100, "delivery-1")
        await shop.register_customer("c-1", "Ann")
        async with await serve(OrdersApi(shop)) as server:
            port: int = server.sockets[0].getsockname()[1]
            await asyncio.to_thread(send_requests, port)


def send_requests(port: int) -> None:
    """A browser, in short."""
    order = {"customer": "c-1", "lines": {"tea-250": 2}}
    too_much = {"customer": "c-1", "lines": {"tea-250": 1_000}}
    requests: list[tuple[str, str, dict[str, Any] | None]] = [
        ("PUT", "/orders/o-1", order),
        ("PUT", "/orders/o-1", order),  # the same again: the same answer, and still one order
        ("PUT", "/orders/o-2", too_much),
        ("GET", "/orders/o-1", None),
        ("GET", "/orders/o-2", None),
        ("PUT", "/orders/o-3", {"lines": {}}),
    ]
    for method, path, body in requests:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request(method, path, json.dumps(body) if body else None)
        response = connection.getresponse()
        print(f"{method} {path}: {response.status} {response.read().decode()}")
        connection.close()


if __name__ == "__main__":
    with (
        start_blocking_portal("trio") as portal,  # the replicas are processes; who starts them runs on trio
        portal.wrap_async_context_manager(replog.local_cluster(state_machine="shop_sm:Shop")) as cluster,
    ):
        asyncio.run(main(cluster.endpoints))
