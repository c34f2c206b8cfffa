"""Publishes to Strawberry through its channel layer."""

from __future__ import annotations

import asyncio
from typing import Any

from channel_layer import GROUP, MESSAGE, configure
from channels.layers import get_channel_layer
from control import publisher_parser, relay


async def main() -> None:
    """Publish until the input ends."""
    options = publisher_parser().parse_args()
    configure(options.bus)
    layer = get_channel_layer()
    assert layer is not None

    async def publish(events: list[dict[str, Any]]) -> None:
        for event in events:
            await layer.group_send(GROUP, {"type": MESSAGE, "data": event["data"]})

    await relay(options.control, publish)


asyncio.run(main())
