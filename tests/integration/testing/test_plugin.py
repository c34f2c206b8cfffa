"""The plugin of pytest: a manager, a client and a clock for each test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

import fraiseql_subs.testing.plugin

APPLICATION = """
from dataclasses import dataclass

from fraiseql_subs import Event, History, SubscriptionManager, subscription


@dataclass
class Order:
    id: int


@subscription(channel="orders")
async def order(event: Event[Order]) -> Order:
    return event.data


manager = SubscriptionManager([order], history=History())


def make():
    return SubscriptionManager([order])
"""

TESTS = """
import asyncio

import pytest

from fraiseql_subs.testing import SyncTestClient

PLUGIN

loops = []


MARK
@pytest.mark.parametrize("number", [1, 2])
async def test_each_has_a_running_manager_and_a_loop(subs_client, subs_manager, number):
    loop = asyncio.get_running_loop()
    assert loop not in loops
    loops.append(loop)
    assert subs_client.manager is subs_manager and subs_manager.is_ready()
    async with subs_client.subscribe("subscription { order { id } }") as orders:
        receipt = await subs_client.publish("orders", {"id": number})
        assert receipt.offset == 1
        assert await orders.next() == {"order": {"id": number}}


MARK
async def test_time_is_advanced(subs_clock, subs_client):
    loop = asyncio.get_running_loop()
    begin, woken = loop.time(), []

    async def sleep():
        for _ in range(3):
            await asyncio.sleep(1000)
            woken.append(loop.time() - begin)
            await subs_client.publish("orders", {"id": len(woken)})

    sleeping = asyncio.create_task(sleep())
    async with subs_client.subscribe("subscription { order { id } }") as orders:
        await subs_clock.advance(2500)
        assert [round(each, -3) for each in woken] == [1000, 2000]
        assert [await orders.next() for _ in woken] == [{"order": {"id": 1}}, {"order": {"id": 2}}]
        await subs_clock.advance(500)
        assert len(woken) == 3
    await sleeping
    assert subs_clock.elapsed == 3000


def test_without_async(subs_manager):
    with SyncTestClient(subs_manager) as client:
        with client.subscribe("subscription { order { id } }") as orders:
            assert client.publish("orders", {"id": 1}).offset == 1
            assert orders.next() == {"order": {"id": 1}}
"""

FIXTURES = """
import asyncio

import pytest
FIXTURE

from fraiseql_subs.testing import TestClient
from shop import manager

PLUGIN

receipts = []


@async_fixture
async def orders(subs_client):
    receipts.append(await subs_client.publish("orders", {"id": 1}))
    yield subs_client
    receipts.append(await subs_client.publish("orders", {"id": 2}))


MARK
async def test_without_the_fixture():
    async with TestClient(manager) as client:
        await client.publish("orders", {"id": 1})


MARK
@pytest.mark.parametrize("number", [1, 2])
async def test_fixtures_publish_before_and_after(orders, number):
    assert [receipt.offset for receipt in receipts] == [1, 3] * (number - 1) + [1]
    async with orders.subscribe("subscription { order { id } }") as subscribed:
        assert (await orders.publish("orders", {"id": 7})).offset == 2
        assert await subscribed.next() == {"order": {"id": 7}}


MARK
async def test_all_were_published(subs_manager):
    assert [receipt.offset for receipt in receipts] == [1, 3, 1, 3]
    assert subs_manager.is_ready() and subs_manager.metrics().events_published == 0
"""

SCOPE_NAME = "asyncio_default_fixture_loop_scope"
SCOPE = f"{SCOPE_NAME} = function"
ASYNCIO_STRICT = "@pytest.mark.asyncio"
ANYIO = """
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"
"""
SESSION_LOOP = """asyncio_mode = auto
asyncio_default_test_loop_scope = session
asyncio_default_fixture_loop_scope = session"""
OVERRIDDEN = """
@pytest.fixture
def subs_application():
    import shop
    return shop.make()
