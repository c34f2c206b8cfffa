import dataclasses
import functools

import pytest

from fraiseql_subs import SubscriptionManager
from fraiseql_subs.config import ConnectionParams, History, Identity, Limits
from fraiseql_subs.errors import ConfigurationError
from fraiseql_subs.security import Security


async def accept(params):
    return Identity(user_id="1")


def test_limits_have_the_documented_defaults():
    assert dataclasses.asdict(Limits()) == {
        "connection_init_timeout": 3.0,
        "max_connections": None,
        "max_subscriptions_per_connection": 100,
        "max_message_bytes": 1_048_576,
        "max_head_bytes": 65_536,
        "request_timeout": 10.0,
        "send_timeout": 30.0,
        "max_depth": 15,
        "max_complexity": 1000,
        "max_aliases": 100,
        "max_directives": 50,
        "max_tokens": 5000,
        "max_retained_bytes": 8 * 1024 * 1024,
        "max_pending_bytes": 1_048_576,
        "slow_consumer": "disconnect",
        "keepalive": 12.0,
    }


@pytest.mark.parametrize(
    ("field", "value", "remedy"),
    [
        ("connection_init_timeout", 0, "seconds above 0"),
        ("connection_init_timeout", 1e300, "at most"),
        ("max_message_bytes", 2**64, "whole number"),
        ("connection_init_timeout", None, "seconds above 0"),
        ("keepalive", -1.0, "None to switch it off"),
        ("keepalive", float("inf"), "seconds above 0"),
        ("max_connections", 0, "None for no limit"),
        ("max_subscriptions_per_connection", None, "at least 1"),
        ("max_message_bytes", 1.5, "whole number"),
        ("max_head_bytes", 0, "at least 1"),
        ("max_head_bytes", 131_073, "at most 131072 bytes"),
        ("request_timeout", None, "seconds above 0"),
        ("send_timeout", 0, "seconds above 0"),
        ("max_depth", True, "at least 1"),
        ("max_complexity", "1000", "at least 1"),
        ("max_retained_bytes", 0, "at least 1"),
        ("max_pending_bytes", -5, "at least 1"),
        ("slow_consumer", "drop", '"disconnect", "drop_oldest", "latest"'),
    ],
)
def test_a_limit_out_of_range_names_field_value_and_remedy(field, value, remedy):
    with pytest.raises(ConfigurationError) as caught:
        Limits(**{field: value})
    message = str(caught.value)
    assert f"Limits.{field} is {value!r}" in message
    assert remedy in message


@pytest.mark.parametrize("field", ["max_connections", "max_depth", "max_complexity", "keepalive"])
def test_a_limit_that_may_be_absent_takes_none(field):
    assert getattr(Limits(**{field: None}), field) is None


def test_authentication_may_be_a_coroutine_function_a_partial_or_an_object():
    class Authenticator:
        async def __call__(self, params):
            return None

    for hook in (accept, functools.partial(accept), Authenticator()):
        assert Security(authenticate=hook).authenticate is hook


def test_authentication_that_is_not_async_is_refused():
    with pytest.raises(ConfigurationError, match="async def"):
        Security(authenticate=lambda params: None)


@pytest.mark.parametrize(
    "origin", ["https://app.example.com", "http://localhost:3000", "http://[::1]:80", "*"]
)
def test_an_origin_is_taken_as_a_browser_sends_it(origin):
    assert Security(origins=[origin]).origins == (origin,)


@pytest.mark.parametrize(
    "origin", ["https://app.example.com/", "app.example.com", "https://", "https://a.test:x", ""]
)
def test_an_origin_that_could_never_match_is_refused(origin):
    with pytest.raises(ConfigurationError, match="scheme://host") as caught:
        Security(origins=[origin])
    assert repr(origin) in str(caught.value)


def test_origins_as_one_text_are_refused_with_the_list_to_write():
    with pytest.raises(ConfigurationError, match="list of strings"):
        Security(origins="https://app.example.com")


def test_roles_are_kept_as_a_tuple_so_that_an_identity_cannot_change():
    roles = ["admin"]
    identity = Identity(user_id="1", roles=roles)
    roles.append("root")
    assert identity.roles == ("admin",)


def test_roles_as_one_text_are_refused():
    with pytest.raises(ConfigurationError, match=r"Identity\.roles is 'admin'"):
        Identity(user_id="1", roles="admin")


def test_an_expiry_that_is_no_number_is_refused():
    with pytest.raises(ConfigurationError, match="seconds since the epoch"):
        Identity(user_id="1", expires_at="tomorrow")


@pytest.mark.parametrize("value", [Limits(), Security(), Identity("1"), ConnectionParams()])
def test_settings_are_frozen(value):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, dataclasses.fields(value)[0].name, None)


def test_history_has_the_documented_defaults():
    expected = {"events": 1000, "seconds": 300.0, "max_bytes": 64 * 1024 * 1024}
    assert dataclasses.asdict(History()) == expected


@pytest.mark.parametrize(
    ("field", "value", "remedy"),
    [
        ("events", 0, "from 1 to 1000000"),
        ("events", 1_000_001, "from 1 to 1000000"),
        ("events", True, "whole number"),
        ("events", 1.5, "history=None keeps nothing"),
        ("seconds", 0, "seconds above 0"),
        ("seconds", float("nan"), "seconds above 0"),
        ("seconds", 1e9, "at most 2592000"),
        ("seconds", None, "history=None keeps nothing"),
        ("max_bytes", 0, "at least 1"),
        ("max_bytes", 2**64, "whole number of bytes"),
    ],
)
def test_a_history_out_of_range_names_field_value_and_remedy(field, value, remedy):
    with pytest.raises(ConfigurationError) as caught:
        History(**{field: value})
    assert f"History.{field} is {value!r}" in str(caught.value)
    assert remedy in str(caught.value)


def test_a_manager_takes_a_history_or_none():
    SubscriptionManager(history=None)
    with pytest.raises(ConfigurationError, match="pass History"):
        SubscriptionManager(history=1000)
