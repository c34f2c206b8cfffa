"""No event crosses tenants or row filters, end to end: random identities, subscriptions of every
kind that come and go, and events, against a naive reading of the rules.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support import PATIENCE

from fraiseql_subs import (
    Identity,
    RowFilter,
    Security,
    SubscriptionManager,
    TenantIsolation,
    passthrough,
    subscription,
)

TENANTS = st.sampled_from(["a", "b"])
USERS = st.sampled_from(["1", "2"])
FIELDS = st.sampled_from(["plain", "called", "shared", "batched"])
LAST = -1


@subscription(channel="orders")
async def called(event) -> int:
    return event["n"]


@subscription(channel="orders", shared=True)
async def shared(event) -> int:
    return event["n"]


@subscription(channel="orders", batch=True)
async def batched(calls) -> list[int]:
    return [call.event["n"] for call in calls]


SDL = (
    "type Subscription { plain: Order called: Int shared: Int batched: Int } type Order { n: Int }"
)
SECURITY = Security(
    tenant=TenantIsolation(event_field="tenant"),
    rows=[RowFilter("orders", {"owner": "$identity.user_id"}, unless="admin")],
)


@dataclass
class Subscriber:
    id: str
    identity: Identity
    expected: list[int] = field(default_factory=list)

    def may_see(self, event: dict[str, Any]) -> bool:
        owner = event.get("owner")
        owners = owner if isinstance(owner, list) else [owner]
        is_own = self.identity.user_id in map(str, owners) or "admin" in self.identity.roles
        return event.get("tenant") == self.identity.tenant_id and is_own


identities = st.builds(
    Identity,
    user_id=USERS,
    tenant_id=TENANTS,
    roles=st.sampled_from([(), ("admin",)]),
)
subscribing = st.tuples(st.just("subscribe"), identities, FIELDS)
ending = st.tuples(st.just("end"), st.integers(0, 10), st.none())
owners = st.one_of(st.none(), USERS, st.sampled_from([1, 2]), st.lists(USERS, max_size=2))
publishing = st.tuples(st.just("publish"), st.one_of(st.none(), TENANTS), owners)


async def play(steps: list[tuple[str, Any, Any]]) -> None:
    plain = passthrough("plain", dict, channel="orders")
    manager = SubscriptionManager([plain, called, shared, batched], schema=SDL, security=SECURITY)
    live: list[Subscriber] = []
    async with manager:
        for n, (kind, first, second) in enumerate(steps):
            if kind == "subscribe":
                selection = "plain { n }" if second == "plain" else second
                id = await manager.executor.register_subscription(
                    f"subscription {{ {selection} }}", identity=first
                )
                live.append(Subscriber(id, first))
            elif kind == "end" and live:
                ended = live.pop(first % len(live))
                await manager.executor.complete_subscription(ended.id)
            elif kind == "publish":
                event = {"n": n, "tenant": first, "owner": second}
                await manager.publish("orders", event)
                for subscriber in live:
                    if subscriber.may_see(event):
                        subscriber.expected.append(n)
        for tenant in ("a", "b"):
            # The last event, which every user may see: the others have arrived before it.
            await manager.publish("orders", {"n": LAST, "tenant": tenant, "owner": ["1", "2"]})
        for subscriber in live:
            received = []
            while LAST not in received:
                response = await asyncio.wait_for(
                    manager.executor.next_event(subscriber.id), timeout=PATIENCE
                )
                (value,) = json.loads(response)["data"].values()
                received.append(value["n"] if isinstance(value, dict) else value)
            assert received == [*subscriber.expected, LAST]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(subscribing, publishing, ending), max_size=25))
def test_everybody_receives_what_they_may_see_and_nothing_else(steps):
    asyncio.run(play(steps))
