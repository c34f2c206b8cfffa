"""Each denial is logged with user, operation and check; never with a token or a payload."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from support import PATIENCE

from fraiseql_subs import (
    JWT,
    RBAC,
    Federation,
    Identity,
    Rates,
    RowFilter,
    Scope,
    Security,
    SubscriptionManager,
    TenantIsolation,
    ValidationError,
    passthrough,
)

SECRET = "an-example-secret-of-thirty-two-bytes"
ADA = Identity("ada\nforged line", tenant_id="a")

ticks = passthrough(
    "ticks", int, channel="{place}", arguments={"place": str, "user_id": str | None}
)


@pytest.fixture
def audited(caplog) -> Any:
    """Wait for the audit records: `records = await audited(count)`."""
    arrived = asyncio.Event()

    class Notice(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            arrived.set()

    handler = Notice()
    logger = logging.getLogger("fraiseql_subs.audit")

    async def wait(count: int) -> list[logging.LogRecord]:
        while True:
            records = [r for r in caplog.records if r.name == "fraiseql_subs.audit"]
            if len(records) >= count:
                return records
            arrived.clear()
            await asyncio.wait_for(arrived.wait(), PATIENCE)

    logger.addHandler(handler)
    yield wait
    logger.removeHandler(handler)


@pytest.mark.parametrize(
    ("check", "rules", "identity"),
    [
        ("scope", {"scope": Scope({"userId": "$identity.user_id"})}, ADA),
        ("rbac", {"rbac": RBAC(subscriptions={"ticks": "read"})}, ADA),
        ("tenant", {"tenant": TenantIsolation()}, Identity("bob")),
        ("rows", {"rows": [RowFilter("s*", {"a": 1})]}, None),
        ("federation", {"federation": Federation("orders")}, ADA),
    ],
)
async def test_a_refused_subscription_is_counted_and_logged(check, rules, identity, audited):
    manager = SubscriptionManager([ticks], security=Security(**rules))
    query = 'subscription { ticks(place: "secret-place", userId: "secret-user") }'
    async with manager:
        with pytest.raises(ValidationError):
            await anext(manager.subscribe(query, identity=identity))
        (record,) = await audited(1)
        assert getattr(manager.metrics(), f"denied_{check}") == 1
    assert record.levelno == logging.WARNING
    assert record.fields["check"] == check
    assert record.user == (identity and identity.user_id)
    assert record.field == "ticks"
    message = record.getMessage()
    assert "secret" not in message and "\n" not in message


async def test_refused_connections_are_logged_without_their_token(serve, connect, audited):
    jwt = JWT(key=SECRET, algorithms=["HS256"])
    server = await serve(SubscriptionManager([ticks], security=Security(jwt=jwt)))
    client = await connect(server.url, init=False)
    await client.send({"type": "connection_init", "payload": {"token": "secret.to.ken"}})
    await client.expect_close(4403)
    records = await audited(2)
    assert {record.fields["check"] for record in records} == {"authentication"}
    assert records[0].fields["reason"] == "malformed token"
    assert all(record.connection for record in records)
    assert "secret" not in " ".join(record.getMessage() for record in records)


async def test_a_flood_is_logged_once(serve, connect, audited):
    security = Security(rates=Rates(messages="1/h"))
    server = await serve(SubscriptionManager([ticks], security=security))
    client = await connect(server.url)
    for _ in range(3):
        await client.send({"type": "pong"})
    await client.expect_close(4429)
    (record,) = await audited(1)
    assert record.fields["check"] == "rate"
