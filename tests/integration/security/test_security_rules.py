"""Tenants, rows, scope, permissions and subgraphs, for publishers and subscribers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from support.authentication import Admitting

from fraiseql_subs import (
    RBAC,
    TLS,
    ConfigurationError,
    ConnectionParams,
    Context,
    Federation,
    Identity,
    PublishError,
    Rates,
    RowFilter,
    Scope,
    Security,
    SubscriptionManager,
    TenantIsolation,
    ValidationError,
    passthrough,
    subscription,
)

ADA = Identity("ada", tenant_id="a", claims={"teams": ["red", "blue"]}, permissions=["orders:read"])
BOB = Identity("bob", tenant_id="b", roles=["admin"], permissions=["orders:read", "finance"])
NOBODYS = Identity("nobody")

QUERY = "subscription { orderUpdated { id } }"
RESOLVED = "subscription { resolved { id } }"


@dataclass
class Order:
    id: int
    user_id: str | None = None
    total: float | None = None


orders = passthrough("orderUpdated", Order, channel="orders")
of_user = passthrough(
    "ofUser",
    Order,
    channel="orders",
    arguments={"user_id": str | None},
    filter={"user_id": "$userId"},
)


@subscription(channel="orders")
async def resolved(event, context: Context) -> Order:
    return event.data


calls: list[Any] = []


@subscription(channel="orders", shared=True)
async def shared(event) -> Order:
    calls.append(event["id"])
    return event.data


def make_manager(*more: Any, schema: str | None = None, **rules: Any) -> SubscriptionManager:
    subscriptions = [orders, of_user, resolved, shared, *more]
    return SubscriptionManager(subscriptions, schema=schema, security=Security(**rules))


class Subscriber:
    """An in-process subscription, and the ids of the orders that reached it."""

    def __init__(self, manager: SubscriptionManager, id: str) -> None:
        self.manager = manager
        self.id = id

    @classmethod
    async def open(
        cls, manager: SubscriptionManager, identity: Identity | None, query: str = QUERY
    ) -> Subscriber:
        id = await manager.executor.register_subscription(query, identity=identity)
        return cls(manager, id)

    async def next(self) -> Any:
        return await self.manager.executor.next_event(self.id)


async def received(subscriber: Subscriber, last: int) -> list[int]:
    """Return the events of a subscriber, up to the order `last`, which every user may see."""
    import json

    ids: list[int] = []
    while not ids or ids[-1] != last:
        response = json.loads(await subscriber.next())
        (order,) = response["data"].values()
        ids.append(order["id"])
    return ids


def code_of(error: ValidationError) -> list[str]:
    return [entry["extensions"]["code"] for entry in error.errors]


@pytest.mark.parametrize("query", [QUERY, RESOLVED, "subscription { shared { id } }"])
async def test_an_event_reaches_only_subscribers_of_its_tenant(query):
    async with make_manager(tenant=TenantIsolation()) as manager:
        ada = await Subscriber.open(manager, ADA, query)
        bob = await Subscriber.open(manager, BOB, query)
        await manager.publish("orders", {"id": 1}, tenant_id="a")
        await manager.publish("orders", {"id": 2, "tenant_id": "b"})
        await manager.publish("orders", {"id": 3})
        await manager.publish("orders", {"id": 4, "tenant_id": ["a", "b"]})
        await manager.publish_many(
            ("orders", {"id": 9, "tenant_id": tenant}) for tenant in ("a", "b")
        )
        assert await received(ada, 9) == [1, 9]
        assert await received(bob, 9) == [2, 9]
        assert manager.metrics().events_without_tenant == 2


@pytest.mark.parametrize("identity", [None, NOBODYS, Identity("x", tenant_id="")])
async def test_a_subscriber_without_a_tenant_is_refused(identity):
    async with make_manager(tenant=TenantIsolation()) as manager:
        with pytest.raises(ValidationError, match="not permitted") as refused:
            await Subscriber.open(manager, identity)
        assert code_of(refused.value) == ["FORBIDDEN"]
        assert manager.metrics().denied_tenant == 1


async def test_a_publisher_of_a_tenant_cannot_name_another():
    async with make_manager(tenant=TenantIsolation(event_field="org.tenant")) as manager:
        ada = await Subscriber.open(manager, ADA)
        publisher = manager.for_tenant("a")
        assert publisher.tenant_id == "a"
        for refused in (
            lambda: publisher.publish("orders", {"id": 1, "org": {"tenant": "b"}}),
            lambda: publisher.publish_many([("orders", {"id": 1, "org": {"tenant": "b"}})]),
            lambda: publisher.publish_many(
                [("orders", {"id": 1}), {"channel": "orders", "data": {}, "tenant_id": "b"}]
            ),
            lambda: manager.publish("orders", {"org": {"tenant": "b"}}, tenant_id="a"),
        ):
            with pytest.raises(PublishError, match="tenant"):
                await refused()
        await publisher.publish("orders", {"id": 2})
        await publisher.publish_many([("orders", {"id": 3, "org": {"tenant": "a"}})])
        assert await received(ada, 3) == [2, 3]
        with pytest.raises(ConfigurationError, match="tenant_id"):
            manager.for_tenant("")


@pytest.mark.parametrize("query", [QUERY, RESOLVED, "subscription { shared { id } }"])
async def test_events_reach_subscribers_whose_identity_matches(query):
    rows = [
        RowFilter("orders*", {"user_id": "$identity.user_id"}, unless="admin"),
        RowFilter("orders", {"team.name": ["$identity.teams", "public"]}, unless=["admin"]),
    ]
    async with make_manager(rows=rows) as manager:
        ada = await Subscriber.open(manager, ADA, query)
        nobody = await Subscriber.open(manager, Identity("nobody"), query)
        bob = await Subscriber.open(manager, BOB, query)
        for id, user, team in (
            (1, "ada", {"name": "red"}),
            (2, "ada", {"name": "green"}),
            (3, "ada", {}),
            (4, ["bob", "ada"], {"name": ["x", "blue"]}),
            (5, "bob", {"name": "red"}),
            (6, None, {"name": "public"}),
            (7, "nobody", {"name": "public"}),
            (9, ["ada", "nobody"], {"name": "public"}),
        ):
            await manager.publish("orders", {"id": id, "user_id": user, "team": team})
        assert await received(ada, 9) == [1, 4, 9]
        assert await received(nobody, 9) == [7, 9]
        assert await received(bob, 9) == [1, 2, 3, 4, 5, 6, 7, 9]
        assert manager.metrics().events_denied == 5 + 6
        with pytest.raises(ValidationError, match="without an identity"):
            await Subscriber.open(manager, None, query)


async def test_equal_views_share_one_projection_and_one_call():
    rows = [RowFilter("orders", {"user_id": "$identity.user_id"})]
    async with make_manager(rows=rows) as manager:
        calls.clear()
        subscribers = [
            await Subscriber.open(manager, identity, query)
            for query in (QUERY, "subscription { shared { id } }")
            for identity in (ADA, ADA, Identity("ada", roles=["other"]), BOB)
        ]
        assert manager.metrics().groups == 2
        await manager.publish("orders", {"id": 1, "user_id": "ada"})
        await manager.publish("orders", {"id": 9, "user_id": ["ada", "bob"]})
        for subscriber, ids in zip(subscribers, [[1, 9], [1, 9], [1, 9], [9]] * 2, strict=True):
            assert await received(subscriber, 9) == ids
        assert sorted(calls) == [1, 9, 9]
        assert manager.metrics().group_projections == 3


async def test_arguments_must_be_the_identitys():
    scope = Scope({"userId": "$identity.user_id"}, unless="admin")
    async with make_manager(scope=scope) as manager:
        own = await Subscriber.open(manager, ADA, 'subscription { ofUser(userId: "ada") { id } }')
        await Subscriber.open(manager, BOB, 'subscription { ofUser(userId: "ada") { id } }')
        await Subscriber.open(manager, None, QUERY)
        for identity, arguments in (
            (ADA, '(userId: "bob")'),
            (ADA, "(userId: null)"),
            (ADA, ""),
            (None, '(userId: "ada")'),
        ):
            with pytest.raises(ValidationError) as refused:
                query = f"subscription {{ ofUser{arguments} {{ id }} }}"
                await Subscriber.open(manager, identity, query)
            assert code_of(refused.value) == ["FORBIDDEN"]
            assert "bob" not in str(refused.value)
        assert manager.metrics().denied_scope == 4
        await manager.publish("orders", {"id": 9, "user_id": "ada"})
        assert await received(own, 9) == [9]


@pytest.mark.parametrize("name", ["userID", "user_id", "nothing.id"])
async def test_a_scope_of_an_argument_that_no_subscription_has_is_refused(name):
    with pytest.raises(ConfigurationError, match="no subscription has an argument"):
        await make_manager(scope=Scope({name: "$identity.user_id"})).start()


@subscription
async def ticks(*, user_id: str) -> AsyncIterator[int]:
    yield 1


async def test_scope_holds_for_source_streams_as_well():
    async with make_manager(ticks, scope=Scope({"userId": "$identity.user_id"})) as manager:
        results = manager.subscribe('subscription { ticks(userId: "ada") }', identity=ADA)
        assert [result.data async for result in results] == [{"ticks": 1}]
        with pytest.raises(ValidationError):
            await anext(manager.subscribe('subscription { ticks(userId: "bob") }', identity=ADA))


TOTAL = "subscription { orderUpdated { id sum: total } }"


async def test_a_subscription_is_refused_with_the_path_of_each_denied_field():
    rbac = RBAC(fields={"Order.total": "finance"}, subscriptions={"orderUpdated": "orders:read"})
    async with make_manager(rbac=rbac) as manager:
        with pytest.raises(ValidationError) as refused:
            await Subscriber.open(manager, ADA, TOTAL)
        (error,) = refused.value.errors
        assert error["path"] == ["orderUpdated", "sum"]
        assert error["extensions"] == {"code": "FORBIDDEN"}
        for identity in (None, NOBODYS):
            with pytest.raises(ValidationError, match="orderUpdated") as refused:
                await Subscriber.open(manager, identity)
            assert refused.value.errors[0]["path"] == ["orderUpdated"]
        assert manager.metrics().denied_rbac == 3
        bob = await Subscriber.open(manager, BOB, TOTAL)
        ada = await Subscriber.open(manager, ADA)
        await manager.publish("orders", {"id": 9, "total": 5})
        assert await bob.next() == b'{"data":{"orderUpdated":{"id":9,"sum":5}}}'
        assert await ada.next() == b'{"data":{"orderUpdated":{"id":9}}}'


@pytest.mark.parametrize("field", ["orderUpdated", "resolved", "shared"])
async def test_denied_fields_may_be_null_with_an_error(field, serve, connect):
    async def authenticate(params: ConnectionParams) -> Identity:
        return {"ada": ADA, "bob": BOB}[params.payload["user"]]

    rbac = RBAC(fields={"Order.total": "finance"}, on_denied="null")
    manager = make_manager(authenticate=authenticate, rbac=rbac)
    server = await serve(manager)
    query = f"subscription {{ {field} {{ id total }} }}"
    clients = [await connect(server.url, {"user": user}) for user in ("ada", "bob")]
    for client in clients:
        await client.subscribe(query)
    await manager.publish("orders", {"id": 1, "total": 5.5})
    payload = await clients[0].receive_next()
    assert payload["data"] == {field: {"id": 1, "total": None}}
    (error,) = payload["errors"]
    assert (error["path"], error["extensions"]) == ([field, "total"], {"code": "FORBIDDEN"})
    assert await clients[1].receive_data() == {field: {"id": 1, "total": 5.5}}


SDL = """
type Subscription {
  orderUpdated: Order @requires(permission: "orders:read")
  ofUser(userId: String): Order  resolved: Order  shared: Order
}
type Order @key(fields: "id") { id: Int  total: Float @requires(permission: "finance") }
"""


async def test_permissions_may_stand_in_the_schema():
    async with make_manager(schema=SDL) as manager:
        with pytest.raises(ValidationError, match=r"Order\.total"):
            await Subscriber.open(manager, ADA, TOTAL)
        with pytest.raises(ValidationError, match="orderUpdated"):
            await Subscriber.open(manager, NOBODYS)
        await Subscriber.open(manager, BOB, TOTAL)


@pytest.mark.parametrize(
    "rbac",
    [
        RBAC(fields={"Order.totl": "finance"}),
        RBAC(fields={"Ordr.total": "finance"}),
        RBAC(fields={"Subscription.nothing": "finance"}),
        RBAC(subscriptions={"nothing": "finance"}),
    ],
)
def test_a_permission_for_what_is_not_there_is_refused(rbac):
    with pytest.raises(ConfigurationError, match="the schema has no `"):
        make_manager(rbac=rbac)


async def test_a_subgraph_serves_its_own_channels_and_requests(serve, connect):
    below = passthrough("below", Order, channel="{place}", arguments={"place": str})
    manager = make_manager(below, federation=Federation("orders"))
    server = await serve(manager)
    client = await connect(server.url)
    own = await client.subscribe('subscription { below(place: "orders.eu") { id } }')
    await manager.publish("orders.eu", {"id": 1})
    assert await client.receive_data(own) == {"below": {"id": 1}}
    for place in ("users", "orders2", "users.orders"):
        id = await client.subscribe(f'subscription {{ below(place: "{place}") {{ id }} }}')
        (error,) = await client.receive_errors(id)
        assert error["extensions"]["code"] == "FORBIDDEN"
    for subgraph, denied in (("orders", False), ("users", True), (7, True)):
        payload = {"query": QUERY, "extensions": {"subgraph": subgraph}}
        await client.send({"id": f"{subgraph}", "type": "subscribe", "payload": payload})
        await client.settle()
        assert client.has_received == denied
        if denied:
            await client.receive_errors(f"{subgraph}")
    foreign = await connect(server.url, additional_headers={"X-Subgraph": "users"})
    await foreign.receive_errors(await foreign.subscribe(QUERY))
    assert manager.metrics().denied_federation == 6


def test_a_channel_of_another_subgraph_is_refused_when_declared():
    with pytest.raises(ConfigurationError, match="not a channel of subgraph `users`"):
        make_manager(federation=Federation("users"))
    make_manager(federation=Federation("users", channels=["ord*"]))


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: RowFilter("orders", {"a..b": 1}), "a..b"),
        (lambda: RowFilter("orders", {"a": "$user.id"}), "$identity.user_id"),
        (lambda: RowFilter("", {"a": 1}), "RowFilter.channel is ''"),
        (lambda: RowFilter(5, {"a": 1}), "RowFilter.channel is 5"),
        (lambda: RowFilter("orders", {"a": {"b": 1}}), "cannot be compared"),
        (lambda: RowFilter("orders", {"a": object()}), "RowFilter.where.a"),
        (lambda: RowFilter("orders", {5: 1}), "RowFilter.where is 5"),
        (lambda: RowFilter("orders", {"a": 1}, unless=5), "RowFilter.unless is 5"),
        (lambda: Scope({"userId": "$nothing"}), "$nothing"),
        (lambda: Scope({"user..id": 1}), "user..id"),
        (lambda: Scope({5: 1}), "Scope.arguments is 5"),
        (lambda: TenantIsolation("a."), "TenantIsolation.event_field: path `a.`"),
        (lambda: TenantIsolation(""), "TenantIsolation.event_field is ''"),
        (lambda: TenantIsolation(5), "TenantIsolation.event_field is 5"),
        (lambda: RBAC(fields={"total": "orders"}), '"Order.total"'),
        (lambda: RBAC(fields={5: "orders"}), "RBAC.fields is 5"),
        (lambda: RBAC(fields={"Order.total": 5}), "name of a permission"),
        (lambda: RBAC(subscriptions={"order updated": "orders"}), '"orderUpdated"'),
        (lambda: Federation("orders", channels=[""]), "Federation.channels: "),
        (lambda: Rates("10 per second"), "Rates.subscribes: rate `10 per second`"),
        (lambda: Rates(messages="10/d"), "Rates.messages: rate `10/d`"),
        (lambda: Rates(events=10), "Rates.events is 10"),
        (lambda: Security(hosts=["https://a.test/"]), "Security.hosts: host"),
        (lambda: Security(hosts=[5]), "Security.hosts is [5]"),
        (lambda: Security(origins=5), "Security.origins is 5"),
        (lambda: Security(rates="10/s"), "Rates(...)"),
        (lambda: TLS(cert=5, key=b"k"), "TLS.cert is of type int"),
        (lambda: TLS(cert="", key=b"k"), "TLS.cert"),
        (lambda: TLS(cert="cert.pem", key=None), "TLS.key is of type NoneType"),
        (lambda: Identity(None), "Identity.user_id is None"),
        (lambda: Identity(""), "Identity.user_id is ''"),
        (lambda: Identity(["1"]), "Identity.user_id is ['1']"),
        (lambda: Identity("1", tenant_id=b"a"), "Identity.tenant_id is b'a'"),
        (lambda: Identity("1", claims="plan"), "Identity.claims is 'plan'"),
        (lambda: SubscriptionManager(security={}), "pass Security(...)"),
        (lambda: SubscriptionManager(limits="none"), "pass Limits(...)"),
        (lambda: SubscriptionManager(workers="4"), "workers='4'"),
    ],
)
def test_a_rule_that_cannot_work_is_refused_where_it_is_written(make, problem):
    with pytest.raises(ConfigurationError) as refused:
        make()
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Security(tenant="a"), "TenantIsolation(...)"),
        (lambda: Security(rows=RowFilter("a", {"b": 1})), "a list of"),
        (lambda: RowFilter("a", {}), "at least one condition"),
        (lambda: Scope(["userId"]), "a mapping"),
        (lambda: Scope({}), "at least one"),
        (lambda: RBAC(fields={"Order.total": ""}), "name of a permission"),
        (lambda: RBAC(on_denied="hide"), '"error", "null"'),
        (lambda: Federation("ord*"), "its name"),
        (lambda: Federation("orders", channels="orders"), "list of strings"),
        (lambda: Security(hosts="a"), "list of strings"),
    ],
)
def test_a_setting_of_the_wrong_kind_says_what_to_write(make, problem):
    with pytest.raises(ConfigurationError) as refused:
        make()
    assert problem in str(refused.value)


async def test_messages_act_in_their_order_while_checks_decide(serve, connect):
    manager = make_manager(authenticate=Admitting(ADA), tenant=TenantIsolation())
    server = await serve(manager)
    client = await connect(server.url)
    for n in range(50):
        payload = {"query": QUERY}
        await client.send({"id": f"{n}", "type": "subscribe", "payload": payload})
        if n % 2:
            await client.send({"id": f"{n}", "type": "complete"})
    await client.settle()
    await manager.publish("orders", {"id": 1}, tenant_id="a")
    got = {(await client.receive())["id"] for _ in range(25)}
    assert got == {f"{n}" for n in range(0, 50, 2)}
    await client.settle()
    assert not client.has_received
