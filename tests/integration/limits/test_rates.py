"""Rates: behaviour past each rate, and clients that are not affected."""

from __future__ import annotations

from typing import Any

import pytest

from fraiseql_subs import (
    ConfigurationError,
    ConnectionParams,
    Identity,
    Rates,
    Security,
    SubscriptionManager,
    passthrough,
)

QUERY = "subscription { ticks }"


def make_manager(**rates: Any) -> SubscriptionManager:
    async def authenticate(params: ConnectionParams) -> Identity:
        return Identity((params.payload or {}).get("user", "nobody"))

    security = Security(authenticate=authenticate, rates=Rates(**rates))
    return SubscriptionManager([passthrough("ticks", int, channel="ticks")], security=security)


async def test_subscribing_too_often_is_an_error_and_the_rest_goes_on(serve, connect):
    manager = make_manager(subscribes="2/h")
    server = await serve(manager)
    one, again, other = [
        await connect(server.url, {"user": user}) for user in ("ada", "ada", "bob")
    ]
    first = await one.subscribe(QUERY)
    await again.subscribe(QUERY)
    (error,) = await again.receive_errors(await again.subscribe(QUERY))
    assert error["extensions"] == {"code": "RATE_LIMITED"}
    await other.subscribe(QUERY)
    await manager.publish("ticks", 1)
    assert await one.receive_data(first) == {"ticks": 1}
    assert await other.receive_data() == {"ticks": 1}
    assert manager.metrics().denied_rate == 1


@pytest.mark.parametrize("per", ["identity", "address", "connection"])
async def test_reconnecting_resets_only_the_rates_of_a_connection(per, serve, connect):
    server = await serve(make_manager(subscribes="1/h", per=per))
    refused = []
    for user in ("ada", "ada", "bob"):
        client = await connect(server.url, {"user": user})
        await client.subscribe(QUERY)
        refused.append(client.has_received)
        await client.close()
    assert (
        refused
        == {
            "identity": [False, True, False],
            "address": [False, True, True],
            "connection": [False, False, False],
        }[per]
    )


async def test_a_client_that_floods_is_closed_with_4429(serve, connect):
    manager = make_manager(messages="10/h")
    server = await serve(manager)
    neighbour = await connect(server.url, {"user": "bob"})
    await neighbour.subscribe(QUERY)
    flooding = await connect(server.url, {"user": "ada"})
    for _ in range(11):
        await flooding.send({"type": "pong"})
    await flooding.expect_close(4429, "Too many messages")
    await manager.publish("ticks", 1)
    assert await neighbour.receive_data() == {"ticks": 1}
    assert manager.metrics().denied_rate == 1


async def test_results_past_their_rate_are_dropped_and_counted(serve, connect):
    manager = make_manager(events="3/h")
    server = await serve(manager)
    client = await connect(server.url, {"user": "ada"})
    await client.subscribe(QUERY)
    await manager.publish_many(("ticks", n) for n in range(5))
    other = await connect(server.url, {"user": "bob"})
    await other.subscribe(QUERY)
    await manager.publish("ticks", 9)
    assert await other.receive_data() == {"ticks": 9}
    assert [await client.receive_data() for _ in range(3)] == [{"ticks": n} for n in range(3)]
    await client.settle()
    assert not client.has_received
    assert manager.metrics().results_rate_limited == 3


@pytest.mark.parametrize("rate", ["10", "0/s", "ten/s", "10/d", "10 per second", ""])
def test_a_rate_that_cannot_be_read_is_refused(rate):
    with pytest.raises(ConfigurationError, match=r"Rates\.events.*10/s"):
        Rates(events=rate)


def test_rates_without_a_rate_are_refused():
    with pytest.raises(ConfigurationError, match=r"Rates without a rate .* leave Security\.rates"):
        Rates()


def test_rates_are_counted_per_something_known():
    with pytest.raises(ConfigurationError, match='"identity", "connection", "address"'):
        Rates(per="user")
