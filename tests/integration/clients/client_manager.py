"""The manager that real clients subscribe to.

Its subscriptions have an initial value: a client that has received it receives every later event.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from fraiseql_subs import (
    Context,
    GraphQLError,
    Identity,
    Limits,
    Security,
    SubscriptionManager,
    passthrough,
    subscription,
)


@subscription(channel="numbers.{parity}", initial=lambda: -1)
async def numbers(event, *, parity: str) -> int:
    if event.data == 13:
        raise GraphQLError("unlucky")
    return event.data


@subscription(channel="whoami", initial=lambda context: context.identity.user_id)
async def whoami(event, context: Context) -> str:
    return context.identity.user_id


@subscription
async def countdown(*, start: int) -> AsyncIterator[int]:
    for number in range(start, 0, -1):
        yield number


feed = passthrough("feed", int, channel="feed")


async def authenticate(params) -> Identity | None:
    token = (params.payload or {}).get("token", "guest")
    return None if token == "wrong" else Identity(user_id=token)


def make_manager() -> SubscriptionManager:
    # A client that shares the processor with a publisher at full speed may fall behind.
    limits = Limits(max_pending_bytes=16 * 1024 * 1024)
    security = Security(authenticate=authenticate)
    subscriptions = [numbers, whoami, countdown, feed]
    return SubscriptionManager(subscriptions, limits=limits, security=security)
