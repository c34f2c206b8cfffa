"""A decorator above `@subscription` would not be called for events: it is refused."""

from __future__ import annotations

import functools
import sys
import types

import pytest
from typing_extensions import deprecated

from fraiseql_subs import SchemaError, SubscriptionManager, subscription


def require_admin(function):
    @functools.wraps(function)
    async def checked(*args, **kwargs):
        raise PermissionError

    return checked


@require_admin
@subscription(channel="x")
async def bypassed(event) -> int:
    return 1


@subscription(channel="x")
@require_admin
async def protected(event) -> int:
    return 1


@deprecated("use protected")
@subscription(channel="x")
async def old(event) -> int:
    return 1


@require_admin
@deprecated("use protected")
@subscription(channel="x")
async def old_and_bypassed(event) -> int:
    return 1


@pytest.mark.parametrize("function", [bypassed, require_admin(bypassed), old_and_bypassed])
def test_a_wrapper_of_a_declared_function_is_refused(function):
    with pytest.raises(SchemaError, match="put @subscription on top"):
        SubscriptionManager([function])


def test_a_wrapper_in_a_module_is_refused():
    module = types.ModuleType(__name__)
    module.bypassed = bypassed
    with pytest.raises(SchemaError, match=r"bypassed\(\) has a decorator above @subscription"):
        SubscriptionManager([module])


def test_under_subscription_and_for_deprecation_it_is_taken():
    sdl = SubscriptionManager([protected, old]).sdl()
    assert "protected: Int!" in sdl and 'deprecated(reason: "use protected")' in sdl


def test_above_the_decorator_of_a_manager_it_is_found_in_the_module(monkeypatch):
    module = types.ModuleType("an_application")
    monkeypatch.setitem(sys.modules, "an_application", module)
    code = """
from fraiseql_subs import SubscriptionManager

manager = SubscriptionManager()

@require_admin
@manager.subscription(channel="x")
async def bypassed(event) -> int:
    return 1

@manager.subscription(channel="x")
async def plain(event) -> int:
    return 1
"""
    module.require_admin = require_admin
    exec(code, vars(module))
    with pytest.raises(SchemaError, match=r"bypassed\(\) has a decorator above @subscription"):
        module.manager.sdl()
