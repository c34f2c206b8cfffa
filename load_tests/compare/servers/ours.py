"""fraiseql-subs on its embedded server: a passthrough, or with `--resolver` a Python function.

With `--bus` its events come over an engine, with `--no-history` without a history, with `--table`
from the rows of a table of PostgreSQL.
"""

from __future__ import annotations

import asyncio

from control import SDL, obey, parser, print_ready

from fraiseql_subs import (
    History,
    Limits,
    Postgres,
    SubscriptionManager,
    Table,
    passthrough,
    subscription,
)

FILTER = {"key": "$key"}


@subscription(name="feed", channel="feed", filter=FILTER)
async def resolved(event, variables) -> dict:
    return event.data


async def main() -> None:
    """Serve until killed."""
    arguments = parser()
    arguments.add_argument("--workers", type=int)
    arguments.add_argument("--resolver", action="store_true")
    arguments.add_argument("--no-history", action="store_true")
    arguments.add_argument("--table")
    options = arguments.parse_args()
    field = resolved if options.resolver else passthrough("feed", channel="feed", filter=FILTER)
    # The peers bound nothing; here no result may be refused for the scenarios to compare.
    limits = Limits(max_pending_bytes=64 << 20)
    bus = options.bus or "memory://"
    if options.table:
        table = Table(options.table, channel="feed", events=("insert",))
        bus = Postgres(bus, tables=[table])
    manager = SubscriptionManager(
        [field],
        schema=SDL,
        bus=bus,
        limits=limits,
        workers=options.workers,
        history=None if options.no_history else History(),
    )
    async with manager.serve(port=options.port) as server:
        if options.bus:
            print_ready()
            await server.wait_closed()
        else:
            await obey(options.control, manager.publish)


asyncio.run(main())
