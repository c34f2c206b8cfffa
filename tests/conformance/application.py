"""The application for the transcripts: its subscriptions and its `authenticate` hook."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import graphql
from support import PATIENCE
from support.resolvers import Endless

from fraiseql_subs import (
    ConnectionParams,
    GraphQLError,
    Identity,
    Limits,
    Security,
    SubscriptionManager,
    passthrough,
    subscription,
)

SDL = """
type Query {
  hello(name: String = "world"): String broken: String strict: Int! wait: Int held: String
}
type Mutation { bump: Int }
type Subscription {
  greetings: String! counted(to: Int!): Int! checked: String endless: String! finite: String!
}
"""

greetings = passthrough("greetings", channel="greetings")


@subscription
async def counted(to: int) -> AsyncIterator[int]:
    for number in range(to):
        yield number


@subscription(channel="checked")
async def checked(event) -> str | None:
    if event.data == "fail":
        raise GraphQLError("as told")
    return event.data


class Authentication:
    """An `authenticate` hook whose behaviour a transcript selects."""

    def __init__(self, behaviour: str) -> None:
        self.behaviour = behaviour
        self.entered = asyncio.Event()
        self.opened = asyncio.Event()
        self.ended = asyncio.Event()

    async def __call__(self, params: ConnectionParams) -> Identity | None:
        self.entered.set()
        if self.behaviour == "refuse":
            return None
        if self.behaviour == "raise":
            raise RuntimeError("not for clients")
        try:
            await self.opened.wait()
        finally:
            self.ended.set()
        return Identity("guest")


def _schema(held: Held) -> graphql.GraphQLSchema:
    schema = graphql.build_schema(SDL)
    assert schema.query_type and schema.mutation_type

    def fail(*_: Any) -> None:
        raise ValueError("as told")

    query = schema.query_type.fields
    query["hello"].resolve = lambda *_, name: f"hello {name}"
    query["broken"].resolve = query["strict"].resolve = fail
    query["wait"].resolve = lambda *_: asyncio.Event().wait()
    query["held"].resolve = lambda *_: held.wait()
    schema.mutation_type.fields["bump"].resolve = lambda *_: 1
    return schema


class Held:
    """A value that is sent when a transcript allows it."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()

    async def wait(self) -> str:
        await self.let_go.wait()
        return "let go"

    def declare(self) -> Any:
        @subscription
        async def finite() -> AsyncIterator[str]:
            yield await self.wait()

        return finite


class Application:
    """The manager of one transcript, and the state that its steps need."""

    def __init__(self, options: dict[str, Any]) -> None:
        options = dict(options)
        self.authentication = Authentication(options.pop("authenticate", "open"))
        self.endless, self.held = Endless(), Held()
        hook = None if self.authentication.behaviour == "open" else self.authentication
        self.manager = SubscriptionManager(
            [greetings, counted, checked, self.endless.declare(), self.held.declare()],
            schema=_schema(self.held),
            security=Security(authenticate=hook),
            # On a busy machine a client may need long for its first message.
            limits=Limits(**{"connection_init_timeout": PATIENCE, **options}),
        )
