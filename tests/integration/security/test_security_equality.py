"""Security rules compare values like filters, if their types are known."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from fraiseql_subs import (
    Identity,
    RowFilter,
    Scope,
    Security,
    SubscriptionManager,
    ValidationError,
    passthrough,
    subscription,
)


class Team(enum.Enum):
    RED = "r"
    BLUE = "b"


@dataclass
class Order:
    id: int
    owner: UUID
    team: Team
    at: datetime
    total: Decimal


LAST = -1
OWNER = UUID("123e4567-e89b-12d3-a456-426614174000")
ORDER = {"owner": OWNER, "team": Team.RED, "at": "2024-01-31T12:00:00Z", "total": Decimal("1.50")}
ARGUMENTS = {
    "owner": UUID | None,
    "team": Team | None,
    "at": datetime | None,
    "total": Decimal | None,
    "teams": list[Team] | None,
}

orders = passthrough("orders", Order, channel="orders", arguments=ARGUMENTS)


@subscription(channel="orders")
async def resolved(event) -> Order:
    return event.data


@subscription(channel="orders", filter={"owner": "$owner"})
async def of_owner(event, *, owner: UUID | None = None) -> Order:
    return event.data


async def seen(where: dict[str, Any], identity: Identity, field: str) -> list[int]:
    """Ids of the orders that pass a row filter; the owner's is 0, another's 1."""
    last = {"id": LAST, **ORDER, **dict.fromkeys(where, "the last")}
    where = {path: [value, "the last"] for path, value in where.items()}
    security = Security(rows=[RowFilter("orders", where=where)])
    manager = SubscriptionManager([orders, resolved, of_owner], security=security)
    other = {"owner": UUID(int=7), "team": Team.BLUE, "at": "2024-02-01T12:00:00Z", "total": 2}
    document = f"subscription {{ {field} {{ id }} }}"
    async with manager, manager.subscribe(document, identity=identity) as stream:
        published = [{"id": 0, **ORDER}, {"id": 1, **other}, last]
        await manager.publish_many(("orders", data) for data in published)
        found = []
        async for result in stream:
            if result.data[field]["id"] == LAST:
                break
            found.append(result.data[field]["id"])
        return found


@pytest.mark.parametrize(
    ("path", "claim"),
    [
        ("owner", str(OWNER).upper()),
        ("owner", OWNER.hex),
        ("team", "RED"),
        ("team", "r"),
        ("team", ["RED", "GREEN"]),
        ("at", "2024-01-31T14:00:00+02:00"),
        ("total", "1.5"),
        ("total", 1.5),
    ],
)
async def test_a_row_filter_compares_as_the_type_of_the_data_means_it(path, claim):
    identity = Identity("ada", claims={"own": claim})
    assert await seen({path: "$identity.own"}, identity, "orders") == [0]


async def test_a_row_filter_compares_as_the_argument_that_filters_by_the_same_path():
    identity = Identity(str(OWNER).upper())
    assert await seen({"owner": "$identity.user_id"}, identity, "ofOwner") == [0]


@pytest.mark.parametrize("claim", [str(OWNER).upper(), "not a UUID", "", None, ["x"], {"a": 1}])
async def test_a_row_filter_denies_where_it_cannot_decide(claim):
    identity = Identity("ada", claims={"own": claim})
    assert await seen({"owner": "$identity.own"}, identity, "resolved") == []


@pytest.mark.parametrize("claim", ["not a UUID", "", None, ["x"], {"a": 1}, 7])
async def test_a_row_filter_denies_what_is_no_value_of_the_type(claim):
    identity = Identity("ada", claims={"own": claim})
    assert await seen({"owner": "$identity.own"}, identity, "orders") == []


@pytest.mark.parametrize(
    ("argument", "claim", "own", "foreign"),
    [
        ("owner", str(OWNER), f'"{str(OWNER).upper()}"', f'"{UUID(int=7)}"'),
        ("owner", OWNER.hex, f'"{OWNER}"', '"x"'),
        ("team", "RED", "RED", "BLUE"),
        ("team", "r", "RED", "BLUE"),
        ("teams", ["RED"], "[RED]", "[RED, BLUE]"),
        ("at", "2024-01-31T12:00:00Z", '"2024-01-31T14:00:00+02:00"', '"2024-01-31T12:00:00"'),
        ("total", "1.50", "1.5", "1.51"),
    ],
)
async def test_a_scope_compares_as_the_type_of_the_argument_means_it(argument, claim, own, foreign):
    security = Security(scope=Scope({argument: "$identity.own"}))
    identity = Identity("ada", claims={"own": claim})
    async with SubscriptionManager([orders], security=security) as manager:

        async def first(literal: str) -> Any:
            document = f"subscription {{ orders({argument}: {literal}) {{ id }} }}"
            async with manager.subscribe(document, identity=identity) as stream:
                await manager.publish("orders", {"id": 0, **ORDER})
                return (await anext(stream)).data

        assert await first(own) == {"orders": {"id": 0}}
        with pytest.raises(ValidationError, match=argument):
            await first(foreign)
        with pytest.raises(ValidationError, match=argument):
            await first("null")