"""


def written(plugin: str, mark: str) -> str:
    return TESTS.replace("PLUGIN", plugin).replace("MARK\n", f"{mark}\n" if mark else "")


def run(folder, tests: str, *, settings: str = "", without: str = "") -> str:
    (folder / "shop.py").write_text(APPLICATION)
    (folder / "test_shop.py").write_text(tests)
    if without == "":
        settings = settings if SCOPE_NAME in settings else f"{SCOPE}\n{settings}"
    (folder / "pytest.ini").write_text(f"[pytest]\npythonpath = .\n{settings}\n")
    loaded = ["-p", "fraiseql_subs.testing.plugin", "-p", "no:randomly", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", *loaded, *without.split()],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("plugin", "mark", "settings", "without"),
    [
        ("", "", "asyncio_mode = auto\nsubs_manager = shop:manager", ""),
        ("", ASYNCIO_STRICT, "asyncio_mode = strict\nsubs_manager = shop:make", ""),
        (ANYIO, "", "subs_manager = shop:manager", "-p no:asyncio"),
        (OVERRIDDEN, "", "asyncio_mode = auto", ""),
    ],
    ids=["pytest-asyncio auto", "pytest-asyncio strict", "anyio", "a fixture of the user"],
)
def test_tests_of_every_kind_pass(tmp_path, plugin, mark, settings, without):
    said = run(tmp_path, written(plugin, mark), settings=settings, without=without)
    assert "4 passed" in said, said


def test_one_loop_for_all_tests_serves_too(tmp_path):
    tests = written("", "").replace("assert loop not in loops", "")
    settings = "asyncio_mode = auto\nsubs_manager = shop:manager\n"
    settings += "asyncio_default_test_loop_scope = module"
    said = run(tmp_path, tests, settings=settings)
    assert "4 passed" in said, said


@pytest.mark.parametrize(
    ("loaded", "fixture", "settings", "without"),
    [
        ("", "async_fixture = pytest.fixture", "asyncio_mode = auto", ""),
        ("", "from pytest_asyncio import fixture as async_fixture", "asyncio_mode = strict", ""),
        ("", "async_fixture = pytest.fixture", SESSION_LOOP, ""),
        (ANYIO, "async_fixture = pytest.fixture", "", "-p no:asyncio"),
    ],
    ids=["pytest-asyncio auto", "pytest-asyncio strict", "one loop", "anyio"],
)
def test_async_fixtures_use_the_running_manager(tmp_path, loaded, fixture, settings, without):
    mark = ASYNCIO_STRICT if "strict" in settings else ""
    tests = FIXTURES.replace("PLUGIN", loaded).replace("FIXTURE", fixture)
    tests = tests.replace("MARK\n", f"{mark}\n" if mark else "")
    settings += "\nsubs_manager = shop:manager"
    said = run(tmp_path, tests, settings=settings, without=without)
    assert "4 passed" in said, said


def test_the_plugin_loads_with_an_old_pytest():
    # pluggy below 1.2 has no `wrapper=`, and refuses the whole plugin.
    assert "(wrapper=" not in Path(fraiseql_subs.testing.plugin.__file__).read_text()


def test_without_a_manager_it_says_what_to_do(tmp_path):
    said = run(tmp_path, "def test_a(subs_manager): pass")
    assert "set `subs_manager = shop:manager`" in said and "1 error" in said, said


def test_a_manager_that_is_not_there_is_named(tmp_path):
    said = run(tmp_path, "def test_a(subs_manager): pass", settings="subs_manager = shop:other")
    assert "subs_manager = shop:other: " in said and "1 error" in said, said
    said = run(tmp_path, "def test_a(subs_manager): pass", settings="subs_manager = nope:manager")
    assert "subs_manager = nope:manager: there is no module nope" in said, said
    assert "; the option pythonpath of pytest names another folder" in said, said


def test_the_package_needs_no_pytest():
    code = "import sys; sys.modules['pytest'] = None; import fraiseql_subs.testing"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
