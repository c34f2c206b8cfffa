"""`main` of `run` has to be async: a plain function is refused before it is called."""

from __future__ import annotations

import functools

import pytest

from fraiseql_subs import ConfigurationError, SubscriptionManager, passthrough
from fraiseql_subs._program import check_main

CALLS: list[str] = []


def plain() -> None:
    CALLS.append("plain")


def generator():
    yield CALLS.append("generator")


async def async_generator():
    yield 1


class Plain:
    def __call__(self) -> None:
        CALLS.append("Plain")


class Async:
    async def __call__(self) -> None:
        """Do nothing."""

    async def method(self) -> None:
        """Do nothing."""

    def plain_method(self) -> None:
        CALLS.append("method")


async def wanted(number: int = 0) -> None:
    """Do nothing."""


@functools.wraps(wanted)
def wrapped() -> object:
    return wanted()


@pytest.mark.parametrize(
    "main",
    [
        plain,
        generator,
        async_generator,
        Plain(),
        Async,
        Async().plain_method,
        functools.partial(plain),
        lambda: CALLS.append("lambda"),
        lambda: wanted(),
    ],
)
def test_a_plain_function_is_refused_before_it_is_called(main):
    manager = SubscriptionManager([passthrough("feed", int, channel="feed")])
    with pytest.raises(ConfigurationError, match="async function without parameters"):
        manager.run(port=0, main=main)
    assert CALLS == []


@pytest.mark.parametrize(
    "main", [wanted, wrapped, Async(), Async().method, functools.partial(wanted, 1), None]
)
def test_an_async_one_is_taken(main):
    check_main(main)


def test_a_coroutine_is_accepted():
    coroutine = wanted()
    check_main(coroutine)
    coroutine.close()
