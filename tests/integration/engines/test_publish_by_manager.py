"""`fraiseql-subs publish --target`: publishes through the engine of a module's manager."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from declared import node
from nodes import take
from publishing_command import publish
from support.redis_server import RedisServer

from fraiseql_subs import History, Identity, Security, TenantIsolation

APP = """
from fraiseql_subs import *

declared = [passthrough("feed", dict, channel="feed")]
plain = SubscriptionManager(declared, bus={bus!r}, history=History(events=3))
tenants = SubscriptionManager(
    declared, bus={bus!r}, security=Security(tenant=TenantIsolation(event_field="org"))
)
memory = SubscriptionManager(declared)
"""


def written(folder: Path, bus: str) -> tuple[str, str]:
    """Write the module; return the option with its folder."""
    (folder / "shop.py").write_text(APP.format(bus=bus))
    return "--app-dir", str(folder)


async def test_an_event_reaches_the_subscribers_of_the_manager(redis: RedisServer, tmp_path):
    place = written(tmp_path, redis.url)
    manager = node(redis.url, history=History(events=3))
    async with manager, manager.subscribe("subscription { feed }") as results:
        status, out, err = await publish(
            *("feed", "7", "--target", "shop:plain", "--json", *place),
            # The manager counts more than the environment.
            FRAISEQL_SUBS_PUBLISH_TO="redis://127.0.0.1:1",
        )
        assert (status, err) == (0, "")
        assert json.loads(out[0])["offset"] == 1
        assert await take(results, 1) == [7]


async def test_tenants_are_those_of_the_manager(redis: RedisServer, tmp_path):
    place = written(tmp_path, redis.url)
    manager = node(redis.url, security=Security(tenant=TenantIsolation(event_field="org")))
    acme = Identity(user_id="1", tenant_id="acme")
    document = "subscription { envelope }"
    async with manager, manager.subscribe(document, identity=acme) as results:
        for name, data, more in (
            ("a", '{"org": "other"}', ()),
            ("b", '{"org": "acme"}', ()),
            ("c", "{}", ("--tenant", "acme")),
        ):
            options = ("--target", "shop:tenants", "--event-id", name, *more, *place)
            status, _, err = await publish("envelopes", data, *options)
            assert (status, err) == (0, "")
        received = await take(results, 2)
        assert [(name, tenant) for name, _, tenant, *_ in received] == [
            ("b", "acme"),
            ("c", "acme"),
        ]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("shop:memory",), "shop:memory has the bus memory://, which reaches no other process"),
        (("shop:plain", "--tenant", "acme"), "shop:plain has no TenantIsolation"),
        (("shop:plain", "--to", "redis://127.0.0.1"), "--to: the manager of --target says it"),
        (("shop:plain", "--history-events", "5"), "--history-events: the manager of --target"),
        (("shop:plan",), "did you mean plain"),
    ],
)
async def test_a_wrong_command_line_is_told(tmp_path, arguments, part):
    place = written(tmp_path, "redis://127.0.0.1:1")
    status, out, err = await publish("feed", "{}", "--target", *arguments, *place)
    assert (status, out) == (2, [])
    assert part in err
