"""A plugin of pytest: the fixtures `subs_manager`, `subs_client` and `subs_clock`.

The manager is started and closed on the event loop of the test, if that is `async def`, whichever
plugin runs it: pytest-asyncio in either mode, or anyio. So each test may have a loop of its own.
pytest finds this module by its entry point, in every project where the package is installed: it
must load with any pytest.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import weakref
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fraiseql_subs.manager import SubscriptionManager
    from fraiseql_subs.testing.client import TestClient
    from fraiseql_subs.testing.clock import Clock

_OPTION = "subs_manager"

_MISSING = (
    "which manager to test is not said: set `subs_manager = shop:manager` in the configuration of"
    " pytest, or write a fixture `subs_application` that returns a SubscriptionManager"
)


_loops: weakref.WeakKeyDictionary[SubscriptionManager, asyncio.AbstractEventLoop] = (
    weakref.WeakKeyDictionary()
)
"""The event loops of the tests that run."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the manager."""
    parser.addini(
        _OPTION,
        "fraiseql-subs: the manager that `subs_manager` is, or a function that returns it, such as"
        " `shop:manager`",
        default="",
    )


@pytest.fixture
def subs_application(pytestconfig: pytest.Config) -> SubscriptionManager:
    """Return the manager to test, as the option `subs_manager` names it; override this fixture."""
    import click

    from fraiseql_subs.commands._target import ANOTHER_FOLDER, load_manager

    target = pytestconfig.getini(_OPTION)
    if not target:
        raise pytest.UsageError(_MISSING)
    try:
        return load_manager(target, pytestconfig.rootpath)
    except click.ClickException as error:
        advice = "; the option pythonpath of pytest names another folder"
        message = error.message.replace(ANOTHER_FOLDER, advice)
        raise pytest.UsageError(f"subs_manager = {target}: {message}") from None


@pytest.fixture
def subs_manager(subs_application: SubscriptionManager) -> Iterator[SubscriptionManager]:
    """A manager that runs during the test, without events or clients of other tests."""
    from fraiseql_subs.manager import SubscriptionManager

    if not isinstance(subs_application, SubscriptionManager):
        raise pytest.UsageError(
            f"the fixture subs_application returns {subs_application!r}: return a"
            " SubscriptionManager"
        )
    # A test without this fixture may have closed it.
    _renew(subs_application)
    yield subs_application
    _close(subs_application)
    _renew(subs_application)


@pytest.fixture
def subs_client(subs_manager: SubscriptionManager) -> TestClient:
    """A `TestClient` of `subs_manager`; it need not be entered."""
    from fraiseql_subs.testing.client import TestClient

    return TestClient(subs_manager)


@pytest.fixture
def subs_clock() -> Clock:
    """A `Clock` that is entered during the test: `await subs_clock.advance(60)`."""
    from fraiseql_subs.testing.clock import Clock

    return Clock()


# Not `wrapper=True`, which pluggy has since 1.2 only: an older one would end each run of pytest.
@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, None]:
    """Run a test with its manager started, and inside its clock."""
    values: dict[str, Any] = getattr(item, "funcargs", {})
    manager, clock = values.get("subs_manager"), values.get("subs_clock")
    if not isinstance(item, pytest.Function) or (manager is None and clock is None):
        yield
        return
    function = item.obj
    if inspect.iscoroutinefunction(function):
        item.obj = _inside(function, manager, clock)
    yield
    item.obj = function


def _inside(
    function: Callable[..., Any], manager: SubscriptionManager | None, clock: Clock | None
) -> Callable[..., Any]:
    @functools.wraps(function)
    async def run(*arguments: Any, **options: Any) -> Any:
        with contextlib.nullcontext() if clock is None else clock:
            if manager is not None:
                _loops[manager] = asyncio.get_running_loop()
                await manager.start()
            return await function(*arguments, **options)

    return run


def _close(manager: SubscriptionManager) -> None:
    """Close the manager, after fixtures that use it: their ends may still publish."""
    event_loop = _loops.pop(manager, None)
    if not manager._handle.is_running:  # noqa: SLF001
        return
    if event_loop is None or event_loop.is_closed() or event_loop.is_running():
        # A fixture has started it, on an event loop that is not known.
        manager._handle.stop()  # noqa: SLF001
    else:
        event_loop.run_until_complete(manager.close())


def _renew(manager: SubscriptionManager) -> None:
    """Let the next test begin with a manager that was never started."""
    if not manager._handle.is_running:  # noqa: SLF001
        manager._handle.build_with(manager._declared())  # noqa: SLF001
