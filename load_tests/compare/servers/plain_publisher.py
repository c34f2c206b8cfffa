"""Publishes to the floor over Redis: each line as it came."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from control import publisher_parser, relay
from redis.asyncio import Redis


async def main() -> None:
    """Publish until the input ends."""
    options = publisher_parser().parse_args()
    async with Redis.from_url(options.bus) as redis:

        async def publish(events: list[dict[str, Any]]) -> None:
            async with redis.pipeline(transaction=False) as pipeline:
                for event in events:
                    pipeline.publish("feed", json.dumps(event))
                await pipeline.execute()

        await relay(options.control, publish)


asyncio.run(main())
