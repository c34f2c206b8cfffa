"""Declarations of subscriptions: accepted and refused ones, and their form for the core."""

import enum
import types
from typing import Any, TypedDict

import graphql
import pytest
from typing_extensions import deprecated

from fraiseql_subs import decorators
from fraiseql_subs.decorators import build_schema, collect, passthrough, resolve, subscription
from fraiseql_subs.definition import Definition
from fraiseql_subs.errors import SchemaError

SDL = "type Query { a: Int } type Subscription { changed(user_id: Int): Int }"


class Status(enum.Enum):
    PAID = "paid"


class Variables(TypedDict):
    user_id: int


def resolved(function, schema=None, **options):
    decorated = subscription(**{"channel": "c", **options})(function)
    _, [definition] = resolve([decorated.__subscription__], schema)
    return definition


def test_a_decorated_function_stays_itself():
    def order_updated(event) -> int:
        return event

    assert subscription(channel="orders")(order_updated) is order_updated
    assert order_updated(3) == 3


def test_a_declaration_has_the_documented_defaults():
    @subscription(channel="orders")
    def order_updated(event) -> int: ...

    definition = order_updated.__subscription__
    assert isinstance(definition, Definition)
    assert (definition.field, definition.kind) == ("orderUpdated", "call")
    assert (definition.channel, definition.event_types, definition.filter) == ("orders", None, ())
    assert (definition.concurrency, definition.timeout) == (1, 30.0)


def test_options_reach_the_definition():
    @subscription(
        channel="orders",
        name="changed",
        event_types=["paid"],
        filter={"region": "eu", "price": "$$5", "status": Status.PAID},
        concurrency=4,
        timeout=None,
    )
    def order_updated(event) -> int: ...

    definition = order_updated.__subscription__
    assert definition.field == "changed"
    assert definition.event_types == ("paid",)
    assert definition.filter == (
        ("region", False, "eu"),
        ("price", False, "$5"),
        ("status", False, "paid"),
    )
    assert (definition.concurrency, definition.timeout) == (4, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channel": None}, 'channel is missing: name one, such as channel="orders"'),
        ({"channel": ""}, "channel is ''"),
        ({"channel": "orders.{user"}, "single brace"),
        ({"channel": "orders.{}"}, "not the name of an argument"),
        ({"name": "__typename"}, "'__typename' is not a GraphQL name"),
        ({"name": "order-updated"}, "`name=`"),
        ({"event_types": "paid"}, 'event_types=["order.paid"]'),
        ({"event_types": []}, "leave it out for all"),
        ({"event_types": [1]}, "event_types is (1,)"),
        ({"filter": ["user_id"]}, "pass a dict"),
        ({"filter": {"a..b": 1}}, "'a..b'"),
        ({"filter": {"a": object}}, "has no JSON"),
        ({"concurrency": 0}, "from 1 to 1024"),
        ({"concurrency": 1025}, "from 1 to 1024"),
        ({"concurrency": True}, "concurrency is True"),
        ({"timeout": 0}, "seconds above 0"),
        ({"timeout": float("inf")}, "None for no limit"),
    ],
)
def test_a_malformed_option_names_the_function_and_the_remedy(options, message):
    def order_updated(event) -> int: ...

    with pytest.raises(SchemaError) as caught:
        subscription(**{"channel": "c", **options})(order_updated)
    assert "order_updated()" in str(caught.value)
    assert message in str(caught.value)


def test_the_decorator_without_options_says_that_the_channel_is_missing():
    with pytest.raises(SchemaError, match="channel is missing"):

        @subscription
        def order_updated(event) -> int: ...


def test_a_generator_that_is_not_async_is_refused():
    def stream():
        yield 1

    with pytest.raises(SchemaError, match="write a source stream as `async def`"):
        subscription(stream)


@pytest.mark.parametrize(
    "options",
    [{"channel": "c"}, {"event_types": ["a"]}, {"filter": {"a": 1}}, {"initial": lambda: 1}],
)
def test_a_source_stream_has_nothing_of_events(options):
    async def stream():
        yield 1

    (option,) = options
    with pytest.raises(SchemaError, match=f"so `{option}` has no meaning"):
        subscription(**options)(stream)


def test_a_source_stream_receives_no_event():
    async def stream(event):
        yield 1

    with pytest.raises(SchemaError, match="remove the parameter `event`"):
        subscription(stream)


def test_a_source_stream_says_what_it_yields():
    async def stream() -> int:
        yield 1

    with pytest.raises(SchemaError, match=r"such as `-> AsyncIterator\[Order\]`"):
        build_schema([subscription(stream).__subscription__])


@pytest.mark.parametrize(
    ("initial", "problem"),
    [
        (42, "pass a function"),
        (lambda event: 1, "parameter `event` is neither"),
        (lambda other: 1, "parameter `other` is neither"),
    ],
)
def test_an_initial_value_comes_from_a_function_of_the_arguments(initial, problem):
    def orders(event, *, user_id: int) -> int: ...

    with pytest.raises(SchemaError, match=problem):
        subscription(channel="c", initial=initial)(orders)
    subscription(channel="c", initial=lambda user_id, variables, context: 1)(orders)


def test_something_else_than_a_function_is_refused():
    with pytest.raises(SchemaError, match="put it above a function"):
        subscription(channel="c")(42)


def test_parameters_that_have_no_name_for_graphql_are_refused():
    def rest(event, **kwargs) -> int: ...

    def positional(user_id: int, /) -> int: ...

    with pytest.raises(SchemaError, match=r"`\*\*kwargs`"):
        subscription(channel="c")(rest)
    with pytest.raises(SchemaError, match="remove the `/`"):
        subscription(channel="c")(positional)


