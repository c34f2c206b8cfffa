"""What GraphQL costs: parse and validate, cached lookup, projection, beside other executors.

    python load_tests/documents.py [--json FILE]

Prints CPU time of the whole process for one unit, the best of five runs each. Ours go through
the public API, so a lookup has a subscription's life around it and a projection its event, its
resolver call and its delivery; the figure without them comes from a run whose result is one field.
The others are asked to execute one validated document on the same value.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import graphql
import strawberry

from fraiseql_subs import Limits, SubscriptionManager, passthrough, subscription

RUNS = 5
TEN = [f"field{n}" for n in range(10)]
SDL = f"""
    type Query {{ ok: Boolean }}
    type Row {{ {" ".join(f"{name}: String" for name in TEN)} }}
    type Item {{ sku: String quantity: Int price: Float }}
    type Group {{ name: String items: [Item] }}
    type Report {{ title: String group: Group }}
    type Subscription {{ row: Row report: Report }}
"""
ROW = {name: "a value of text" for name in TEN}
REPORT = {
    "title": "t",
    "group": {
        "name": "g",
        "items": [{"sku": f"s{n}", "quantity": n, "price": n + 0.5} for n in range(50)],
    },
}
VALUES = {"row": ROW, "report": REPORT}
TEN_FIELDS = f"subscription {{ row {{ {' '.join(TEN)} }} }}"
ONE_FIELD = "subscription { row { field0 } }"
NESTED = "subscription { report { title group { name items { sku quantity price } } } }"


async def best(units: int, work: Callable[[], Awaitable[None]]) -> float:
    """CPU time of one of the units that `work` does (microseconds)."""
    costs = []
    for _ in range(RUNS):
        started = time.process_time()
        await work()
        costs.append((time.process_time() - started) / units * 1e6)
    return min(costs)


def ours(kind: str) -> SubscriptionManager:
    """A manager whose results come from events, or from a resolver's Python objects."""
    fields: list[Any] = [passthrough(name, channel=name) for name in VALUES]
    if kind == "objects":
        fields = [subscription(name=name, channel=name)(_resolver(name)) for name in VALUES]
    limits = Limits(slow_consumer="latest", max_pending_bytes=1)
    return SubscriptionManager(fields, schema=SDL, limits=limits, workers=1)


def _resolver(name: str) -> Callable[[Any], Any]:
    def resolve(event: Any) -> Any:
        return VALUES[name]

    return resolve


async def our_results(kind: str, document: str, count: int) -> float:
    """Cost of one event and its result."""
    channel = "report" if "report" in document else "row"
    async with ours(kind) as manager, manager.subscribe(document):
        data = VALUES[channel] if kind == "event" else None

        async def work() -> None:
            before = manager.metrics().results_sent
            for _ in range(count):
                await manager.publish(channel, data)
            while manager.metrics().results_sent - before < count:
                await asyncio.sleep(0.0005)

        return await best(count, work)


async def our_documents(count: int, *, is_new: bool) -> float:
    """Cost of registering and ending one subscription."""
    numbers = iter(range(RUNS * count))
    async with ours("event") as manager:
        executor = manager.executor

        async def work() -> None:
            for _ in range(count):
                text = f"{TEN_FIELDS} # {next(numbers)}" if is_new else TEN_FIELDS
                await executor.complete_subscription(await executor.register_subscription(text))

        return await best(count, work)


async def core_documents(count: int) -> float:
    """Cost of parsing and validating one document with graphql-core."""
    schema = graphql.build_schema(SDL)

    async def work() -> None:
        for _ in range(count):
            assert not graphql.validate(schema, graphql.parse(TEN_FIELDS))

    return await best(count, work)


async def core_results(document: str, count: int) -> float:
    """Cost of executing one event and making JSON of it with graphql-core."""
    schema, parsed = graphql.build_schema(SDL), graphql.parse(document)

    async def work() -> None:
        for _ in range(count):
            result: Any = graphql.execute(schema, parsed, VALUES)
            json.dumps({"data": result.data}, separators=(",", ":")).encode()

    return await best(count, work)


Row = strawberry.type(type("Row", (), {"__annotations__": dict.fromkeys(TEN, str)}))


@strawberry.type
class Item:
    """A line of the report."""

    sku: str
    quantity: int
    price: float


@strawberry.type
class Group:
    """The middle level."""

    name: str
    items: list[Item]


@strawberry.type
class Report:
    """The outer level."""

    title: str
    group: Group


async def strawberry_results(document: str, count: int) -> float:
    """Cost of one event of a Strawberry subscription and its JSON."""
    row = Row(**ROW)
    items = [Item(**item) for item in REPORT["group"]["items"]]
    report = Report(title="t", group=Group(name="g", items=items))

    @strawberry.type
    class Query:
        ok: bool = True

    async def rows() -> AsyncGenerator[Row, None]:
        while True:
            yield row

    async def reports() -> AsyncGenerator[Report, None]:
        while True:
            yield report

    rows.__annotations__["return"] = AsyncGenerator[Row, None]
    root = {
        "row": strawberry.subscription(resolver=rows),
        "report": strawberry.subscription(resolver=reports),
    }
    schema = strawberry.Schema(Query, subscription=strawberry.type(type("Subscription", (), root)))
    stream: Any = await schema.subscribe(document)

    async def work() -> None:
        for _ in range(count):
            result = await anext(stream)
            assert result.errors is None
            json.dumps({"data": result.data}, separators=(",", ":")).encode()

    cost = await best(count, work)
    await stream.aclose()
    return cost


async def run() -> dict[str, float]:
    """Measure everything."""
    costs = {
        "parse and validate: ours, subscription included": await our_documents(1000, is_new=True),
        "parse and validate: graphql-core": await core_documents(300),
        "cached lookup: ours, subscription included": await our_documents(5000, is_new=False),
    }
    for kind in ("event", "objects"):
        for name, document, count in (
            ("one field", ONE_FIELD, 5_000),
            ("10 fields", TEN_FIELDS, 5_000),
            ("3 levels, list of 50", NESTED, 2_000),
        ):
            cost = await our_results(kind, document, count)
            costs[f"{name}: ours from {kind}, delivery included"] = cost
    for name, document, count in (
        ("10 fields", TEN_FIELDS, 2000),
        ("3 levels, list of 50", NESTED, 100),
    ):
        costs[f"{name}: graphql-core"] = await core_results(document, count)
        costs[f"{name}: Strawberry"] = await strawberry_results(document, count)
    return costs


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    costs = asyncio.run(run())
    sys.stdout.write(f"Python {platform.python_version()}, {platform.machine()}; us of CPU\n")
    for what, cost in costs.items():
        sys.stdout.write(f"{what:56} {cost:10.2f}\n")
    if options.json:
        options.json.write_text(json.dumps(costs, indent=1))


if __name__ == "__main__":
    main()
