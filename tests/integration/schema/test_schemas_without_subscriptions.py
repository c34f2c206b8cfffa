"""An existing schema without subscriptions: its queries are served, subscriptions are added."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import graphql
import pytest
import strawberry
from strawberry.extensions import DisableIntrospection

from fraiseql_subs import (
    SchemaError,
    SubscriptionManager,
    ValidationError,
    passthrough,
    subscription,
)


@strawberry.type
class Room:
    id: strawberry.ID
    name: str | None


@strawberry.type
class Query:
    @strawberry.field
    def room(self) -> Room:
        return Room(id=strawberry.ID("1"), name="lobby")


@dataclass
class Message:
    text: str
    room: Room


@subscription(channel="rooms.{room_id}")
async def message_sent(event: Any, room_id: int) -> Message:
    return event.data


@subscription
async def rooms() -> AsyncIterator[Room]:
    yield Room(id=strawberry.ID("2"), name="kitchen")


def core_schema() -> graphql.GraphQLSchema:
    sdl = "schema { query: Root } type Root { room: Room } type Room { id: ID! name: String }"
    schema = graphql.build_schema(sdl)
    schema.query_type.fields["room"].resolve = lambda *_: {"id": 1, "name": "lobby"}
    return schema


SCHEMAS = {"strawberry": lambda: strawberry.Schema(Query), "graphql-core": core_schema}


@pytest.mark.parametrize("name", SCHEMAS)
async def test_queries_are_served(name):
    async with SubscriptionManager(schema=SCHEMAS[name]()) as manager:
        result = await anext(manager.subscribe("{ room { name } }"))
        assert result.data == {"room": {"name": "lobby"}}
        with pytest.raises(ValidationError):
            await anext(manager.subscribe("subscription { rooms { id } }"))


@pytest.mark.parametrize("name", SCHEMAS)
async def test_subscriptions_are_added_and_use_the_types_of_the_schema(name):
    manager = SubscriptionManager([message_sent, rooms], schema=SCHEMAS[name]())
    sent = "subscription { messageSent(roomId: 7) { text room { name } } }"
    async with manager, manager.subscribe(sent) as results:
        await manager.publish("rooms.7", {"text": "hi", "room": {"id": 7, "name": "bar"}})
        expected = {"messageSent": {"text": "hi", "room": {"name": "bar"}}}
        assert (await anext(results)).data == expected
        result = await anext(manager.subscribe("subscription { rooms { id name } }"))
        assert result.data == {"rooms": {"id": "2", "name": "kitchen"}}
        result = await anext(manager.subscribe("{ room { name } }"))
        assert result.data == {"room": {"name": "lobby"}}
        with pytest.raises(ValidationError, match="nothing"):
            await anext(manager.subscribe("subscription { nothing }"))


@pytest.mark.parametrize("name", SCHEMAS)
async def test_introspection_tells_of_what_was_added(name):
    async with SubscriptionManager([message_sent], schema=SCHEMAS[name]()) as manager:
        result = await anext(manager.subscribe(graphql.get_introspection_query()))
        described = graphql.print_schema(graphql.build_client_schema(result.data))
        built = graphql.build_schema(manager.sdl())
    assert "messageSent(roomId: Int!): Message!" in described
    assert described == graphql.print_schema(built)


async def test_introspection_that_the_schema_refuses_stays_refused():
    schema = strawberry.Schema(Query, extensions=[DisableIntrospection])
    async with SubscriptionManager([message_sent], schema=schema) as manager:
        with pytest.raises(ValidationError, match="introspection"):
            await anext(manager.subscribe("{ __schema { subscriptionType { name } } }"))


def test_what_cannot_be_added_is_refused():
    schema = graphql.build_schema(
        "schema { query: Root } type Root { a: Subscription } type Subscription { b: Int }"
    )
    with pytest.raises(SchemaError, match="a type named `Subscription`"):
        SubscriptionManager([rooms], schema=schema)
    with pytest.raises(SchemaError, match="there is none to build the schema from"):
        SubscriptionManager([passthrough("untyped", channel="c")], schema=strawberry.Schema(Query))
