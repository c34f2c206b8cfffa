"""Programs of users under `mypy --strict`."""

from __future__ import annotations

import textwrap

import pytest
from checker import check

PREAMBLE = """
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass

from fraiseql_subs import (
    SKIP,
    Context,
    Event,
    Identity,
    Skip,
    SubscriptionManager,
    computed_field,
    subscription,
)


@dataclass
class Order:
    id: int

    @computed_field
    def label(self) -> str:
        return f"#{self.id}"
"""

PROGRAMS = {
    "SKIP in the place of any value": """
        @subscription(channel="orders")
        async def order(event: Event) -> Order:
            if event["id"] == 1:
                return SKIP
            return Order(event["id"])

        @subscription(channel="orders")
        def orders(event: Event) -> list[Order] | None:
            return [] if event.get("id") else SKIP

        @subscription(channel="orders")
        async def said(event: Event) -> Order | Skip:
            return SKIP if event.offset % 2 else Order(1)
    """,
    "SKIP in a test of a resolver": """
        @subscription
        async def ticks() -> AsyncIterator[int]:
            yield SKIP
            yield 1

        @subscription(channel="orders")
        async def order(event: Event) -> Order:
            return SKIP

        async def check(event: Event) -> int:
            result = await order(event)
            if result is SKIP:
                return 0
            return result.id
    """,
    "an event is a mapping": """
        def takes(mapping: Mapping[str, object]) -> None: ...

        def use(event: Event) -> str:
            takes(event)
            match event:
                case {"status": str(status)}:
                    return status
            copied = {**event}
            return f"{dict(event)} {copied} {event == copied} {event.get('a', default=1)}"
    """,
    "the data of an event in the place of any value": """
        @subscription(channel="orders")
        async def order(event: Event) -> Order:
            return event.data

        @subscription(channel="orders")
        def numbers(event: Event) -> list[int] | None:
            data: dict[str, object] = event.data
            return event.data["numbers"] if data.get("numbers") else None
    """,
    "initial values": """
        async def one(context: Context) -> Order:
            return Order(1)

        async def several() -> AsyncIterator[Order]:
            yield Order(1)

        def plain() -> Iterator[Order]:
            yield Order(1)

        @subscription(channel="a", initial=one)
        async def a(event: Event) -> Order:
            return Order(1)

        @subscription(channel="b", initial=several)
        async def b(event: Event) -> Order:
            return Order(1)

        @subscription(channel="c", initial=plain)
        async def c(event: Event) -> Order:
            return Order(1)
    """,
    "who a client is": """
        @subscription(channel="a")
        async def a(event: Event, context: Context) -> str:
            if context.identity is None:
                return "nobody"
            return f"{context.identity.user_id} {context.identity.claims}"

        Context(identity=Identity("ada"))
        Context(identity={"user_id": "ada"})
    """,
    "publishing from a thread": """
        manager = SubscriptionManager()

        def publish(loop: asyncio.AbstractEventLoop) -> int:
            manager.publish("a", 1)
            manager.publish_many([("a", 1)])
            manager.for_tenant("t").publish("a", 1)
            future = asyncio.run_coroutine_threadsafe(manager.publish("a", 1), loop)
            several = asyncio.run_coroutine_threadsafe(manager.publish_many([("a", 1)]), loop)
            return future.result().offset + several.result()[0].offset

        async def task() -> int:
            task = asyncio.create_task(manager.publish("a", 1))
            receipts = await asyncio.gather(task, manager.publish("a", 1))
            await asyncio.wait_for(manager.publish("a", 1), timeout=1)
            await asyncio.ensure_future(manager.publish("a", 1))
            return receipts[0].offset + (await manager.publish("a", 1)).offset
    """,
    "an event of a class, a value of a context, and who a client is": """
        class User(Identity):
            plan: str = "free"

        @subscription(channel="orders")
        async def order(event: Event[Order], context: Context[int]) -> Order:
            user = context.require_identity(User)
            return Order(event.data.id + context.value + len(user.plan))

        @subscription(channel="orders")
        async def name(event: Event[list[Order]], context: Context) -> str:
            return f"{event.data[0].label} {context.require_identity().user_id}"

        async def check() -> int:
            made = await order(Event[Order]({"id": 1}), Context(User("ada"), value=1))
            return made.id
    """,
    "the decorator of a manager, and an event of a test": """
        manager = SubscriptionManager()

        @manager.subscription
        async def ticks() -> AsyncIterator[int]:
            yield 1

        @manager.subscription(channel="orders")
        async def order(event: Event) -> Order:
            return Order(event["id"])

        async def check() -> int:
            return (await order(Event({"id": 1}, channel="orders"))).id
    """,
    "a computed field is its value": """
        def length(order: Order) -> int:
            label: str = order.label
            return len(label)
    """,
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """The checker's data on the package, read once for all programs."""
    return tmp_path_factory.mktemp("cache")


def report(tmp_path, cache, program: str) -> str:
    path = tmp_path / "program.py"
    path.write_text(PREAMBLE + textwrap.dedent(program))
    return check([path], cache)


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_passes_strict_type_checking(tmp_path, cache, program):
    assert report(tmp_path, cache, program) == ""


def test_what_is_wrong_is_still_found(tmp_path, cache):
    said = report(
        tmp_path,
        cache,
        """
        @subscription(channel="orders")
        async def order(event: Event) -> Order:
            return "text"

        def length(order: Order) -> int:
            return order.label

        def price(event: Event[Order]) -> str:
            return event.data.id
        """,
    )
    assert said.count("error: Incompatible return value type") == 3
