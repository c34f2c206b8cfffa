"""Changes of tables are part of the trace that their transaction names."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support import PATIENCE, eventually
from support.spans import Exported

from fraiseql_subs import Event, Postgres, SubscriptionManager, Table, subscription

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"

seen: list[tuple[str | None, int]] = []


@subscription(channel="items")
async def item(event: Event) -> int:
    seen.append((event.traceparent, event["id"]))
    return int(event["id"])


def naming(traceparent: str, *, is_transactional: str = "true") -> str:
    return (
        f"SELECT pg_logical_emit_message({is_transactional},"
        f" 'fraiseql_subs.traceparent', '{traceparent}');"
    )


def insert(number: int) -> str:
    return f"INSERT INTO items VALUES ({number});"


@pytest.fixture
async def manager(is_source: bool, postgres: Any, redis: Any, spans: Exported) -> Any:
    await postgres.sql("CREATE TABLE items (id int PRIMARY KEY)")
    postgres.install("items")
    log = Postgres(postgres.url, tables=[Table("items", channel="items")])
    if not is_source:
        return SubscriptionManager([item], bus=log, tracing=spans.tracing)
    return SubscriptionManager([item], bus=redis.url, sources=[log], tracing=spans.tracing)


@pytest.fixture
def spans() -> Exported:
    return Exported()


@pytest.mark.parametrize("is_source", [False, True], ids=["engine", "source"])
async def test_rows_after_the_message_are_of_its_trace(
    is_source, manager, postgres, spans: Exported
):
    seen.clear()
    async with manager, manager.subscribe("subscription { item }") as results:
        reads = "source_reads" if is_source else "bus_is_live"
        await eventually(lambda: getattr(manager.metrics(), reads), "the log is read")
        other = PARENT.replace("b7", "a8")
        transaction = insert(1) + naming(PARENT) + insert(2) + naming(other) + insert(3)
        await postgres.sql(f"BEGIN; {transaction} {naming('nonsense')} {insert(4)} COMMIT")
        # It ends with its transaction.
        await postgres.sql(f"BEGIN; {naming(PARENT)} {insert(5)} COMMIT")
        await postgres.sql(insert(6))
        # A message that is part of no transaction says nothing of rows.
        await postgres.sql(naming(PARENT, is_transactional="false") + insert(7))
        for _ in range(7):
            await asyncio.wait_for(anext(results), PATIENCE)
    expected = [None, PARENT, other, None, PARENT, None, None]
    assert seen == list(zip(expected, range(1, 8), strict=True))
    parents = [span.parent for span in spans.all("resolve item")]
    assert [parent and f"{parent.span_id:016x}" for parent in parents][1] == SPAN
