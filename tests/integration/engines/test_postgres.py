"""PostgreSQL as the engine: events are part of transactions, and reach the clients of all nodes."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import publishing_command as shell
import pytest
from cluster import know_each_other, member
from declared import node
from nodes import KINDS, managers, take, two
from returning import BEGIN, after
from support import eventually
from support.postgres_server import SETTINGS, PostgresServer
from support.redis_server import free_port

from fraiseql_subs import (
    ConfigurationError,
    Event,
    Identity,
    Postgres,
    Publisher,
    PublishError,
    Security,
    SubscriptionManager,
    SyncPublisher,
    Table,
    TenantIsolation,
    subscription,
)

FEED = "subscription { feed }"

every_kind = pytest.mark.parametrize("kind", KINDS)


def publish(channel: str, data: Any, **more: str) -> str:
    """Return the SQL that publishes an event."""
    named = "".join(f", {name} => '{value}'" for name, value in more.items())
    return f"SELECT fraiseql_subs.publish('{channel}', '{json.dumps(data)}'{named});"


@every_kind
async def test_events_of_nodes_and_of_psql_reach_clients_of_both_in_one_order(
    kind, postgres, connect
):
    async with two(kind, postgres.url) as nodes:
        clients = [await connect(each.url) for each in nodes for _ in range(2)]
        for client in clients:
            await client.subscribe(FEED)
        for number in range(0, 30, 3):
            await nodes[0].publish(("feed", number))
            await nodes[1].publish(("feed", number + 1))
            await postgres.sql(publish("feed", number + 2))
        for client in clients:
            assert [(await client.receive_data())["feed"] for _ in range(30)] == list(range(30))


async def test_a_transaction_is_seen_when_it_commits_and_never_when_it_does_not(postgres):
    async with node(postgres.url) as manager, manager.subscribe(FEED) as results:
        await postgres.sql(f"BEGIN; {publish('feed', 1)} ROLLBACK")
        await postgres.sql(f"BEGIN; {publish('feed', 2)} {publish('feed', 3)} COMMIT")
        assert await take(results, 2) == [2, 3]


async def test_sql_says_type_id_and_tenant(postgres):
    manager = node(postgres.url, security=Security(tenant=TenantIsolation()))
    acme = Identity(user_id="1", tenant_id="acme")
    async with manager, manager.subscribe("subscription { envelope }", identity=acme) as results:
        await postgres.sql(publish("envelopes", {}, tenant_id="other"))
        more = {"tenant_id": "acme", "event_type": "paid", "event_id": "p-7"}
        await postgres.sql(publish("envelopes", {}, **more))
        ((id, kind, tenant, _, channel),) = await take(results, 1)
        assert (id, kind, tenant, channel) == ("p-7", "paid", "acme", "envelopes")


async def test_the_position_of_a_receipt_is_the_id_that_clients_are_told(postgres):
    async with managers(postgres.url) as (a, b):
        async with b.subscribe(FEED, extensions=BEGIN) as results:
            assert (await anext(results)).extensions["resume"]["missed"] is False
            receipt, told = None, None

            async def has_position() -> bool:
                # A receipt has none if the log of the node has not started, or is a second behind.
                nonlocal receipt, told
                receipt = await a.publish("feed", 1)
                told = (await anext(results)).extensions["resume"]
                return receipt.position is not None

            await eventually(has_position, "a receipt has a position")
            assert told["id"] == receipt.position


async def test_a_client_that_returns_to_a_node_that_carries_the_channel_misses_nothing(postgres):
    async with managers(postgres.url) as (a, b), b.subscribe(FEED) as others:
        async with a.subscribe(FEED, extensions=BEGIN) as results:
            await anext(results)
            await a.publish("feed", 1)
            seen = (await anext(results)).extensions["resume"]["id"]
        await postgres.sql(publish("feed", 2))
        assert await take(others, 2) == [1, 2]
        async with b.subscribe(FEED, extensions=after(seen)) as results:
            assert await take(results, 1) == [2]


async def test_a_lost_link_is_told_once(postgres):
    async with node(postgres.url) as manager:
        async with manager.subscribe(FEED, extensions=BEGIN) as results:
            await anext(results)
            await manager.publish("feed", 1)
            await anext(results)
            await postgres.sql(
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active"
            )

            async def is_back() -> bool:
                slots = "SELECT count(*) FROM pg_replication_slots WHERE active"
                return manager.is_ready() and await postgres.sql(slots) == "1"

            await eventually(is_back, "the link is made again")
            told = (await asyncio.wait_for(anext(results), 60)).extensions["resume"]
            assert told["missed"] is True
            await postgres.sql(publish("feed", 2))
            last = await asyncio.wait_for(anext(results), 60)
            assert last.data == {"feed": 2} and not last.extensions["resume"].get("missed")


async def test_a_server_that_crashes_is_used_again(postgres: PostgresServer):
    async with node(postgres.url, publish_timeout=60) as manager:
        async with manager.subscribe(FEED) as results:
            await manager.publish("feed", 1)
            assert await take(results, 1) == [1]
            await postgres.kill()
            waiting = asyncio.ensure_future(manager.publish("feed", 2))
            await postgres.start()
            try:
                await waiting
            except PublishError as error:
                # It was sent before the node had noticed the end of the server.
                assert error.outcome == "unknown"

            async def arrives() -> bool:
                # What is committed before the node reads the log again does not arrive.
                await manager.publish("feed", 3)
                return bool(await asyncio.wait_for(take(results, 1), 1))

            await eventually(arrives, "events arrive again")


async def test_a_log_that_may_fill_the_disk_is_warned_of(postgres, monkeypatch, caplog):
    monkeypatch.setitem(SETTINGS, "max_slot_wal_keep_size", "-1")
    await postgres.kill()
    await postgres.start()
    async with node(postgres.url) as manager, manager.subscribe(FEED) as results:
        await manager.publish("feed", 1)
        assert await take(results, 1) == [1]
        assert "max_slot_wal_keep_size is -1" in caplog.text


async def test_a_program_that_only_publishes(postgres):
    async with node(postgres.url) as manager, manager.subscribe(FEED) as results:
        with SyncPublisher(postgres.url) as publisher:
            receipt = publisher.publish("feed", 1)
        assert receipt.position is None and receipt.event_id
        assert await take(results, 1) == [1]


async def test_nodes_know_each_other_and_act_on_all_connections(postgres, serve, connect):
    a, b = (member(postgres.url, name) for name in "ab")
    await serve(a)
    client = await connect((await serve(b)).url, {"user": "ada"})

    await know_each_other(a, b)
    done = await a.disconnect(identity=Identity("ada"), revoke_for=60)
    assert done.closed == 1 and not done.unanswered
    await client.expect_close(4403)


# Tables.


@subscription(channel="orders.{customer}", event_types=["INSERT", "UPDATE"])
async def orders(event: Event, *, customer: str) -> str:
    return f"{event.event_type} {event['id']} {event['total']}"


async def test_changes_of_a_table_are_events_on_every_node(postgres):
    await postgres.sql("CREATE TABLE orders (id int PRIMARY KEY, customer text, total numeric)")
    await _install(postgres, "--table", "orders")
    table = Table("public.orders", channel="orders.{customer}", events=("insert", "update"))
    query = 'subscription { orders(customer: "ann") }'
    bus = Postgres(postgres.url, tables=[table])
    async with (
        SubscriptionManager([orders], bus=bus) as a,
        SubscriptionManager([orders], bus=bus) as b,
    ):
        async with a.subscribe(query) as at_a, b.subscribe(query) as at_b:
            await postgres.sql(
                "INSERT INTO orders VALUES (1, 'ann', 12.50), (2, 'bob', 1); "
                "UPDATE orders SET total = 3 WHERE id = 1; DELETE FROM orders"
            )
            for results in (at_a, at_b):
                assert await take(results, 2) == ["INSERT 1 12.50", "UPDATE 1 3"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"name": "a.b.c", "channel": "x"}, "schema.table"),
        ({"name": "a", "channel": "x{"}, "nothing closes"),
        ({"name": "a", "channel": ""}, "Table.channel"),
        ({"name": "a", "channel": "x", "events": ("truncate",)}, "Table.events"),
        ({"name": "a", "channel": "x", "events": "insert"}, "Table.events"),
    ],
)
def test_a_table_that_cannot_be_is_refused(arguments, problem):
    with pytest.raises(ConfigurationError, match=problem):
        Postgres("postgresql://me@host/db", tables=[Table(**arguments)])


@pytest.mark.parametrize("name", ["orders", "public.orders", 'Public."orders"'])
def test_the_same_table_and_channel_twice_is_refused(name):
    tables = [Table("orders", channel="orders"), Table(name, channel="orders")]
    with pytest.raises(ConfigurationError, match=r"^Postgres: .*public\.orders .*twice"):
        Postgres("postgresql://me@host/db", tables=tables)


def test_what_is_no_table_is_named():
    tables = [Table("orders", channel="orders"), "items"]
    with pytest.raises(ConfigurationError, match=r"Postgres.tables\[1\] is 'str': pass Table"):
        Postgres("postgresql://me@host/db", tables=tables)  # type: ignore[list-item]


async def test_a_publisher_names_the_address_that_refuses_it():
    address = f"127.0.0.1:{free_port()}"
    async with Publisher(f"postgresql://me@{address}/db", publish_timeout=1) as publisher:
        with pytest.raises(PublishError, match=address):
            await publisher.publish("feed", 1)


async def test_the_command_says_what_has_to_change_before_it_can_publish(postgres):
    to = f"{postgres.url}?outbox=true"
    status, _, told = await shell.publish("feed", "7", "--to", to, "--timeout", "5")
    assert status == 1 and "prepared without an outbox" in told
    assert "may succeed once the cause is gone" in told


# Settings.


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("postgresql://me:secret@host", "no database"),
        ("postgresql://host/db", "no user"),
        ("postgresql://me:secret@host/db?sslmode=prefer", "verify-full"),
        ("postgresql://me:secret@host/db?secret=1", "option that is unknown"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url, problem):
    for bus in (lambda: Postgres(url), lambda: node(url)):
        with pytest.raises(ConfigurationError, match=problem) as caught:
            bus()
        assert "secret" not in str(caught.value)


def test_repr_shows_no_password():
    shown = repr(Postgres("postgresql://me:secret@host/db?options=x", password="other"))
    assert shown == "Postgres('postgresql://host')"


# The command.


async def _command(*arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "fraiseql_subs",
        "postgres",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def _install(postgres: PostgresServer, *options: str) -> None:
    assert (await _command("install", "--url", postgres.url, *options))[0] == 0


async def test_the_command_installs_and_uninstalls(postgres):
    await postgres.sql("CREATE ROLE app LOGIN")
    status, told = await _command(
        "install", "--url", postgres.url, "--publisher", "app", "--node", "app"
    )
    assert status == 0 and "app may publish" in told and "ALTER ROLE app REPLICATION" in told
    await postgres.sql("ALTER ROLE app REPLICATION")
    status, told = await _command("install", "--url", postgres.url, "--node", "app")
    assert status == 0 and "app may be a node" in told and "REPLICATION" not in told
    await postgres.sql("CREATE ROLE nobody LOGIN")
    await postgres.sql("CREATE DATABASE other")
    other = postgres.url_of("nobody").replace("/postgres", "/other")
    status, told = await _command("install", "--url", other)
    assert status == 1 and "GRANT CREATE ON DATABASE" in told
    refused = "127.0.0.1:1"
    status, told = await _command("install", "--url", f"postgresql://a@{refused}/b")
    assert status == 1 and refused in told
    await postgres.sql(f"SET ROLE app; {publish('feed', 1)}")
    status, told = await _command("install", "--url", postgres.url, "--table", "nothing")
    assert status == 1 and "nothing was changed" in told and "does not exist" in told
    assert (await _command("uninstall", "--url", postgres.url))[0] == 0
    schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'fraiseql_subs'"
    assert await postgres.sql(schemas) == "0"
    status, sql = await _command("install", "--print")
    assert status == 0
    await postgres.sql(sql)
    assert await postgres.sql(schemas) == "1"


async def test_the_command_tells_of_a_table_whose_deletes_have_only_their_key(postgres):
    await postgres.sql("CREATE TABLE orders (id int PRIMARY KEY, customer_id int)")
    install = ("install", "--url", postgres.url, "--table", "orders")
    status, told = await _command(*install)
    assert status == 0 and "run ALTER TABLE public.orders REPLICA IDENTITY FULL" in told
    await postgres.sql("ALTER TABLE orders REPLICA IDENTITY FULL")
    status, told = await _command(*install)
    assert status == 0 and "REPLICA IDENTITY" not in told


async def test_an_event_is_published_from_a_shell(postgres):
    async with node(postgres.url) as manager, manager.subscribe(FEED) as results:
        status, lines, _ = await shell.publish("feed", "7", "--to", postgres.url)
        assert status == 0 and lines[0].endswith(" is published")
        assert await take(results, 1) == [7]


async def test_the_command_says_what_is_missing():
    assert (await _command("install"))[0] == 2
    status, told = await _command("install", "--url", "postgresql://me:secret@host")
    assert status == 2 and "no database" in told and "secret" not in told
