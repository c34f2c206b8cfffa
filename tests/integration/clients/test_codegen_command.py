"""The command `fraiseql-subs codegen`: what it writes is correct for tools, and publishes."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from support import PATIENCE
from support.paths import ROOT
from support.programs import ENVIRONMENT

APP = '''
import enum
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypedDict
from uuid import UUID

from fraiseql_subs import ID, Event, SubscriptionManager, passthrough, subscription


class Status(enum.Enum):
    PAID = "paid"
    OPEN = 1


@dataclass
class Customer:
    """Who "buys": \\\\d.

    A paragraph that is long enough to be broken over two lines, as it has more than a line holds.
    """

    id: ID
    parent: "Customer | None" = None


@dataclass
class Order:
    user_id: int
    status: Status
    at: datetime
    price: Decimal
    customers: list[Customer]
    note: str | None = None
    class_: int = 0


@dataclass
class Refund:
    id: UUID


# The names of what generated code imports.
@dataclass
class Any:
    dict: int
    Literal: str


OrderFilter = TypedDict("OrderFilter", {"from": int, "status": Status})

order_updated = passthrough(
    "orderUpdated",
    Order,
    channel="orders.{userId}.{status}",
    arguments={"userId": int, "status": Status, "region": str},
    filter={"region": "$region", "place.city": "Rome", "user_id": "$userId"},
)
changed = passthrough("changed", Order | Refund, channel="changes", event_types=["new", "old"])
refunded = passthrough(
    "refunded", Refund | None, channel="refunds.{id}", arguments={"id": UUID}, event_types=["paid"]
)
levels = passthrough(
    "levels",
    list[Any],
    channel="levels.{level}.{moment}.{isOpen}.{data}.{class}",
    arguments={"level": float, "moment": datetime, "isOpen": bool, "data": ID, "class": Decimal},
)


@subscription(channel="pages")
async def page(event: Event, *, where: OrderFilter, size: int = 3) -> int:
    return int(event.data) + size


@subscription
async def ticks() -> AsyncIterator[int]:
    yield 1


manager = SubscriptionManager([order_updated, changed, refunded, levels, page, ticks])
'''

QUERIES = {
    "orders.graphql": """
        query Kind { __typename }
        subscription OrderUpdated($user: Int!, $status: Status! = PAID, $r: String!, $x: Boolean!) {
          orderUpdated(userId: $user, status: $status, region: $r) {
            id: userId at status note @include(if: $x) ...Rest
          }
        }
        fragment Rest on Order { customers { id parent { id __typename } } class }
    """,
    "deep/changes.gql": """
        subscription($skip: Boolean! = true) {
          changed { __typename ... on Order { userId } ... on Refund { id @skip(if: $skip) } }
        }
    """,
}

USE = """
from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import app
import events
from fraiseql_subs import SubscriptionManager

manager: SubscriptionManager = app.manager
ID = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
NOON = datetime(2024, 5, 1, 12, tzinfo=timezone.utc)
ORDER: events.OrderUpdatedData = {
    "user_id": 7, "status": "OPEN", "at": NOON, "price": Decimal("1.5"), "class_": 3,
    "customers": [{"id": 1, "parent": {"id": "2"}}], "region": "eu", "place": {"city": "Rome"},
}
REFUND: events.Refund = {"id": ID, "__typename": "Refund"}


