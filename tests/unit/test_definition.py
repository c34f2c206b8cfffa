"""Binding: the parameters of a resolver for one client subscription and for each event."""

import asyncio
import enum
import functools
from dataclasses import dataclass, field
from datetime import date, datetime, time, timezone
from decimal import Decimal
from typing import Any, TypedDict
from uuid import UUID

import pydantic
import pytest
from typing_extensions import NotRequired

from fraiseql_subs.decorators import passthrough, resolve, subscription
from fraiseql_subs.errors import GraphQLError
from fraiseql_subs.types import ID, Context

SDL = "type Query { a: Int } type Subscription { changed(userId: Int, max_rows: Int): Int }"


class Status(enum.Enum):
    PAID = "paid"


class Range(TypedDict):
    low_end: int
    high_end: NotRequired[int | None]


@dataclass
class Node:
    at: datetime
    children: "list[Node]" = field(default_factory=list)
    status: Status | None = None
    note: str = field(default_factory=lambda: "made anew")


class Customer(pydantic.BaseModel):
    user_id: int = pydantic.Field(alias="userKey", gt=0)
    nickname: str | None


CONTEXT = Context(connection_id="c1")


def bind(function, variables, schema=None):
    decorated = subscription(channel="c", name="changed")(function)
    _, [definition] = resolve([decorated.__subscription__], schema)
    return definition.bind(variables, CONTEXT).resolve


def bind_argument(annotation, value):
    def changed(argument) -> int:
        return argument

    changed.__annotations__["argument"] = annotation
    return bind(changed, {"argument": value})("event")


def only_event(event) -> int:
    return event


def nothing() -> int:
    return 1


def event_and_variables(event, variables) -> int:
    return event, variables


def all_three(event, variables, context) -> int:
    return event, variables, context


def another_order(context, event) -> int:
    return event, context


def by_keyword(*, variables, event) -> int:
    return event, variables


def with_arguments(event, variables, context, *, user_id: int, limit: int = 10) -> int:
    return event, variables, context, user_id, limit


def positional_only(event, /, context) -> int:
    return event, context


V = {"userId": 7}


@pytest.mark.parametrize(
    ("function", "variables", "expected"),
    [
        (only_event, {}, "e"),
        (nothing, {}, 1),
        (event_and_variables, V, ("e", V)),
        (all_three, V, ("e", V, CONTEXT)),
        (another_order, V, ("e", CONTEXT)),
        (by_keyword, V, ("e", V)),
        (with_arguments, V, ("e", V, CONTEXT, 7, 10)),
        (positional_only, V, ("e", CONTEXT)),
    ],
)
def test_parameters_are_matched_by_name_in_any_order(function, variables, expected):
    assert bind(function, variables)("e") == expected


def test_an_async_function_returns_a_coroutine_for_each_event():
    async def changed(event) -> int:
        return event + 1

    resolver = bind(changed, {})
    assert asyncio.run(resolver(1)) == 2
    assert changed.__subscription__.is_async


def test_an_async_function_inside_a_decorator_is_still_async():
    async def changed(event) -> int:
        return event

    @functools.wraps(changed)
    def wrapper(event):
        return changed(event)

    assert subscription(channel="c")(wrapper).__subscription__.is_async


def test_a_plain_function_is_not_async():
    assert not subscription(channel="c")(only_event).__subscription__.is_async


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (Status, "PAID", Status.PAID),
        (datetime, "2024-01-31T12:00:00Z", datetime(2024, 1, 31, 12, tzinfo=timezone.utc)),
        (date, "2024-01-31", date(2024, 1, 31)),
        (time, "12:30:00", time(12, 30)),
        (
            UUID,
            "123e4567-e89b-12d3-a456-426614174000",
            UUID("123e4567e89b12d3a456426614174000"),
        ),
        (Decimal, "12.50", Decimal("12.50")),
        (Decimal, 0.1, Decimal("0.1")),
        (list[Status], ["PAID"], [Status.PAID]),
        (list[date | None], [None, "2024-01-31"], [None, date(2024, 1, 31)]),
        (tuple[int, ...], [1, 2], (1, 2)),
        (set[str], ["a", "a"], {"a"}),
        (Status | None, None, None),
        (ID, "7", "7"),
        (dict[str, Any], {"a": [1]}, {"a": [1]}),
        (Range, {"lowEnd": 1, "highEnd": None}, {"low_end": 1, "high_end": None}),
        (Range, {"lowEnd": 1}, {"low_end": 1}),
    ],
)
def test_an_argument_arrives_as_its_annotated_type(annotation, value, expected):
    result = bind_argument(annotation, value)
    assert result == expected
    assert type(result) is type(expected)


def test_a_float_argument_written_as_whole_number_is_a_float():
    assert type(bind_argument(float, 1)) is float


def test_input_objects_are_instances_all_the_way_down_and_keep_their_defaults():
    moment = {"at": "2024-01-31T12:00:00Z"}
    node = bind_argument(Node, {**moment, "children": [{**moment, "status": "PAID"}], "note": None})
    at = datetime(2024, 1, 31, 12, tzinfo=timezone.utc)
    assert node == Node(at, children=[Node(at, status=Status.PAID)], note="made anew")


def test_models_are_validated_and_an_optional_field_left_out_is_none():
    assert bind_argument(Customer, {"userKey": 3}) == Customer(userKey=3, nickname=None)


def test_arguments_are_converted_once_and_not_at_each_event():
    def changed(event, node: Node) -> int:
        return node

    resolver = bind(changed, {"node": {"at": "2024-01-31T12:00:00Z"}})
    assert resolver(1) is resolver(2)


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (datetime, "soon", "argument argument: 'soon' is not a moment in ISO 8601"),
        (Decimal, "NaN", "argument argument: 'NaN' is not a decimal number"),
        (UUID, "1", "argument argument: '1' is not a UUID"),
        (Node, {"at": "soon"}, "argument argument: at: 'soon' is not a moment"),
        (Customer, {"userKey": 0}, "argument argument: userKey: Input should be greater than 0"),
    ],
)
def test_an_argument_without_python_value_is_an_error_for_the_client(annotation, value, message):
    with pytest.raises(GraphQLError) as caught:
        bind_argument(annotation, value)
    assert caught.value.message.startswith(message)
    assert caught.value.extensions == {"code": "BAD_USER_INPUT"}


def test_variables_of_a_typed_dict_have_its_keys_and_types():
    def changed(event, variables: Range) -> int:
        return variables

    assert bind(changed, {"lowEnd": 3})("e") == {"low_end": 3}


def test_an_optional_argument_left_out_is_its_default_or_none():
    def changed(a: int | None, b: int | None = 5) -> int:
        return a, b

    assert bind(changed, {})("e") == (None, 5)
    assert bind(changed, {"b": None})("e") == (None, None)


def test_with_sdl_arguments_are_found_in_either_spelling_and_variables_stay_as_they_are():
    def changed(event, variables: Range, user_id: int, max_rows) -> int:
        return variables, user_id, max_rows

    variables = {"userId": 7, "max_rows": 5}
    assert bind(changed, variables, SDL)("e") == (variables, 7, 5)


def test_a_passthrough_resolves_to_the_data_of_the_event():
    @dataclass
    class Event:
        data: dict

    assert passthrough("a", int, channel="c").bind({}, CONTEXT).resolve(Event({"id": 1})) == {
        "id": 1
    }
