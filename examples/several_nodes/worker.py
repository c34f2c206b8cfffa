"""A worker: publishes changes of orders, and serves no clients."""

import asyncio
import contextlib
import itertools
import os
import signal
import sys

from shop import BUS, Order, Status

from fraiseql_subs import Publisher, PublishError, Receipt

ATTEMPTS = 20


async def publish(publisher: Publisher, order: Order) -> Receipt:
    """Publish a change, again while Redis is away; by its id it is one event all the same."""
    event_id = f"order-{order.id}-{order.status.value}"
    for attempt in itertools.count(1):
        try:
            return await publisher.publish("orders", order, event_id=event_id)
        except PublishError as error:
            if not error.retryable or attempt == ATTEMPTS:
                raise
            print(f"not published yet ({error.outcome}): {error}", flush=True)
            await asyncio.sleep(1)
    raise AssertionError("unreachable")


async def publish_orders(publisher: Publisher, interval: float) -> None:
    """Let orders change for ever."""
    for number in itertools.count():
        receipt = await publish(publisher, Order(number // 3, list(Status)[number % 3]))
        print(f"published {receipt.event_id} at {receipt.position}", flush=True)
        await asyncio.sleep(interval)


async def main() -> None:
    """Publish until Ctrl-C or SIGTERM."""
    interval = float(os.environ.get("INTERVAL", "1"))
    async with Publisher(BUS) as publisher:
        publishing = asyncio.create_task(publish_orders(publisher, interval))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, publishing.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await publishing


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except BrokenPipeError:
        # What reads the output has ended, such as `head`. The interpreter flushes it once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
