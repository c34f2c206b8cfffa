"""fraiseql-subs on its embedded server: a passthrough, or with `--resolver` a Python function.

With `--redis` its events come over Redis, with `--no-history` without a history.
"""

from __future__ import annotations

import asyncio

from control import SDL, obey, parser, print_ready

from fraiseql_subs import History, Limits, SubscriptionManager, passthrough, subscription

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
    options = arguments.parse_args()
    field = resolved if options.resolver else passthrough("feed", channel="feed", filter=FILTER)
    # The peers bound nothing; here no result may be refused for the scenarios to compare.
    limits = Limits(max_pending_bytes=64 << 20)
    manager = SubscriptionManager(
        [field],
        schema=SDL,
        bus=options.redis or "memory://",
        limits=limits,
        workers=options.workers,
        history=None if options.no_history else History(),
    )
    async with manager.serve(port=options.port) as server:
        if options.redis:
            print_ready()
            await server.wait_closed()
        else:
            await obey(options.control, manager.publish)


asyncio.run(main())
