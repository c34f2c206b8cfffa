"""Type hints as GraphQL types; graphql-core parses the printed schema."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NewType, Optional, TypedDict, TypeVar
from uuid import UUID

import graphql
import pydantic
import pytest
import typing_extensions
from typing_extensions import Doc, NotRequired, TypeAliasType

from fraiseql_subs.decorators import build_schema, passthrough, subscription
from fraiseql_subs.errors import SchemaError
from fraiseql_subs.schema import load_sdl
from fraiseql_subs.schema.names import camel_case
from fraiseql_subs.types import ID

T = TypeVar("T")
UserId = NewType("UserId", int)


class Status(enum.Enum):
    """Where an order stands."""

    PAID = "paid"
    OPEN = "open"


class Marker(enum.Enum):
    ONE = object()


@dataclass
class Line:
    sku: str
    unit_price: Decimal


@dataclass
class Order:
    """An order.

    Attributes:
        id: Not for the client.
    """

    id: ID
    owner: UserId
    created_at: datetime
    status: Status
    lines: list[Line]
    previous: Order | None = None
    _cache: int = 0


@dataclass
class Refund:
    amount: float


OrderEvent = TypeAliasType("OrderEvent", Order | Refund)


class Document(TypedDict):
    title_text: str
    page_count: NotRequired[int]


class Customer(pydantic.BaseModel):
    full_name: str = pydantic.Field(alias="fullName", description="Given and family name")
    user_id: int


@dataclass
class Window:
    since: datetime
    lines: list[Line] = field(default_factory=list)
    status: Status = Status.PAID
    limit: int | None = None
    token: str = field(default_factory=lambda: "made anew")


@dataclass
class Page(Generic[T]):
    items: list[T]


@dataclass
class Everything:
    whole: int
    real: float
    text: str
    truth: bool
    key: ID
    moment: datetime
    day: date
    clock: time
    uuid: UUID
    money: Decimal
    free: dict[str, Any]
    anything: Any
    mapping: Mapping[str, int]
    nested: list[list[int | None]] | None
    sequence: Sequence[int]
    numbers: tuple[int, ...]
    unique: set[str]
    legacy: Optional[str]  # noqa: UP045
    annotated: Annotated[int, Doc("a documented number")]


def sdl_of(returns, **arguments):
    """The schema of one subscription with this type and these arguments, read by graphql-core."""
    definition = passthrough("changed", returns, channel="c", arguments=arguments)
    schema = graphql.build_schema(build_schema([definition]).sdl)
    assert graphql.validate_schema(schema) == []
    return schema


def fields_of(schema, name):
    return {key: str(value.type) for key, value in schema.type_map[name].fields.items()}


def test_every_supported_hint_becomes_its_graphql_type():
    assert fields_of(sdl_of(Everything), "Everything") == {
        "whole": "Int!",
        "real": "Float!",
        "text": "String!",
        "truth": "Boolean!",
        "key": "ID!",
        "moment": "DateTime!",
        "day": "Date!",
        "clock": "Time!",
        "uuid": "UUID!",
        "money": "Decimal!",
        "free": "JSON!",
        "anything": "JSON",
        "mapping": "JSON!",
        "nested": "[[Int]!]",
        "sequence": "[Int!]!",
        "numbers": "[Int!]!",
        "unique": "[String!]!",
        "legacy": "String",
        "annotated": "Int!",
    }


def test_classes_may_refer_to_themselves_and_to_later_ones():
    assert fields_of(sdl_of(Order), "Order") == {
        "id": "ID!",
        "owner": "Int!",
        "createdAt": "DateTime!",
        "status": "Status!",
        "lines": "[Line!]!",
        "previous": "Order",
    }


def test_sources_hold_the_python_names_that_differ():
    source = build_schema([passthrough("changed", Order, channel="c")])
    assert source.sources == {
        ("Order", "createdAt"): "created_at",
        ("Line", "unitPrice"): "unit_price",
    }


def test_enum_values_are_the_member_values_where_json_has_them():
    @dataclass
    class Both:
        status: Status
        marker: Marker

    Both.__annotations__ = {"status": Status, "marker": Marker}
    source = build_schema([passthrough("changed", Both, channel="c")])
    assert source.enum_values == {
        "Status": [("PAID", "paid"), ("OPEN", "open")],
        "Marker": [("ONE", "ONE")],
    }


def test_keys_a_typed_dict_may_lack_are_nullable():
    assert fields_of(sdl_of(Document), "Document") == {"titleText": "String!", "pageCount": "Int"}


def test_total_false_makes_all_keys_nullable_but_the_required_ones():
    class Loose(TypedDict, total=False):
        a: int
        b: typing_extensions.Required[int]

    assert fields_of(sdl_of(Loose), "Loose") == {"a": "Int", "b": "Int!"}


def test_a_model_contributes_its_aliases_and_descriptions():
    schema = sdl_of(Customer)
    assert fields_of(schema, "Customer") == {"fullName": "String!", "userId": "Int!"}
    assert schema.type_map["Customer"].fields["fullName"].description == "Given and family name"
    source = build_schema([passthrough("changed", Customer, channel="c")])
    assert source.sources[("Customer", "fullName")] == "full_name"


def test_a_union_is_named_after_its_members_or_its_alias():
    members = {member.name for member in sdl_of(Order | Refund).type_map["OrderOrRefund"].types}
    assert members == {"Order", "Refund"}
    assert "OrderEvent" in sdl_of(OrderEvent | None).type_map


def test_docstrings_are_descriptions_without_their_sections_and_generated_ones_are_not():
    types = sdl_of(Order).type_map
    assert types["Order"].description == "An order."
    assert types["Status"].description == "Where an order stands."
    assert types["Line"].description is None
    assert sdl_of(Marker).type_map["Marker"].description is None
    documented = sdl_of(Everything).type_map["Everything"].fields["annotated"]
    assert documented.description == "a documented number"


def test_a_description_may_hold_quotes_and_a_backslash():
    text = 'say """hi""" \\ "'
    definition = passthrough("changed", int, channel="c", description=text)
    schema = graphql.build_schema(build_schema([definition]).sdl)
    assert schema.subscription_type.fields["changed"].description == text


def test_a_class_that_is_output_and_input_has_two_names():
    schema = sdl_of(Line, line=Line)
    argument = schema.subscription_type.fields["changed"].args["line"]
    assert str(argument.type) == "LineInput!"
    assert fields_of(schema, "LineInput") == {"sku": "String!", "unitPrice": "Decimal!"}


def test_a_class_that_is_input_only_keeps_its_name_and_its_defaults():
    schema = sdl_of(int, window=Window)
    fields = schema.type_map["Window"].fields
    assert {name: str(value.type) for name, value in fields.items()} == {
        "since": "DateTime!",
        "lines": "[Line!]!",
        "status": "Status!",
        "limit": "Int",
        "token": "String",
    }
    printed = graphql.print_type(schema.type_map["Window"])
    assert "lines: [Line!]! = []" in printed
    assert "status: Status! = PAID" in printed
    assert printed.count("=") == 2


def test_defaults_of_arguments_are_graphql_literals():
    @subscription(channel="c")
    def changed(
        limit: int = 10,
        ratio: float = 1,
        text: str = 'a "b"\n',
        status: Status = Status.OPEN,
        tags: Sequence[str] = ("x", "y"),
        line: Line = Line("a", Decimal("1.50")),  # noqa: B008
        free: Any = {"a": [1, None, True]},  # noqa: B006
        day: date = date(2024, 1, 31),
        missing: int | None = None,
    ) -> int: ...

    schema = graphql.build_schema(build_schema([changed.__subscription__]).sdl)
    assert graphql.validate_schema(schema) == []
    printed = graphql.print_type(schema.subscription_type)
    for argument in (
        "limit: Int! = 10",
        "ratio: Float! = 1",
        r'text: String! = "a \"b\"\n"',
        "status: Status! = OPEN",
        'tags: [String!]! = ["x", "y"]',
        'day: Date! = "2024-01-31"',
    ):
        assert f"{argument}, " in printed
    # Releases of graphql-core differ in the spaces inside braces.
    assert re.search(r"free: JSON = \{ ?a: \[1, null, true\] ?\}", printed)
    assert re.search(r'line: Line! = \{ ?sku: "a", unitPrice: "1\.50" ?\}', printed)
    assert "missing: Int)" in printed


@pytest.mark.parametrize(
    ("annotation", "remedy"),
    [
        (Literal["a", 1], "one kind"),
        (tuple[int, str], "tuple"),
        (list, "list"),
        (int | str, "union"),
        (bytes, "dataclass"),
        (None, 'passthrough("changed", Order, channel=...)'),
        (Page, "Page[Order]"),
        ("list[Missing]", "module level"),
    ],
)
def test_a_hint_without_graphql_type_names_the_place_and_the_remedy(annotation, remedy):
    with pytest.raises(SchemaError) as caught:
        sdl_of(annotation)
    assert str(caught.value).startswith('passthrough("changed"), return type: ')
    assert remedy in str(caught.value)


def test_a_field_without_graphql_type_is_named_with_its_class():
    class Broken(TypedDict):
        raw: bytes

    with pytest.raises(SchemaError, match=r"Broken\.raw: `bytes`"):
        sdl_of(Broken)


def test_a_union_as_argument_is_refused():
    with pytest.raises(SchemaError, match="no unions in arguments"):
        sdl_of(int, which=Order | Refund)


def test_a_default_of_another_type_names_function_and_parameter():
    @subscription(channel="c")
    def changed(limit: int = "ten") -> int: ...

    with pytest.raises(SchemaError, match=r"changed\(\), parameter `limit`: the default 'ten'"):
        build_schema([changed.__subscription__])


def test_two_classes_of_one_name_are_refused():
    @dataclass
    class Line:
        other: int

    Line.__annotations__ = {"other": int}
    with pytest.raises(SchemaError, match="another type named `Line`"):
        build_schema([passthrough("a", Order, channel="c"), passthrough("b", Line, channel="c")])


@pytest.mark.parametrize("name", ["Query", "ID", "JSON"])
def test_a_class_cannot_take_a_name_that_the_schema_uses(name):
    with pytest.raises(SchemaError, match=f"another type named `{name}`"):
        sdl_of(TypedDict(name, {"a": int}))


def test_two_fields_that_are_equal_in_graphql_are_refused():
    with pytest.raises(SchemaError, match="are both `userId`"):
        sdl_of(TypedDict("Twice", {"user_id": int, "userId": int}))


def test_enum_members_that_graphql_forbids_are_refused():
    with pytest.raises(SchemaError, match=r"Bad\.true"):
        sdl_of(enum.Enum("Bad", ["true"]))


def test_a_schema_without_subscriptions_is_valid():
    schema = graphql.build_schema(build_schema([]).sdl)
    assert graphql.validate_schema(schema) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("user_id", "userId"),
        ("userId", "userId"),
        ("_id", "_id"),
        ("class_", "class"),
        ("a__b_2", "aB2"),
    ],
)
def test_python_names_become_camel_case(name, expected):
    assert camel_case(name) == expected


def test_sdl_is_taken_as_text_as_path_and_as_file_name(tmp_path):
    text = "type Query { a: Int }"
    file = tmp_path / "schema.graphql"
    file.write_text(text, encoding="utf-8")
    assert load_sdl(text) == load_sdl(file) == load_sdl(str(file)) == text


@pytest.mark.parametrize("schema", ["missing.graphql", "schema"])
def test_a_schema_that_cannot_be_read_is_named(schema):
    with pytest.raises(SchemaError, match=schema):
        load_sdl(schema)
