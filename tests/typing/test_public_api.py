"""The public API under `mypy --strict`: `accepted` has correct programs, `reported` mistakes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from checker import by_file, check, expected

import fraiseql_subs
from fraiseql_subs import (
    Event,
    Executor,
    Publisher,
    Receipt,
    ResponseHead,
    ResponseHeaders,
    ResponseStream,
    SubscriptionManager,
    SyncPublisher,
    TenantPublisher,
)
from fraiseql_subs._membership import Membership
from fraiseql_subs._publishing import Publishing

HERE = Path(__file__).parent
ACCEPTED = sorted((HERE / "accepted").glob("*.py"))
REPORTED = sorted((HERE / "reported").glob("*.py"))

ADAPTERS = {
    "GraphQLApp",
    "GraphQLTransportWSHandler",
    "SubscriptionRouterFactory",
    "WebSocketAdapter",
    "create_subscription_app",
}

SERVER = {
    *("host", "http_url", "path", "port", "publish_path", "publish_url", "unix", "url"),
    *("close", "wait_closed"),
}
"""What users read and call; the rest is for the program that a server ends."""


@pytest.fixture(scope="module")
def errors(tmp_path_factory) -> dict[str, list[tuple[int, str]]]:
    """The messages about all programs, which are checked together."""
    return by_file(check([*ACCEPTED, *REPORTED], tmp_path_factory.mktemp("cache")))


def used_names() -> set[str]:
    """Return the names and attributes that the correct programs use, beside their imports."""
    names = set()
    for path in ACCEPTED:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Name):
                names.add(node.id)
            elif isinstance(node, ast.Attribute):
                names.add(node.attr)
    return names


@pytest.mark.parametrize("path", ACCEPTED, ids=lambda path: path.stem)
def test_a_correct_program_passes(path, errors):
    assert errors[path.name] == []


@pytest.mark.parametrize("path", REPORTED, ids=lambda path: path.stem)
def test_each_mistake_is_reported_at_its_line_and_nothing_else_is(path, errors):
    mistakes = expected(path)
    said = errors[path.name]
    assert len(mistakes) >= 12
    assert {line for line, _ in said} == {line for line, _ in mistakes}
    for line, part in mistakes:
        assert any(part in text for place, text in said if place == line), (line, part, said)


def test_each_public_function_and_class_is_used():
    assert ({*fraiseql_subs.__all__} | ADAPTERS) - used_names() == set()


@pytest.mark.parametrize(
    "of",
    [
        Event,
        Executor,
        Membership,
        Publisher,
        Publishing,
        Receipt,
        ResponseHead,
        ResponseHeaders,
        ResponseStream,
        SubscriptionManager,
        SyncPublisher,
        TenantPublisher,
    ],
)
def test_each_method_and_property_is_used(of):
    assert {name for name in vars(of) if not name.startswith("_")} - used_names() == set()


def test_what_users_need_of_a_server_is_used():
    assert SERVER - used_names() == set()
