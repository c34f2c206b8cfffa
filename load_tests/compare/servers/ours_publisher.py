"""Publishes to fraiseql-subs by its `Publisher`."""

from __future__ import annotations

import asyncio

from control import publisher_parser, relay

from fraiseql_subs import History, Publisher


async def main() -> None:
    """Publish until the input ends."""
    arguments = publisher_parser()
    arguments.add_argument("--no-history", action="store_true")
    options = arguments.parse_args()
    history = None if options.no_history else History()
    async with Publisher(options.bus, history=history) as publisher:
        await relay(options.control, publisher.publish_many)


asyncio.run(main())
