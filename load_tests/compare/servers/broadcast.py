"""What Strawberry and Ariadne leave to others: a queue for each subscription, and uvicorn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Generic, TypeVar

import uvicorn
import uvloop
from control import BACKLOG, obey, parser

T = TypeVar("T")


class Broadcast(Generic[T]):
    """Hands each event to every subscription, which filters what it wants."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[T]] = set()

    def send(self, event: T) -> None:
        """Queue an event for every subscription."""
        for queue in self._queues:
            queue.put_nowait(event)

    async def events(self, wanted: Callable[[T], bool]) -> AsyncGenerator[T, None]:
        """Yield the wanted events for as long as the subscription lasts."""
        queue: asyncio.Queue[T] = asyncio.Queue()
        self._queues.add(queue)
        try:
            while True:
                event = await queue.get()
                if wanted(event):
                    yield event
        finally:
            self._queues.discard(queue)


async def first_and_rest(first: T) -> AsyncGenerator[T, None]:
    """Yield a value at once; nothing follows for as long as the subscription lasts."""
    yield first
    await asyncio.Event().wait()


def serve(app: Any, send: Callable[[dict[str, Any]], None]) -> None:
    """Run an ASGI application until killed, and send it the events of the control port."""
    arguments = parser()
    arguments.add_argument("--compression", action="store_true")
    options = arguments.parse_args()

    async def publish(channel: str, data: dict[str, Any]) -> None:
        send(data)

    run(app, options.port, lambda: obey(options.control, publish), compression=options.compression)


def run(
    app: Any, port: int, beside: Callable[[], Awaitable[object]], *, compression: bool = False
) -> None:
    """Run an ASGI application on uvicorn with uvloop and httptools until killed.

    Args:
        app: The application.
        port: For clients.
        beside: Called and awaited once it serves.
        compression: Whether results are compressed for clients that offer it.
    """

    async def main() -> None:
        config = uvicorn.Config(
            app,
            port=port,
            http="httptools",
            ws="websockets-sansio",
            lifespan="off",
            log_level="error",
            access_log=False,
            backlog=BACKLOG,
            ws_per_message_deflate=compression,
        )
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        await asyncio.gather(serving, beside())

    uvloop.run(main())
