"""Functions with a wrong signature are refused when they are passed to a manager."""

from __future__ import annotations

from typing import Any

import graphql
import pytest
from starlette.requests import HTTPConnection

from fraiseql_subs import ConfigurationError, Scalar, Security, SubscriptionManager, passthrough
from fraiseql_subs.adapters.asgi import GraphQLApp
from fraiseql_subs.adapters.starlette import create_subscription_app

SCHEMA = graphql.build_schema("type Query { ok: Int }")


async def nothing() -> Any:
    return None


async def two(one: Any, two: Any) -> Any:
    return None


async def by_name(*, one: Any) -> Any:
    return None


class Method:
    async def none(self) -> Any:
        return None

    async def __call__(self, one: Any, two: Any) -> Any:
        return None


PLACES = {
    "Security.authenticate": lambda f: Security(authenticate=f),
    "context_getter": lambda f: SubscriptionManager(schema=SCHEMA, context_getter=f),
    "root_value": lambda f: SubscriptionManager(schema=SCHEMA, root_value=f),
    "Scalar('Odd').serialize": lambda f: Scalar("Odd", serialize=f),
    "Scalar('Odd').parse": lambda f: Scalar("Odd", parse=f),
    "context is": lambda f: GraphQLApp(SubscriptionManager(), context=f),
    "context": lambda f: create_subscription_app(SubscriptionManager(), context=f),
}


@pytest.mark.parametrize("function", [nothing, two, by_name, Method().none, Method()])
@pytest.mark.parametrize("place", PLACES)
def test_another_signature_is_refused_where_it_is_declared(place, function):
    with pytest.raises(ConfigurationError) as refused:
        PLACES[place](function)
    message = str(refused.value)
    assert message.startswith(place.removesuffix(" is"))
    assert "is called with (" in message and " takes (" in message


@pytest.mark.parametrize("place", [place for place in PLACES if place != "root_value"])
def test_what_is_no_function_is_refused(place):
    with pytest.raises(ConfigurationError):
        PLACES[place]("text")


async def of_any(*arguments: Any, **options: Any) -> Any:
    return None


async def with_default(one: Any, two: int = 2) -> Any:
    return None


class Hook:
    async def hook(self, one: Any) -> Any:
        return None

    async def __call__(self, one: Any) -> Any:
        return None


@pytest.mark.parametrize("function", [of_any, with_default, Hook().hook, Hook()])
@pytest.mark.parametrize("place", PLACES)
def test_whatever_can_be_called_is_taken(place, function):
    PLACES[place](function)


@pytest.mark.parametrize("function", [str, int, repr, HTTPConnection])
def test_classes_and_functions_in_c_are_taken(function):
    Scalar("Odd", serialize=function, parse=function)


def test_main_takes_no_parameter():
    manager = SubscriptionManager([passthrough("feed", str, channel="feed")])
    with pytest.raises(ConfigurationError, match=r"main is called with \(\), but two takes \(one"):
        manager.run(port=0, main=two)