@pytest.mark.parametrize("spelling", ["userId", "user_id"])
def test_arguments_in_channel_and_filter_get_their_graphql_names(spelling):
    def changed(event, *, user_id: int) -> int: ...

    definition = resolved(
        changed, channel=f"a.{{{{x}}}}.{{{spelling}}}", filter={"owner.id": f"${spelling}"}
    )
    assert definition.channel == "a.{{x}}.{userId}"
    assert definition.filter == (("owner.id", True, "userId"),)


def test_arguments_of_a_typed_dict_count_as_declared():
    def changed(event, variables: Variables) -> int: ...

    assert resolved(changed, channel="orders.{user_id}").channel == "orders.{userId}"


def test_an_argument_that_is_not_declared_is_named_with_those_that_are():
    def changed(event, *, user_id: int) -> int: ...

    with pytest.raises(SchemaError) as caught:
        resolved(changed, filter={"a": "$owner"})
    message = str(caught.value)
    assert "filter['a'] uses the argument `owner`" in message
    assert "(declared: userId)" in message
    assert "`*, owner: int`" in message


def test_a_passthrough_says_how_to_declare_its_argument():
    definition = passthrough("changed", int, channel="orders.{userId}")
    with pytest.raises(SchemaError, match=r'add arguments=\{"userId": int\}'):
        resolve([definition])


def test_a_passthrough_declares_arguments_by_type():
    definition = passthrough("changed", int, channel="orders.{user_id}", arguments={"user_id": int})
    source, [core] = resolve([definition])
    assert (core.kind, core.channel) == ("passthrough", "orders.{userId}")
    assert "changed(userId: Int!): Int!" in source.sdl


@pytest.mark.parametrize("annotation", [int | None, list[int], Any])
def test_an_argument_that_is_no_part_of_a_name_cannot_stand_in_a_channel(annotation):
    definition = passthrough("changed", int, channel="a.{key}", arguments={"key": annotation})
    with pytest.raises(SchemaError, match="use it in `filter`"):
        resolve([definition])


def test_an_argument_without_annotation_is_refused_when_the_schema_is_built():
    def changed(event, user_id) -> int: ...

    with pytest.raises(SchemaError, match=r"changed\(\), parameter `user_id`.*annotate it"):
        resolved(changed)


def test_a_missing_return_type_is_refused_when_the_schema_is_built_and_not_with_sdl():
    def changed(event): ...

    with pytest.raises(SchemaError, match=r"changed\(\), return type.*`-> Order`"):
        resolved(changed)
    assert resolved(changed, SDL).field == "changed"


def test_an_annotation_only_the_type_checker_can_see_does_no_harm_beside_the_arguments():
    def changed(event: "Event", context: "Context") -> int: ...  # noqa: F821

    assert resolved(changed).arguments == ()


def test_an_annotation_that_cannot_be_found_names_the_parameter():
    def changed(event, *, order: "Missing") -> int: ...  # noqa: F821

    with pytest.raises(SchemaError, match=r"parameter `order`.*module level"):
        resolved(changed)


def test_with_sdl_names_of_arguments_stay_as_they_are_written():
    def changed(event): ...

    assert resolved(changed, SDL, channel="a.{user_id}").channel == "a.{user_id}"


def test_with_sdl_annotations_of_arguments_are_still_checked():
    def changed(event, user_id: bytes): ...

    with pytest.raises(SchemaError, match="parameter `user_id`"):
        resolved(changed, SDL)


def test_description_and_deprecation_stand_in_the_schema():
    @deprecated("use other")
    @subscription(channel="c")
    def changed(event) -> int:
        """Tell of changes.

        Args:
            event: Not for the client.
        """

    field = graphql.build_schema(build_schema(collect([changed])).sdl).subscription_type.fields
    assert field["changed"].description == "Tell of changes."
    assert field["changed"].deprecation_reason == "use other"


def test_one_argument_declared_twice_is_refused():
    def changed(event, variables: Variables, user_id: int) -> int: ...

    with pytest.raises(SchemaError, match="both the argument `userId`"):
        resolved(changed)


@subscription(channel="c")
def in_this_module(event) -> int: ...


feed = passthrough("feed", int, channel="c")


def test_a_module_contributes_its_declarations_and_not_its_imports():
    module = types.ModuleType(__name__)
    vars(module).update(in_this_module=in_this_module, alias=in_this_module, feed=feed, other=1)
    assert [d.field for d in collect([module])] == ["inThisModule", "feed"]

    importer = types.ModuleType("importer")
    vars(importer).update(in_this_module=in_this_module, feed=feed)
    with pytest.raises(SchemaError, match="importer declares no subscriptions"):
        collect([importer])


def test_functions_and_definitions_are_collected_in_their_order():
    assert [d.field for d in collect([feed, in_this_module])] == ["feed", "inThisModule"]


def test_two_subscriptions_of_one_name_are_refused():
    with pytest.raises(SchemaError, match=r"both `Subscription\.feed`"):
        collect([feed, passthrough("feed", int, channel="other")])


@pytest.mark.parametrize("items", ["orders", in_this_module, decorators])
def test_a_single_item_is_refused_with_the_list_to_write(items):
    with pytest.raises(SchemaError, match="pass a list"):
        collect(items)


def test_an_undecorated_function_is_refused_with_the_decorator_to_write():
    def plain(event) -> int: ...

    with pytest.raises(SchemaError, match=r"@subscription\(channel=\.\.\.\)"):
        collect([plain])
