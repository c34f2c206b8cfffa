"""The declaration of one subscription, in the form that the core reads."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import sys
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from functools import cached_property, partial
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from fraiseql_subs._core import read_event
from fraiseql_subs.errors import GraphQLError, SchemaError
from fraiseql_subs.schema import descriptions
from fraiseql_subs.schema.annotations import evaluate, read_hint, read_return_hint
from fraiseql_subs.schema.build import SubscriptionField
from fraiseql_subs.schema.classes import MISSING, Field, fields_of, make_field
from fraiseql_subs.schema.deprecation import without_warning
from fraiseql_subs.schema.enums import EnumTable
from fraiseql_subs.schema.hints import (
    Hint,
    ListHint,
    ObjectHint,
    OptionalHint,
    ScalarHint,
    UnionHint,
    is_nullable,
)
from fraiseql_subs.schema.inputs import Converter, converter
from fraiseql_subs.schema.names import check_name
from fraiseql_subs.schema.routing import Condition
from fraiseql_subs.schema.signature import Signature, read_signature
from fraiseql_subs.types import Context


@dataclasses.dataclass(frozen=True, slots=True)
class Bound:
    """The functions that resolve one client subscription.

    Attributes:
        resolve: Takes an event and returns a coroutine or a value; without an event, returns a
            stream.
        initial: Returns the coroutine or value that is sent first; None: no initial value.
        variables: With `batch`, the arguments that a `Call` has.
        context: With `batch`, the context that a `Call` has; None: it has none.
    """

    resolve: Callable[..., Any]
    initial: Callable[[], Any] | None = None
    variables: Any = None
    context: Context | None = None


BAD_INPUT = {"code": "BAD_USER_INPUT"}
"""Extensions of the error for an argument that cannot be converted to its Python type."""


@dataclasses.dataclass(frozen=True, eq=False)
class Definition:
    """One subscription field: the source of its events, and the function that resolves them.

    Created by `subscription` and `passthrough`. Type hints are read later, when a manager needs
    them, so that they may refer to classes that are defined further down.

    Attributes:
        field: GraphQL name.
        kind: `"call"`: `bind` returns a function that resolves an event. `"stream"`: `bind` returns
            a function that yields the values. `"passthrough"`: the event's data is the value,
            without Python code. `"delegate"`: yields whole responses for all operations that no
            other definition serves.
        channel: Channel, or a template with arguments such as `"orders.{userId}"`; None for a
            stream and a delegate.
        event_types: Only these types of events; None: all.
        filter: Conditions on the event's data, all of which must hold. `decorators.resolve`
            converts the arguments in `channel` and `filter` to their GraphQL names.
        filter_types: Types of the filter's constants by path, taken from their classes: the name of
            a scalar, or an enum.
        concurrency: Events of one subscription resolved at once (count, 1 to 1024).
        timeout: Time limit of one call (seconds); None: unlimited.
        initial: Function that returns the value that is sent first; None: no initial value.
        shared: Whether subscribers with equal operation and arguments share one call per event.
        batch: Whether calls that start together are one call of the function.
        description: Text for the schema; None: the docstring of the function.
        function: The resolver; None for a passthrough.
        returns: The type of a passthrough; otherwise unused.
        declared: The arguments of a passthrough or a batch: name to type, or a class with a field
            for each; otherwise empty.
        module: Name of the module that declares it.
        typed: Whether the schema is built from type hints; False if it is SDL.
        partial: Whether the served schema has subscriptions that the delegate's executor does not
            know.
    """

    field: str
    kind: Literal["call", "passthrough", "stream", "delegate"]
    channel: str | None
    event_types: tuple[str, ...] | None = None
    filter: tuple[Condition, ...] = ()
    filter_types: Mapping[str, str | EnumTable] = dataclasses.field(
        default_factory=dict, repr=False
    )
    concurrency: int = 1
    timeout: float | None = None
    initial: Callable[..., Any] | None = dataclasses.field(default=None, repr=False)
    shared: bool = False
    batch: bool = False
    description: str | None = None
    function: Callable[..., Any] | None = dataclasses.field(default=None, repr=False)
    returns: Any = dataclasses.field(default=None, repr=False)
    declared: Mapping[str, Any] | type[Any] = dataclasses.field(default_factory=dict, repr=False)
    module: str = dataclasses.field(default="", repr=False)
    typed: bool = dataclasses.field(default=True, repr=False)
    partial: bool = dataclasses.field(default=False, repr=False)

    @property
    def where(self) -> str:
        """Name of the declaration in errors."""
        if self.function is None:
            return f'passthrough("{self.field}")'
        return f"{self.function.__qualname__}()"

    @property
    def is_async(self) -> bool:
        """Whether calls return coroutines, also those of an `async def` inside a decorator."""
        return _is_async(self.function)

    @property
    def is_initial_async(self) -> bool:
        """Whether calls of `initial` return coroutines."""
        return _is_async(self.initial)

    @property
    def is_initial_stream(self) -> bool:
        """Whether calls of `initial` return generators of several values."""
        return self.initial is not None and _is_generator(inspect.unwrap(self.initial))

    @property
    def takes_context(self) -> bool:
        """Whether its functions can see the client; otherwise no `Context` is made for `bind`."""
        if self.kind == "delegate" or (self.batch and not self.shared):
            return True
        functions = [f for f in (self.function, self.initial) if f is not None]
        return any("context" in inspect.signature(f).parameters for f in functions)

    @cached_property
    def signature(self) -> Signature | None:
        """The parameters of the function; None for a passthrough or a batch.

        Raises:
            SchemaError: An annotation is not a GraphQL type, or an argument is declared twice.
        """
        if self.function is None or self.batch:
            return None
        return read_signature(self.function, self.where, typed=self.typed)

    @cached_property
    def arguments(self) -> tuple[Field, ...]:
        """The GraphQL arguments that the type hints declare.

        Raises:
            SchemaError: An annotation is not a GraphQL type, or an argument is declared twice.
        """
        if self.signature is not None:
            return self.signature.arguments
        if isinstance(self.declared, Mapping):
            return tuple(self._declared_argument(*each) for each in self.declared.items())
        hint = read_hint(self.declared, f"{self.where}, arguments")
        assert isinstance(hint, ObjectHint), "the declaration was checked"
        return tuple(field for field in fields_of(hint) if field.is_input)

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """Names and GraphQL names of the arguments that the field of a schema in SDL has to have.

        Empty if the schema is built from type hints.
        """
        if self.typed:
            return []
        signature = self.signature
        declared = self.arguments if signature is None else signature.parameters.values()
        return [(field.name, field.graphql_name) for field in declared]

    def check(self) -> None:
        """Check the annotations that do not depend on the schema.

        Raises:
            SchemaError: That of an argument is not a GraphQL type or cannot be resolved, or that of
                a batch is no list.
        """
        _ = self._converters
        if self.batch:
            self._check_list()

    def hints(self) -> Iterator[Hint]:
        """Yield the types of the value and the arguments whose annotations are GraphQL types.

        With a schema in SDL, annotations need not be GraphQL types.
        """
        with contextlib.suppress(SchemaError):
            yield self._read_returns()
        with contextlib.suppress(SchemaError):
            yield from (argument.hint for argument in self.arguments)

    @property
    def returned(self) -> tuple[int, str, str, str] | None:
        """The declared type of its values, for a schema in SDL; None: unknown.

        It has the number of lists around the values, "object", "leaf" or "any", the GraphQL name,
        and the annotation.
        """
        if self.typed:
            return None
        try:
            hint = self._read_returns()
        except SchemaError:
            # With a schema in SDL an annotation need not be a GraphQL type.
            return None
        lists = 0
        while isinstance(hint, OptionalHint | ListHint):
            lists += isinstance(hint, ListHint)
            hint = hint.of if isinstance(hint, OptionalHint) else hint.item
        kind = "object" if isinstance(hint, ObjectHint | UnionHint) else "leaf"
        if hint == ScalarHint("JSON"):
            kind = "any"
        written = self._return_annotation()
        if self.batch:
            written = _listed(evaluate(written, self._namespace(), self.where), self.where)
        text = written if isinstance(written, str) else inspect.formatannotation(written)
        return lists, kind, hint.name, text

    def root_field(self) -> SubscriptionField:
        """Return the field for the schema.

        Raises:
            SchemaError: A type hint is missing or no GraphQL type.
        """
        if self.signature is not None and self.signature.unannotated:
            raise SchemaError(
                f"{self.where}, parameter `{self.signature.unannotated[0]}`: it is a GraphQL "
                "argument and needs a type: annotate it, such as `user_id: int`"
            )
        function = self.function
        description = self.description or descriptions.from_docstring(
            None if function is None else function.__doc__
        )
        return SubscriptionField(
            name=self.field,
            where=self.where,
            returns=self._read_returns(),
            arguments=self.arguments,
            description=description,
            deprecation=getattr(function, "__deprecated__", None),
        )

    def bind(
        self, variables: dict[str, Any], context: Context | None, names: Iterable[str] = ()
    ) -> Bound:
        """Return the functions that resolve one client subscription.

        Arguments are converted here, once, not for each event.

        Args:
            variables: Coerced JSON arguments by GraphQL name, without those that the client left
                out.
            context: Passed to a function that has the parameter `context`; None if none has it.
            names: GraphQL names of all arguments of the field; for a batch.

        Raises:
            GraphQLError: An argument cannot be converted to its annotated Python type.
        """
        if self.function is not None and self.batch:
            return self._bind_batch(self.function, variables, context, names)
        if self.function is None or self.signature is None:
            return Bound(lambda event: event.data)
        values: dict[str, Any] = {}
        for name in self.signature.order:
            if name == "variables":
                values[name] = self._convert_variables(variables)
            elif name == "context":
                values[name] = context
            elif name != "event":
                value = self._convert_argument(self.signature.parameters[name], variables)
                if value is not MISSING:
                    values[name] = value
        initial = self._bind_initial({"variables": variables, "context": context, **values})
        function = without_warning(self.function)
        if self.kind == "stream":
            return Bound(partial(function, **values), initial)
        resolve = _with_event(function, self.signature, values)
        if (read := self.signature.read_event) is not None:
            return Bound(lambda event: resolve(read_event(event, read)), initial)
        return Bound(resolve, initial)

    def _bind_batch(
        self,
        function: Callable[..., Any],
        variables: dict[str, Any],
        context: Context | None,
        names: Iterable[str],
    ) -> Bound:
        values = self._declared_values(variables, names)
        return Bound(
            without_warning(function),
            self._bind_initial({**self._by_name(values), "variables": values, "context": context}),
            variables=values,
            context=None if self.shared else context,
        )

    def _declared_values(self, variables: dict[str, Any], names: Iterable[str]) -> Any:
        """Return what `Call.variables` is: a dict, or an instance of the declared class."""
        if not isinstance(self.declared, Mapping):
            # A schema in SDL may use either name for an argument.
            given = {
                field.graphql_name: variables[name]
                for field in self.arguments
                for name in (field.name, field.graphql_name)
                if name in variables
            }
            return self._convert_variables(given)
        values = {
            argument.name: self._convert_argument(argument, variables)
            for argument in self.arguments
        }
        # With a schema in SDL, arguments need not be declared. One that is absent is None too: it
        # must not be an exception in the function, which is the error of all its calls.
        declared = {name for each in self.arguments for name in (each.name, each.graphql_name)}
        for name in [*names, *variables]:
            if name not in declared:
                values[name] = variables.get(name)
        return values

    def _by_name(self, values: Any) -> dict[str, Any]:
        if isinstance(values, dict):
            return values
        return {field.name: getattr(values, field.name) for field in self.arguments}

    def _bind_initial(self, values: Mapping[str, Any]) -> Callable[[], Any] | None:
        if self.initial is None:
            return None
        names = inspect.signature(self.initial).parameters
        initial = without_warning(self.initial)
        if inspect.isgeneratorfunction(inspect.unwrap(initial)):
            initial = _as_async(initial)
        return partial(initial, **{name: values[name] for name in names if name in values})

    @cached_property
    def _converters(self) -> dict[str, Converter | None]:
        """Converters of the parameters by name; None: the JSON value needs no conversion."""
        signature = self.signature
        if signature is None:
            if not self.batch:
                return {}
            if isinstance(self.declared, type):
                return {"variables": converter(read_hint(self.declared, self.where))}
            return {argument.name: converter(argument.hint) for argument in self.arguments}
        hints = {name: argument.hint for name, argument in signature.parameters.items()}
        if signature.variables is not None:
            hints["variables"] = signature.variables
        return {name: converter(hint) for name, hint in hints.items()}

    def _convert_variables(self, variables: dict[str, Any]) -> Any:
        convert = self._converters.get("variables")
        if convert is None:
            return variables
        try:
            return convert(variables)
        except ValueError as error:
            raise GraphQLError(f"argument {error}", extensions=BAD_INPUT) from error

    def _convert_argument(self, argument: Field, variables: dict[str, Any]) -> Any:
        # A schema in SDL may use either name for the argument.
        key = argument.graphql_name if argument.graphql_name in variables else argument.name
        value = variables.get(key)
        if value is None:
            given = key in variables and is_nullable(argument.hint)
            return None if given or argument.required else MISSING
        convert = self._converters[argument.name]
        if convert is None:
            return value
        try:
            return convert(value)
        except ValueError as error:
            raise GraphQLError(f"argument {key}: {error}", extensions=BAD_INPUT) from error

    def _declared_argument(self, name: str, annotation: Any) -> Field:
        place = f"{self.where}, arguments[{name!r}]"
        annotation = evaluate(annotation, self._namespace(), place)
        argument = make_field(name, annotation, place)
        check_name(argument.graphql_name, place, "rename the argument")
        return argument

    def _read_returns(self) -> Hint:
        place = f"{self.where}, return type"
        annotation = self._return_annotation()
        if annotation is inspect.Signature.empty and self.function is None:
            raise SchemaError(
                f"{place}: there is none to build the schema from: pass one, such as "
                f'passthrough("{self.field}", Order, channel=...), or pass a `schema=` to the '
                "manager"
            )
        if annotation is inspect.Signature.empty:
            raise SchemaError(
                f"{place}: there is none to build the schema from: annotate it, such as "
                f"`-> {'list[Order]' if self.batch else 'Order'}`, or pass a `schema=` to the "
                "manager"
            )
        annotation = evaluate(annotation, self._namespace(), place)
        if self.kind == "stream":
            annotation = _yielded(annotation, place)
        if self.batch:
            annotation = _listed(annotation, place)
        return read_return_hint(annotation, place)

    def _check_list(self) -> None:
        place = f"{self.where}, return type"
        annotation = self._return_annotation()
        if annotation is inspect.Signature.empty:
            return
        try:
            annotation = evaluate(annotation, self._namespace(), place)
        except SchemaError:
            # With a schema in SDL an annotation need not be a GraphQL type.
            return
        is_open = annotation in (Any, object) or (get_origin(annotation) or annotation) in _LISTS
        if not is_open:
            _listed(annotation, place)

    def _return_annotation(self) -> Any:
        if self.function is None:
            # `None` means that the type was left out.
            return inspect.Signature.empty if self.returns is None else self.returns
        return inspect.signature(self.function).return_annotation

    def _namespace(self) -> Mapping[str, Any]:
        if self.function is not None:
            return inspect.unwrap(self.function).__globals__  # type: ignore[no-any-return]
        module = sys.modules.get(self.module)
        return {} if module is None else vars(module)


def _yielded(annotation: Any, place: str) -> Any:
    arguments = get_args(annotation)
    if get_origin(annotation) not in _STREAMS or not arguments:
        raise SchemaError(
            f"{place}: it does not say what the stream yields: annotate it, such as "
            "`-> AsyncIterator[Order]`"
        )
    return arguments[0]


def _listed(annotation: Any, place: str) -> Any:
    """Return what the list of a batch holds, without the exceptions among it."""
    arguments = get_args(annotation)
    if get_origin(annotation) not in _LISTS or not arguments:
        raise SchemaError(
            f"{place}: a batch returns a list with one result for each call: annotate it, such as "
            "`-> list[Order]`"
        )
    item = arguments[0]
    if get_origin(item) in (Union, UnionType):
        members = get_args(item)
        sent = [each for each in members if not _is_exception(each)]
        if sent and len(sent) != len(members):
            return Union[tuple(sent)]  # noqa: UP007 - of a list
    return item


def _is_exception(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseException)


_LISTS = (list, Sequence)

_STREAMS = (AsyncIterator, AsyncIterable, AsyncGenerator)


def _is_generator(function: object) -> bool:
    return inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function)


def _as_async(generator: Callable[..., Iterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
    async def values(**arguments: Any) -> AsyncIterator[Any]:
        for value in generator(**arguments):
            yield value

    return values


def _is_async(function: Callable[..., Any] | None) -> bool:
    return function is not None and (
        inspect.iscoroutinefunction(function)
        or inspect.iscoroutinefunction(inspect.unwrap(function))
    )


def _with_event(
    function: Callable[..., Any], signature: Signature, values: dict[str, Any]
) -> Callable[[Any], Any]:
    """Bind all parameters except `event`, in the form that is fastest to call for each event."""
    if "event" not in signature.order:
        return lambda event: function(**values)
    if signature.positional[:1] != ("event",):
        return lambda event: function(event=event, **values)
    if not values:
        return function
    if signature.positional == ("event", *values):
        fixed = tuple(values.values())
        if len(fixed) == 1:
            (only,) = fixed
            return lambda event: function(event, only)
        if len(fixed) == 2:
            first, second = fixed
            return lambda event: function(event, first, second)
    return partial(function, **values)
