"""Events that a test creates, to call a resolver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import pytest

from fraiseql_subs import Context, Event, Identity, PublishError, subscription


@dataclass
class Order:
    id: int
    status: str


Data: TypeAlias = dict[str, object]


@subscription(channel="orders")
async def order_updated(event: Event, context: Context) -> Order:
    assert context.identity.user_id == "ada"
    return Order(id=event["id"], status=event.data["status"])


async def test_a_resolver_is_called_alone():
    event = Event({"id": 1, "status": "PAID"}, channel="orders")
    context = Context(identity=Identity("ada"))
    assert await order_updated(event, context) == Order(1, "PAID")


def test_its_data_is_what_would_have_been_published():
    event = Event(Order(1, "PAID"))
    assert event == {"id": 1, "status": "PAID"}
    assert dict(event) == event.data == {"id": 1, "status": "PAID"}
    with pytest.raises(TypeError, match="cannot be changed"):
        event.data["id"] = 2
    assert Event("text").data == "text"
    with pytest.raises(PublishError, match=r"data\.a: .*has no JSON form"):
        Event({"a": object()})


def test_its_envelope_may_be_given():
    event = Event(1, channel="a", event_type="paid", tenant_id="t", event_id="7", offset=3)
    assert (event.channel, event.event_type, event.tenant_id) == ("a", "paid", "t")
    assert (event.id, event.offset) == ("7", 3)
    assert Event(1).event_type is None
    assert Event(1).offset == 1
