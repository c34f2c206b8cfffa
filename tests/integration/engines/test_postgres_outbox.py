"""PostgreSQL with an outbox as the engine: no logical decoding, and clients resume at any node."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import psycopg
import pytest
from cluster import know_each_other, member
from declared import node
from nodes import KINDS as NODE_KINDS
from nodes import managers, take, two
from open_transactions import ASYNC_KINDS, KINDS
from returning import BEGIN, after, begin, numbers, query
from support import eventually
from support.postgres_server import PostgresServer

from fraiseql_subs import (
    ConfigurationError,
    Identity,
    Postgres,
    Publisher,
    PublishError,
    Security,
    SyncPublisher,
    Table,
    TenantIsolation,
)

FEED = "subscription { feed }"

every_kind = pytest.mark.parametrize("kind", NODE_KINDS)


def bus(outbox: PostgresServer) -> str:
    """Return what `bus=` of a node takes."""
    return f"{outbox.url_of('subs')}?outbox=true"


def publish(channel: str, data: Any, **more: str) -> str:
    """Return the SQL that publishes an event."""
    named = "".join(f", {name} => '{value}'" for name, value in more.items())
    return f"SELECT fraiseql_subs.publish('{channel}', '{json.dumps(data)}'{named});"


@every_kind
async def test_events_of_nodes_and_of_psql_reach_clients_of_both_in_one_order(
    kind, outbox, connect
):
    async with two(kind, bus(outbox)) as nodes:
        clients = [await connect(each.url) for each in nodes for _ in range(2)]
        for client in clients:
            await client.subscribe(FEED)
        for number in range(0, 30, 3):
            await nodes[0].publish(("feed", number))
            await nodes[1].publish(("feed", number + 1))
            await outbox.sql(publish("feed", number + 2))
        for client in clients:
            assert [(await client.receive_data())["feed"] for _ in range(30)] == list(range(30))


@every_kind
async def test_a_client_that_leaves_one_node_resumes_at_another_and_misses_nothing(
    kind, outbox, connect
):
    async with NODE_KINDS[kind](bus(outbox)) as first:
        client = await connect(first.url)
        await begin(client)
        await outbox.sql(publish("feed", 1))
        _, seen = await numbers(client, 1)
        await client.close()
        for number in range(2, 5):
            await outbox.sql(publish("feed", number))
        # This node starts after all of that.
        async with NODE_KINDS[kind](bus(outbox)) as later:
            client = await connect(later.url)
            await client.subscribe(query("feed"), extensions=after(seen))
            assert (await numbers(client, 3))[0] == [2, 3, 4]
            await first.publish(("feed", 5))
            assert (await numbers(client, 1))[0] == [5]


async def test_a_client_whose_id_is_older_than_what_is_kept_is_told(outbox):
    async with managers(bus(outbox)) as (a, b):
        async with a.subscribe(FEED, extensions=BEGIN) as results:
            await anext(results)
            await a.publish("feed", 1)
            seen = (await anext(results)).extensions["resume"]["id"]
        await outbox.sql(publish("feed", 2))

        async def is_freed() -> bool:
            await outbox.sql("SELECT fraiseql_subs.maintain_outbox('0')")
            return await outbox.sql("SELECT count(*) FROM fraiseql_subs.outbox") == "0"

        await eventually(is_freed, "the events are freed")
        async with b.subscribe(FEED, extensions=after(seen)) as results:
            first = await anext(results)
            assert first.extensions["resume"]["missed"] is True
            await b.publish("feed", 3)
            assert (await anext(results)).data == {"feed": 3}


async def test_a_server_that_crashes_loses_nothing_and_nobody_is_told(outbox):
    async with node(bus(outbox), publish_timeout=60) as manager:
        async with manager.subscribe(FEED, extensions=BEGIN) as results:
            await anext(results)
            await manager.publish("feed", 1)
            await outbox.kill()
            waiting = asyncio.ensure_future(manager.publish("feed", 2))
            await outbox.start()
            await waiting
            await outbox.sql(publish("feed", 3))
            assert await take(results, 3) == [1, 2, 3]


async def test_a_lost_connection_is_not_told(outbox):
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'subs'"
    async with node(bus(outbox)) as manager:
        async with manager.subscribe(FEED, extensions=BEGIN) as results:
            await anext(results)
            for number in range(10):
                await outbox.sql(end)
                await outbox.sql(publish("feed", number))
            assert await take(results, 10) == list(range(10))


@pytest.mark.parametrize("kind", ASYNC_KINDS, ids=lambda kind: kind.__name__)
async def test_an_event_is_seen_if_its_transaction_commits(kind, outbox):
    async with node(bus(outbox)) as manager, manager.subscribe(FEED) as results:
        async with kind(outbox.url_of("app")) as transaction:
            await manager.publish("feed", 1, connection=transaction.connection)
            await transaction.rollback()
        async with kind(outbox.url_of("app")) as transaction:
            receipt = await manager.publish("feed", 2, connection=transaction.connection)
            assert receipt.event_id and receipt.position is None
            await manager.publish("feed", 3, connection=transaction.connection)
            await transaction.commit()
        assert await take(results, 2) == [2, 3]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_an_event_is_seen_if_a_transaction_that_blocks_commits(kind, outbox):
    def write() -> None:
        with SyncPublisher(bus(outbox)) as publisher:
            with kind(outbox.url_of("app")) as transaction:
                publisher.publish("feed", 1, connection=transaction.connection)
                transaction.rollback()
            with kind(outbox.url_of("app")) as transaction:
                publisher.publish("feed", 2, connection=transaction.connection)
                transaction.commit()

    async with node(bus(outbox)) as manager, manager.subscribe(FEED) as results:
        await asyncio.to_thread(write)
        assert await take(results, 1) == [2]


async def test_events_wait_for_a_transaction_that_is_open_and_complete_after_it(outbox):
    async with node(bus(outbox)) as manager, manager.subscribe(FEED) as results:
        async with await psycopg.AsyncConnection.connect(outbox.url_of("app")) as early:
            await early.execute(publish("feed", 1))
            receipt = await manager.publish("feed", 2)
            assert receipt.position is not None
            await early.execute(publish("feed", 3))
        assert await take(results, 3) == [1, 3, 2]


async def test_the_same_event_id_is_one_event(outbox):
    async with node(bus(outbox)) as manager, manager.subscribe(FEED) as results:
        first = await manager.publish("feed", 1, event_id="p-1")
        again = await manager.publish("feed", 2, event_id="p-1")
        await outbox.sql(publish("feed", 3, event_id="p-1"))
        await manager.publish("feed", 4)
        assert again == first
        assert await take(results, 2) == [1, 4]


async def test_programs_that_only_publish_have_positions(outbox):
    async with node(bus(outbox)) as manager:
        async with manager.subscribe(FEED, extensions=BEGIN) as results:
            await anext(results)
            async with Publisher(bus(outbox)) as publisher:
                receipt = await publisher.publish("feed", 1)
            told = (await anext(results)).extensions["resume"]
            assert told["id"] == receipt.position


async def test_sql_says_type_id_and_tenant(outbox):
    manager = node(bus(outbox), security=Security(tenant=TenantIsolation()))
    acme = Identity(user_id="1", tenant_id="acme")
    async with manager, manager.subscribe("subscription { envelope }", identity=acme) as results:
        await outbox.sql(publish("envelopes", {}, tenant_id="other"))
        more = {"tenant_id": "acme", "event_type": "paid", "event_id": "p-7"}
        await outbox.sql(publish("envelopes", {}, **more))
        ((id, kind, tenant, _, channel),) = await take(results, 1)
        assert (id, kind, tenant, channel) == ("p-7", "paid", "acme", "envelopes")


async def test_nodes_know_each_other_and_act_on_all_connections(outbox, serve, connect):
    a, b = (member(bus(outbox), name) for name in "ab")
    await serve(a)
    client = await connect((await serve(b)).url, {"user": "ada"})

    await know_each_other(a, b)
    done = await a.disconnect(identity=Identity("ada"), revoke_for=60)
    assert done.closed == 1 and not done.unanswered
    await client.expect_close(4403)


# Settings, and the command.


async def test_a_program_that_does_not_say_outbox_is_told(outbox, caplog):
    async with node(outbox.url_of("subs"), publish_timeout=0.1) as manager:

        async def is_told() -> bool:
            with pytest.raises(PublishError) as caught:
                await manager.publish("feed", 1)
            return "outbox=true" in str(caught.value)

        await eventually(is_told, "the error says what to write")


def test_tables_and_an_outbox_are_refused_together():
    with pytest.raises(ConfigurationError, match="tables need logical decoding"):
        Postgres("postgresql://me@host/db", tables=[Table("a", channel="a")], outbox=True)
    with pytest.raises(ConfigurationError, match=r"Postgres\.outbox"):
        Postgres("postgresql://me@host/db", outbox="yes")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="true or false"):
        Postgres("postgresql://me@host/db?outbox=1")


async def test_an_outbox_can_be_set_without_the_url(outbox):
    engine = Postgres(outbox.url_of("subs"), outbox=True)
    async with node(engine) as manager, manager.subscribe(FEED) as results:
        await manager.publish("feed", 1)
        assert await take(results, 1) == [1]


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


async def test_the_command_installs_an_outbox_and_changes_the_form_only_if_told_to(outbox):
    url = ["--url", outbox.url_of("installer")]
    status, told = await _command("install", *url, "--outbox", "--node", "app")
    assert status == 0 and "outbox=true" in told and "REPLICATION" not in told
    await outbox.sql(publish("feed", 0))
    status, told = await _command("install", *url)
    assert status == 1 and "nothing was changed" in told and "--switch" in told
    assert await outbox.sql("SELECT count(*) FROM fraiseql_subs.outbox") == "1"
    status, told = await _command("install", *url, "--switch")
    assert status == 0 and "from outbox to log" in told and "without outbox=true" in told
    status, told = await _command("install", *url, "--outbox")
    assert status == 1 and "--switch" in told
    status, told = await _command("install", *url, "--outbox", "--switch")
    assert status == 0 and "from log to outbox" in told
    await outbox.sql(f"SET ROLE app; {publish('feed', 1)}")
    assert (await _command("uninstall", *url))[0] == 0
    schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'fraiseql_subs'"
    assert await outbox.sql(schemas) == "0"
    status, sql = await _command("install", "--outbox", "--print")
    assert status == 0
    await outbox.sql(sql)
    assert await outbox.sql("SELECT fraiseql_subs.form()") == "outbox"


async def test_the_command_refuses_tables_with_an_outbox():
    status, told = await _command("install", "--outbox", "--table", "a", "--print")
    assert status == 2 and "logical decoding" in told
