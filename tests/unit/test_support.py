"""What tests wait with: `eventually` returns what it waited for, or says what did not happen."""

from __future__ import annotations

import asyncio

import pytest
from support import eventually, eventually_sync


async def test_eventually_returns_the_first_value_that_is_true():
    values = iter([0, "", "there"])

    assert await eventually(lambda: next(values), "a value is there") == "there"


async def test_eventually_awaits_a_condition_that_is_async():
    values = iter([None, 7])

    async def look():
        return next(values)

    assert await eventually(look, "a value is there") == 7


async def test_a_condition_that_raises_does_not_hold_yet():
    found = []

    def look():
        found.append(len(found))
        return found[2]

    assert await eventually(look, "three looks are taken") == 2


async def test_eventually_says_what_it_waited_for_and_what_it_found():
    with pytest.raises(AssertionError, match=r"until pigs fly; the last look found \[\]"):
        await eventually(list, "pigs fly", timeout=0.05)


async def test_eventually_says_what_the_condition_raised():
    def look():
        raise KeyError("wings")

    with pytest.raises(AssertionError, match=r"until pigs fly; .*KeyError\('wings'\)"):
        await eventually(look, "pigs fly", timeout=0.05)


async def test_a_condition_that_never_returns_fails_in_time():
    with pytest.raises(AssertionError, match=r"until pigs fly; .*TimeoutError"):
        await eventually(asyncio.Event().wait, "pigs fly", timeout=0.05)


def test_eventually_sync_does_the_same_without_a_loop():
    values = iter([0, "there"])

    assert eventually_sync(lambda: next(values), "a value is there") == "there"
    with pytest.raises(AssertionError, match=r"until pigs fly; .*StopIteration"):
        eventually_sync(lambda: next(values), "pigs fly", timeout=0.05)