async def main() -> None:
    arguments: events.OrderUpdatedVariables = {
        "user": 7, "status": "OPEN", "r": "eu", "x": False
    }
    with open("web/orders.graphql", encoding="utf-8") as file:
        orders = file.read()
    levels = '''subscription { levels(
        level: 1, moment: "2024-05-01T14:00:00+02:00", isOpen: true, data: 5, class: "2.50"
    ) { dict Literal } }'''
    async with (
        manager,
        manager.subscribe(orders, {**arguments}, "OrderUpdated") as first,
        manager.subscribe("subscription { changed { ... on Refund { id } } }") as second,
        manager.subscribe(f'subscription {{ refunded(id: "{ID}") {{ id }} }}') as third,
        manager.subscribe(levels) as fourth,
        manager.subscribe("subscription { page(where: {from: 1, status: PAID}) }") as fifth,
    ):
        await events.publish_order_updated(manager, ORDER, user_id=7, status="OPEN")
        result: events.OrderUpdatedResult = (await anext(first)).data  # type: ignore[assignment]
        order: events.OrderUpdated = result["orderUpdated"]
        assert order["class"] == 3 and order["status"] == "OPEN" and "note" not in order
        parent = order["customers"][0]["parent"]
        assert parent == {"id": "2", "__typename": "Customer"}
        await events.publish_changed(manager, REFUND, event_type="old")
        assert (await anext(second)).data == {"changed": {"id": str(ID)}}
        await events.publish_refunded(manager, None, id=ID)
        assert (await anext(third)).data == {"refunded": None}
        receipt = await events.publish_levels(
            manager, [{"dict": 1, "Literal": "a"}], level=1, moment=NOON, is_open=True, data_=5,
            class_=Decimal("2.50"), event_id="mine",
        )
        assert receipt.event_id == "mine"
        assert (await anext(fourth)).data == {"levels": [{"dict": 1, "Literal": "a"}]}
        await events.publish_page(manager, 4)
        assert (await anext(fifth)).data == {"page": 7}
    print("all received")


asyncio.run(main())
"""

MISTAKES = """
import events
from fraiseql_subs import Publisher

async def wrong(publisher: Publisher, order: events.Order, data: events.OrderUpdatedData) -> None:
    await events.publish_order_updated(publisher, order, user_id=7, status="PAID")
    await events.publish_order_updated(publisher, data, user_id="7", status="PAID")
    await events.publish_order_updated(publisher, data, user_id=7, status="LOST")
    await events.publish_order_updated(publisher, data, user_id=7)
    await events.publish_changed(publisher, {"id": "1"}, event_type="other")
"""

RULES = "E,F,W,I,UP,B,D,ANN,ASYNC,C90,RUF,SLF"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an application, its documents, and the code that is generated for them."""
    path = tmp_path_factory.mktemp("codegen")
    (path / "app.py").write_text(APP)
    (path / "web" / "deep").mkdir(parents=True)
    for name, text in QUERIES.items():
        (path / "web" / name).write_text(text)
    done = codegen(path, *GENERATED, "--output", "events.py")
    assert done == (0, "", "")
    return path


GENERATED = ("--target", "app:manager", "--documents", "web")


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**ENVIRONMENT, "PYTHONIOENCODING": "utf-8", "MYPYPATH": str(folder)},
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )


def codegen(folder: Path, *arguments: str) -> tuple[int, str, str]:
    done = run(folder, "fraiseql_subs", "codegen", *arguments)
    return done.returncode, done.stdout, done.stderr


def test_generated_functions_publish_to_the_subscribers(folder):
    (folder / "use.py").write_text(USE)
    done = run(folder, "use")
    assert done.stdout == "all received\n", done.stderr


def test_mypy_accepts_it_and_finds_mistakes(folder):
    (folder / "use.py").write_text(USE)
    (folder / "mistakes.py").write_text(MISTAKES)
    mypy = ("mypy", "--strict", "--cache-dir", str(folder / "cache"), "--no-error-summary")
    done = run(folder, *mypy, "events.py", "use.py", "mistakes.py")
    said = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert [line for line in said if not line.startswith("mistakes.py")] == [], done.stderr
    assert [int(line.split(":")[1]) for line in said] == [6, 7, 8, 9, 10]


