"""Dicts that change while they are read cause at most an error, and the manager continues."""

from __future__ import annotations

import enum
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from fraiseql_subs import (
    PublishError,
    Scalar,
    SubscriptionManager,
    passthrough,
    subscription,
)

Json = Annotated[Any, Scalar("Json")]


class Grows:
    """A list that adds to a dict when it is read."""

    def __init__(self, target: dict[str, Any]) -> None:
        self.target = target

    def __iter__(self) -> Iterator[int]:
        self.target[f"grown {len(self.target)}"] = 1
        yield 1


def growing() -> dict[str, Any]:
    target: dict[str, Any] = {"before": None, "after": 2}
    target["before"] = Grows(target)
    return target


@dataclass
class Holder:
    values: Json


values = passthrough("values", Json, channel="values")


@pytest.mark.parametrize("make", [growing, lambda: Holder(growing()), lambda: [growing()]])
async def test_publishing_one(make):
    async with SubscriptionManager([values]) as manager:
        for _ in range(3):
            await manager.publish("values", make())
        async with manager.subscribe("subscription { values }") as results:
            await manager.publish("values", 1)
            assert (await anext(results)).data == {"values": 1}


class Color(enum.Enum):
    RED = "red"


async def test_publishing_one_that_another_thread_writes():
    shared: dict[str, Any] = {f"key {number}": Color.RED for number in range(2_000)}
    is_over = threading.Event()

    def write() -> None:
        number = 0
        while not is_over.is_set():
            shared[f"more {number % 500}"] = Color.RED
            shared.pop(f"more {(number - 250) % 500}", None)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        async with SubscriptionManager([values]) as manager:
            for _ in range(100):
                await manager.publish("values", shared)
    finally:
        is_over.set()
        writer.join()


@pytest.mark.parametrize("is_async", [True, False])
async def test_returning_one(is_async):
    def made(event: Any) -> Any:
        return growing() if event.data else {"fine": 1}

    async def waited(event) -> Json:
        return made(event)

    def at_once(event) -> Json:
        return made(event)

    resolver = subscription(channel="values", name="values")(waited if is_async else at_once)
    async with (
        SubscriptionManager([resolver]) as manager,
        manager.subscribe("subscription { values }") as results,
    ):
        for number in (0, 1, 0):
            await manager.publish("values", number)
        assert (await anext(results)).data == {"values": {"fine": 1}}
        changed = await anext(results)
        assert changed.errors or changed.data == {"values": {"before": [1], "after": 2}}
        assert (await anext(results)).data == {"values": {"fine": 1}}


async def test_a_mapping_that_cannot_be_read_is_an_error():
    class Broken(dict[str, Any]):
        def keys(self) -> Any:
            raise RuntimeError("not now")

    async with SubscriptionManager([values]) as manager:
        await manager.publish("values", Broken(a=1))
        with pytest.raises(PublishError, match="JSON"):
            await manager.publish("values", object())
