"""Helpers of tests: `eventually` returns the awaited value, or says what did not happen."""

from __future__ import annotations

import asyncio

import pytest
from support import eventually, eventually_sync
from support.progress import publish_until
from support.raw_websocket import BINARY, TEXT, frame
from support.urls import address_of, http_url

from fraiseql_subs import SubscriptionManager, passthrough


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


@pytest.mark.parametrize(
    ("mask", "written"),
    [(None, "810548656c6c6f"), (bytes.fromhex("37fa213d"), "818537fa213d7f9f4d5158")],
)
def test_frames_are_written_as_the_examples_of_rfc_6455(mask, written):
    assert frame(TEXT, b"Hello", mask=mask).hex() == written


def test_frames_of_each_length_say_it():
    assert frame(BINARY, bytes(126), mask=None)[:4].hex() == "827e007e"
    assert frame(BINARY, bytes(1 << 16), mask=None)[:10].hex() == "827f0000000000010000"


def test_urls_of_servers():
    assert http_url("ws://127.0.0.1:80/graphql") == "http://127.0.0.1:80/graphql"
    assert http_url("wss://a.example/ws") == "https://a.example/ws"
    assert address_of("ws://127.0.0.1:80/graphql") == ("127.0.0.1", 80)


async def test_publish_until_returns_how_many_events_it_took():
    async with SubscriptionManager([passthrough("feed", int, channel="feed")]) as manager:
        accepted = lambda: manager.metrics().events_accepted == 3  # noqa: E731
        assert await publish_until(manager, accepted, "three are taken", "feed", int) == 3