def test_pyright_accepts_it_in_its_strict_mode(folder):
    pytest.importorskip("pyright")
    settings = {"typeCheckingMode": "strict", "include": ["events.py"]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    done = run(folder, "pyright", "--outputjson", "--pythonpath", sys.executable)
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == 1
    assert [each["message"] for each in report["generalDiagnostics"]] == []


@pytest.mark.parametrize("width", [88, 100])
def test_ruff_finds_nothing_to_change(folder, width):
    length = ("--isolated", "--line-length", str(width))
    done = run(folder, "ruff", "format", *length, "--diff", "events.py")
    assert done.returncode == 0, done.stdout
    style = ("--config", 'lint.pydocstyle.convention="google"', "--target-version", "py310")
    done = run(folder, "ruff", "check", *length, "--select", RULES, *style, "events.py")
    assert done.returncode == 0, done.stdout


def test_types_can_be_read_at_run_time(folder, monkeypatch):
    monkeypatch.syspath_prepend(folder)
    events = importlib.import_module("events")
    types: list[Any] = [each for each in vars(events).values() if hasattr(each, "__total__")]
    assert len(types) > 10
    for each in types:
        assert get_type_hints(each)
    del sys.modules["events"]


def test_it_is_the_same_each_time_and_checked(folder, tmp_path):
    for seed in ("1", "2"):
        environment = {**ENVIRONMENT, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-m", "fraiseql_subs", "codegen", *GENERATED]
        again = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, timeout=PATIENCE, check=True
        )
        assert again.stdout == (folder / "events.py").read_bytes()
    assert codegen(folder, *GENERATED, "--check", "events.py") == (0, "", "")
    changed = tmp_path / "events.py"
    changed.write_text((folder / "events.py").read_text().replace("user_id: int", "user_id: str"))
    status, out, err = codegen(folder, *GENERATED, "--sync", "--check", str(changed))
    assert status == 1
    assert re.search(r"^-    user_id: str,$\n^\+    user_id: int,$", out, re.MULTILINE), out
    written = f"codegen --target app:manager --documents web --sync --output {changed}"
    assert f"{changed} is not what is generated; to write it: fraiseql-subs {written}" in err
    assert codegen(folder, *GENERATED, "--check", "none.py")[0] == 1


def test_the_code_of_the_page_is_what_is_generated(tmp_path):
    page = (ROOT / "docs" / "how-to" / "typed-code.md").read_text()
    shop, generated, use = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "shop.py").write_text(shop)
    (tmp_path / "use.py").write_text(use)
    assert codegen(tmp_path, "--target", "shop:manager", "--output", "events.py") == (0, "", "")
    for part in generated.split("\n\n\n"):
        assert part.strip() in (tmp_path / "events.py").read_text()
    done = run(tmp_path, "mypy", "--strict", "events.py", "use.py")
    assert done.returncode == 0, done.stdout


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "schema.graphql").write_text(
        """
        type Query { order(id: ID!): Order  orders(range: Range): [Order] }
        type Subscription { order(at: DateTime!, kind: Kind): Node }
        "What has an id."
        interface Node { id: ID! }
        type Order implements Node { id: ID!  customerId: Int  price: Money! big: [BigInt!]! }
        type Refund implements Node { id: ID!  price: Money! }
        type Gift implements Node { id: ID! }
        enum Kind { NEW OLD }
        scalar Money  scalar DateTime  scalar BigInt
        input Range { low: Money!  high: Money = "9"  kinds: [Kind!] not: Range }
        """
    )
    return tmp_path


def test_a_schema_alone_has_types_and_no_functions(shop):
    (shop / "orders.graphql").write_text(
        """query ByRange($range: Range) { orders(range: $range) { price big again: big } }
        query One { order(id: 1) { ... @include(if: true) { id } id } }"""
    )
    (shop / "orders.of-day.gql").write_text(
        'subscription { order(at: "2024-01-01") { id ... on Order { customerId } } }'
    )
    status, text, err = codegen(
        *(shop, "--schema", "schema.graphql"),
        *("--documents", "orders.graphql", "--documents", "orders.of-day.gql"),
        *("--scalar", "Money=decimal.Decimal"),
    )
    assert (status, err) == (0, "")
    assert "def publish" not in text
    names: dict[str, Any] = {"__name__": "generated"}
    exec(compile(text, "generated", "exec"), names)
    written = {
        name: {key: str(hint) for key, hint in each.__annotations__.items()}
        for name, each in names.items()
        if hasattr(each, "__total__") and name != "TypedDict"
    }
    assert '        "high": NotRequired["decimal.Decimal | None"],\n' in text
    assert '        "low": "decimal.Decimal",\n' in text
    assert '        "customerId": NotRequired["int | None"],\n' in text
    assert '        "big": "list[int | str]",\n' in text
    assert 'Node: TypeAlias = "Order | Refund | Gift"' in text
    assert {"OrdersResult", "OrdersOrderOnOrder", "OrdersOrderOnOthers"} <= {*written}
    assert {*written["OrdersOrderOnOrder"]} == {"id", "customerId"}
    assert {*written["OrdersOrderOnOthers"]} == {"id"}
    assert "    order: OrdersOrderOnOrder | OrdersOrderOnOthers | None\n" in text
    assert {*written["ByRangeOrders"]} == {"price", "big", "again"}
    assert "NotRequired" not in written["OneOrder"]["id"]


