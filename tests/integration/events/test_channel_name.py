"""`channel_name` fills a template as the manager does for a subscriber."""

from __future__ import annotations

import enum
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest

from fraiseql_subs import PublishError, SubscriptionManager, channel_name, passthrough


class Status(enum.Enum):
    PAID = "paid"
    OPEN = 1
    # No text, so the name counts.
    LOST = None


class Size(enum.IntEnum):
    SMALL = 3


EAST = timezone(timedelta(hours=2))

VALUES = [
    (str, "a {b}/ü", '"a {b}/ü"'),
    (int, -7, "-7"),
    (float, 1.0, "1"),
    (float, 1e21, "1e21"),
    (float, 0.1, "0.10"),
    (bool, True, "true"),
    (Decimal, Decimal("2.500"), '"2.5"'),
    (Decimal, Decimal("1E+3"), '"1000.0"'),
    (Decimal, Decimal("-0.0"), '"-0"'),
    (datetime, datetime(2024, 5, 1, 14, tzinfo=EAST), '"2024-05-01T12:00:00Z"'),
    (datetime, datetime(2024, 5, 1, 14, 0, 0, 250), '"2024-05-01T14:00:00.000250"'),
    (date, date(2024, 5, 1), '"20240501"'),
    (time, time(14, 30), '"14:30"'),
    (UUID, UUID(int=10), '"0000000000000000000000000000000A"'),
    (Status, Status.PAID, "PAID"),
    (Status, Status.OPEN, "OPEN"),
    (Status, Status.LOST, "LOST"),
    (Size, Size.SMALL, "SMALL"),
]


@pytest.mark.parametrize(("kind", "value", "written"), VALUES, ids=lambda value: str(value))
async def test_it_is_the_channel_of_a_subscriber_with_that_argument(kind, value, written):
    field = passthrough("got", str, channel="x{{.{of}", arguments={"of": kind})
    async with (
        SubscriptionManager([field]) as manager,
        manager.subscribe(f"subscription {{ got(of: {written}) }}") as results,
    ):
        await manager.publish(channel_name("x{{.{of}", {"of": value}), "here")
        await manager.close()
        assert [result.data async for result in results] == [{"got": "here"}]


@pytest.mark.parametrize(
    ("template", "arguments", "part"),
    [
        ("{team}.{topic}", {"team": "acme", "topic": "eu.secret"}, "contains '.'"),
        ("{team}.{topic}", {"team": "acme"}, "argument 'topic': it is missing"),
        ("{of}", {"of": None}, "NoneType and has no text"),
        ("{of}", {"of": [1]}, "list and has no text"),
        ("{of}", {"of": float("nan")}, "float and has no text"),
        ("{of}", {"of": "\ud800"}, "surrogate"),
        ("{of", {"of": 1}, "a single brace"),
    ],
)
def test_what_is_no_channel_of_a_subscriber_is_refused(template, arguments, part):
    with pytest.raises(PublishError, match=part):
        channel_name(template, arguments)


def test_only_texts_that_clients_choose_may_not_hold_what_is_between_arguments():
    moment = {"at": 1.5, "of": "a-b"}
    assert channel_name("{at}.{of}", moment) == "1.5.a-b"
    assert channel_name("all", {}) == "all"
