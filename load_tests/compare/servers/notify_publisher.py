"""Publishes by NOTIFY of PostgreSQL: one transaction for all events that wait."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import asyncpg
from control import publisher_parser, relay


async def main() -> None:
    """Publish until the input ends."""
    options = publisher_parser().parse_args()
    connection = await asyncpg.connect(options.bus)

    async def publish(events: list[dict[str, Any]]) -> None:
        async with connection.transaction():
            for event in events:
                await connection.execute("SELECT pg_notify('feed', $1)", json.dumps(event["data"]))

    await relay(options.control, publish)


asyncio.run(main())