def test_a_refused_document_is_told_with_its_line(shop):
    (shop / "bad.graphql").write_text("{ order(id: 1) {\n  idd\n} }")
    status, out, err = codegen(shop, "--schema", "schema.graphql", "--documents", "bad.graphql")
    assert (status, out) == (1, "")
    assert err.startswith('bad.graphql:2:3: Cannot query field "idd" on type "Order".')


def test_two_operations_of_one_name_are_refused(shop):
    paths = []
    for name in ("a.graphql", "b.graphql"):
        (shop / name).write_text("query One { order(id: 1) { id } }")
        paths += ["--documents", name]
    status, _, err = codegen(shop, "--schema", "schema.graphql", *paths)
    assert status == 1
    assert "b.graphql: the operation One has the name of one in a.graphql: rename one" in err


def test_data_of_another_type_tenants_and_blocking_functions(tmp_path):
    (tmp_path / "shop.py").write_text(
        "from dataclasses import dataclass\n"
        "from fraiseql_subs import Security, SubscriptionManager, TenantIsolation, subscription\n"
        "@dataclass\nclass Row:\n    id: int\n"
        "@subscription(channel='rows')\nasync def total(event) -> int:\n    return event['id']\n"
        "manager = SubscriptionManager([total], security=Security(tenant=TenantIsolation()),\n"
        "    bus='postgresql://me:secret@127.0.0.1:1/orders')\n"
    )
    (tmp_path / "use.py").write_text(
        "import events\nimport shop\nfrom fraiseql_subs import SyncPublisher\n\n"
        "def use(publisher: SyncPublisher) -> str:\n"
        "    row = shop.Row(1)\n"
        "    events.publish_total(publisher, row, tenant_id='acme', connection=object())\n"
        "    events.publish_total(publisher, 1, tenant_id='acme')\n"
        "    return events.publish_total(publisher, row).event_id\n"
    )
    arguments = ("--target", "shop:manager", "--data", "total=shop.Row", "--sync")
    assert codegen(tmp_path, *arguments, "--output", "events.py") == (0, "", "")
    mypy = ("mypy", "--strict", "--no-error-summary", "--follow-imports=silent")
    done = run(tmp_path, *mypy, "--allow-untyped-defs", "events.py", "use.py")
    said = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert [line.split(":")[:2] for line in said] == [["use.py", "8"], ["use.py", "9"]], said


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--schema", "schema.graphql", "--data", "order=int"), "name --target app:manager"),
        (("--schema", "schema.graphql", "--scalar", "Money"), "such as Money=str"),
        (("--schema", "schema.graphql", "--scalar", "Mony=str"), "there are Money, DateTime"),
        (("--schema", "schema.graphql", "--output", "a", "--check", "a"), "use one of them"),
        ((), "--target app:manager or --schema FILE"),
    ],
)
def test_a_wrong_command_line_is_refused(shop, arguments, part):
    status, out, err = codegen(shop, *arguments)
    assert (status, out) == (2, "")
    assert part in err


def test_it_says_what_to_install(shop):
    blocked = shop / "blocked"
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text(
        "import importlib.util\nfind = importlib.util.find_spec\n"
        "def find_spec(name, *others):\n"
        "    return None if name == 'graphql' else find(name, *others)\n"
        "importlib.util.find_spec = find_spec\n"
    )
    path = os.pathsep.join([str(blocked), ENVIRONMENT["PYTHONPATH"]])
    done = subprocess.run(
        [sys.executable, "-m", "fraiseql_subs", "codegen", "--schema", "schema.graphql"],
        cwd=shop,
        env={**ENVIRONMENT, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert "pip install 'fraiseql-subs[cli]'" in done.stderr
