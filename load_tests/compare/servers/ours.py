"""fraiseql-subs on its embedded server: a passthrough, or a Python function.

The function is called for each subscriber with `--resolver`, for many with `--batch`.
With `--bus` its events come over an engine, with `--no-history` without a history, with `--table`
from the rows of a table of PostgreSQL, with `--compression` compressed for clients that offer it,
with `--tls` over TLS.
"""

from __future__ import annotations

import asyncio

from control import SDL, SNAPSHOT, obey, parser, print_ready

from fraiseql_subs import (
    TLS,
    History,
    Limits,
    Postgres,
    SubscriptionManager,
    Table,
    passthrough,
    subscription,
)

FILTER = {"key": "$key"}


def snapshot_now() -> dict:
    return SNAPSHOT


@subscription(name="snapshot", channel="snapshot", initial=snapshot_now)
async def snapshot(event) -> dict:
    return event.data


@subscription(name="feed", channel="feed", filter=FILTER)
async def resolved(event, variables) -> dict:
    return event.data


@subscription(name="feed", channel="feed", filter=FILTER, batch=True)
async def batched(calls) -> list[dict]:
    return [call.event.data for call in calls]


async def main() -> None:
    """Serve until killed."""
    arguments = parser()
    arguments.add_argument("--workers", type=int)
    arguments.add_argument("--resolver", action="store_true")
    arguments.add_argument("--batch", action="store_true")
    arguments.add_argument("--no-history", action="store_true")
    arguments.add_argument("--compression", action="store_true")
    arguments.add_argument("--table")
    arguments.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    options = arguments.parse_args()
    field = passthrough("feed", channel="feed", filter=FILTER)
    if options.resolver or options.batch:
        field = batched if options.batch else resolved
    # The peers bound nothing; here no result may be refused for the scenarios to compare.
    limits = Limits(max_pending_bytes=64 << 20)
    bus = options.bus or "memory://"
    if options.table:
        table = Table(options.table, channel="feed", events=("insert",))
        bus = Postgres(bus, tables=[table])
    manager = SubscriptionManager(
        [field, snapshot],
        schema=SDL,
        bus=bus,
        limits=limits,
        workers=options.workers,
        history=None if options.no_history else History(),
    )
    tls = TLS(cert=options.tls[0], key=options.tls[1]) if options.tls else None
    serving = manager.serve(port=options.port, compression=options.compression, tls=tls)
    async with serving as server:
        if options.bus:
            print_ready()
            await server.wait_closed()
        else:
            await obey(options.control, manager.publish)


asyncio.run(main())
