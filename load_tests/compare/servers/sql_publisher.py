"""Publishes to fraiseql-subs by SQL: one transaction for all events that wait.

With `--table` it inserts rows, whose changes are the events.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import asyncpg
from control import publisher_parser, relay

PUBLISH = "SELECT fraiseql_subs.publish('feed', $1::text::jsonb)"
INSERT = 'INSERT INTO {} (sequence, "sentAt", key, note) VALUES ($1, $2, $3, $4)'


async def main() -> None:
    """Publish until the input ends."""
    arguments = publisher_parser()
    arguments.add_argument("--table")
    options = arguments.parse_args()
    connection = await asyncpg.connect(options.bus)
    statement = INSERT.format(options.table) if options.table else PUBLISH

    def values(data: dict[str, Any]) -> tuple[object, ...]:
        if options.table:
            return data["sequence"], data["sentAt"], data.get("key"), data["note"]
        return (json.dumps(data),)

    async def publish(events: list[dict[str, Any]]) -> None:
        async with connection.transaction():
            for event in events:
                await connection.execute(statement, *values(event["data"]))

    await relay(options.control, publish)


asyncio.run(main())
