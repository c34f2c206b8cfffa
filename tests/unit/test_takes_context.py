"""Which functions can see the client: others have no `Context` made for each subscription."""

from __future__ import annotations

from typing import Any

import pytest

from fraiseql_subs import Context, passthrough, subscription
from fraiseql_subs.decorators import collect, resolve


@subscription(channel="orders")
async def plain(event: Any, user_id: int) -> int:
    return user_id


@subscription(channel="orders")
async def seeing(event: Any, context: Context) -> int:
    return 1


@subscription(channel="orders", initial=lambda: 1)
async def beginning(event: Any) -> int:
    return 1


@subscription(channel="orders", initial=lambda context: 1)
async def beginning_with_client(event: Any) -> int:
    return 1


@subscription(channel="orders", batch=True)
async def batched(calls: Any) -> list[int]:
    return [1 for _ in calls]


@subscription(channel="orders", batch=True, shared=True)
async def shared_batch(calls: Any) -> list[int]:
    return [1 for _ in calls]


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (passthrough("feed", int, channel="orders"), False),
        (plain, False),
        (seeing, True),
        (beginning, False),
        (beginning_with_client, True),
        (batched, True),
        (shared_batch, False),
    ],
)
def test_a_context_is_made_only_for_functions_that_take_it(declared: Any, expected: bool) -> None:
    _, (definition,) = resolve(collect([declared]))
    assert definition.takes_context is expected
