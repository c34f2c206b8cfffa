"""Accepted documents: their cost, introspection, persisted and trusted documents."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from fraiseql_subs import (
    ConfigurationError,
    Limits,
    SubscriptionManager,
    ValidationError,
    passthrough,
)

ORDERS = "subscription Orders { orders { id } }"
HASH = hashlib.sha256(ORDERS.encode()).hexdigest()


def make_manager(**options: Any) -> SubscriptionManager:
    return SubscriptionManager(
        [passthrough("orders", channel="orders")],
        schema="type Query { ok: Boolean } type Subscription { orders: Order }"
        " type Order { id: ID status: String }",
        **options,
    )


@pytest.mark.parametrize(
    ("limits", "document", "named"),
    [
        ({"max_depth": 1}, ORDERS, "2 fields deep, over the limit of 1 (max_depth)"),
        ({"max_complexity": 1}, ORDERS, "selects 2 fields, over the limit of 1 (max_complexity)"),
        (
            {"max_aliases": 1},
            "subscription { orders { a: id b: id } }",
            "has 2 aliases, over the limit of 1 (max_aliases)",
        ),
        (
            {"max_directives": 1},
            "subscription { orders { id @skip(if: false) status @skip(if: false) } }",
            "has 2 directives, over the limit of 1 (max_directives)",
        ),
        ({"max_tokens": 7}, ORDERS, "more tokens than the limit of 7 (max_tokens)"),
    ],
)
async def test_a_document_past_a_limit_is_refused_by_name_and_value(
    limits, document, named, serve, connect
):
    manager = make_manager(limits=Limits(**limits))
    client = await connect((await serve(manager)).url)
    id = await client.subscribe(document)
    (error,) = await client.receive_errors(id)
    assert named in error["message"]
    assert error["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    with pytest.raises(ValidationError, match=r"\(max_"):
        await anext(manager.subscribe(document))


async def test_introspection_can_be_switched_off_while_typename_stays(serve, connect):
    manager = make_manager(introspection=False)
    client = await connect((await serve(manager)).url)
    id = await client.subscribe("{ __schema { queryType { name } } }")
    (error,) = await client.receive_errors(id)
    assert error["message"].startswith("introspection is switched off here")
    id = await client.subscribe("{ __typename }")
    assert await client.receive_data(id) == {"__typename": "Query"}


async def persisted(client: Any, id: str, query: str | None) -> None:
    payload = {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": HASH}}}
    if query is not None:
        payload["query"] = query
    await client.send({"id": id, "type": "subscribe", "payload": payload})
    await client.settle()


@pytest.mark.parametrize("absent", [None, ""])
async def test_a_client_may_send_the_hash_once_a_text_was_sent_with_it(absent, serve, connect):
    manager = make_manager()
    client = await connect((await serve(manager)).url)
    await persisted(client, "1", absent)
    (error,) = await client.receive_errors("1")
    assert error["message"] == "PersistedQueryNotFound"
    assert error["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"
    await persisted(client, "1", ORDERS)
    await persisted(client, "2", absent)
    await manager.publish("orders", {"id": 7})
    received = {(await client.receive())["id"] for _ in range(2)}
    assert received == {"1", "2"}


async def test_a_hash_of_another_text_is_refused(serve, connect):
    client = await connect((await serve(make_manager())).url)
    await persisted(client, "1", "subscription { orders { status } }")
    (error,) = await client.receive_errors("1")
    assert "hash its exact text" in error["message"]


async def test_trusted_documents_alone_are_served_by_id_hash_or_text(serve, connect):
    manager = make_manager(trusted_documents={"orders": ORDERS})
    client = await connect((await serve(manager)).url)
    await client.send({"id": "id", "type": "subscribe", "payload": {"documentId": "orders"}})
    await persisted(client, "hash", None)
    await client.subscribe(ORDERS, id="text")
    await manager.publish("orders", {"id": 7})
    received = {(await client.receive())["id"] for _ in range(3)}
    assert received == {"id", "hash", "text"}
    id = await client.subscribe("subscription { orders { status } }")
    (error,) = await client.receive_errors(id)
    assert error["extensions"]["code"] == "DOCUMENT_NOT_TRUSTED"


@pytest.mark.parametrize(
    "manifest",
    [
        {"orders": ORDERS},
        {
            "format": "apollo-persisted-query-manifest",
            "version": 1,
            "operations": [{"id": "orders", "name": "Orders", "body": ORDERS}],
        },
    ],
    ids=["texts by id", "Apollo manifest"],
)
async def test_trusted_documents_are_read_from_a_file(manifest, tmp_path, serve, connect):
    path = tmp_path / "documents.json"
    path.write_text(json.dumps(manifest))
    manager = make_manager(trusted_documents=path)
    client = await connect((await serve(manager)).url)
    await client.send({"id": "1", "type": "subscribe", "payload": {"documentId": "orders"}})
    await client.settle()
    await manager.publish("orders", {"id": 7})
    assert await client.receive_data("1") == {"orders": {"id": "7"}}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read"),
        ("{", "is not JSON"),
        ("[]", "holds no documents"),
        ('{"orders": 1}', "entry 'orders' is not a text"),
        ('{"operations": [{"id": "orders"}]}', "lacks `id` or `body`"),
    ],
)
def test_a_file_without_documents_is_refused(content, problem, tmp_path):
    path = tmp_path / "documents.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match=problem):
        make_manager(trusted_documents=path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("subscription {", r"Syntax Error.*line 1, column"),
        ("", "Syntax Error"),
        ("subscription { nothing }", r"`?nothing`?.*line 1, column 16"),
        ("subscription($a: No) { orders { id } }", "No"),
        ("{ __schema { types { name } } }", "introspection"),
    ],
)
def test_trusted_documents_that_no_client_could_run_are_refused_by_their_ids(text, problem):
    documents = {"Fine": ORDERS, "Broken": text}
    with pytest.raises(ConfigurationError, match=f'trusted_documents .*"Broken": .*{problem}') as e:
        make_manager(trusted_documents=documents, introspection=False)
    assert "Fine" not in str(e.value)


def test_many_broken_trusted_documents_are_counted():
    documents = {f"Broken{number}": "{" for number in range(9)}
    with pytest.raises(ConfigurationError, match=r'"Broken0": .*"Broken4": .*and 4 more'):
        make_manager(trusted_documents=documents)
