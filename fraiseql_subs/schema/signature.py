"""Reads the parameters of a resolver: its GraphQL arguments, and the other values that it takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from fraiseql_subs._core import Event
from fraiseql_subs.errors import SchemaError
from fraiseql_subs.schema.annotations import evaluate, read_hint, unwrapped
from fraiseql_subs.schema.classes import MISSING, Field, fields_of, make_field
from fraiseql_subs.schema.events import reader_of
from fraiseql_subs.schema.hints import ObjectHint
from fraiseql_subs.schema.inputs import Converter
from fraiseql_subs.schema.kinds import is_object_class, is_typeddict
from fraiseql_subs.schema.names import check_name
from fraiseql_subs.types import Context

PROVIDED = ("event", "variables", "context")
"""Parameters that are recognised by name; every other one is a GraphQL argument."""

_CLASSES: dict[str, type] = {"event": Event, "context": Context}
"""Classes of the values that are passed under these names."""

_VALUES: tuple[Any, ...] = (int, float, str, bool, bytes, list, tuple, set, frozenset)

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters of a resolver.

    Attributes:
        order: Names of all parameters, in their order.
        positional: Names of the parameters that may be passed by position.
        parameters: The parameters that are GraphQL arguments, by name.
        variables: The class that annotates the parameter `variables`, if its fields are GraphQL
            arguments; otherwise None.
        arguments: All GraphQL arguments: the parameters and the fields of `variables`.
        unannotated: Names of the parameters that lack the annotation of an argument.
        read_event: Makes `event.data` for `event: Event[Order]`; None: the data are passed as they
            are.
    """

    order: tuple[str, ...]
    positional: tuple[str, ...]
    parameters: dict[str, Field]
    variables: ObjectHint | None
    arguments: tuple[Field, ...]
    unannotated: tuple[str, ...]
    read_event: Converter | None = None


def check_parameters(function: Callable[..., Any], where: str) -> None:
    """Check that each parameter can be passed by name.

    Raises:
        SchemaError: The function has `*args`, `**kwargs`, or positional-only parameters other
            than a first `event`.
    """
    for index, parameter in enumerate(inspect.signature(function).parameters.values()):
        if parameter.kind in _VARIADIC:
            raise SchemaError(
                f"{where}: parameter `{parameter}` declares no GraphQL argument: name each "
                "argument, such as `*, user_id: int`, or read `variables`"
            )
        by_position = parameter.kind is inspect.Parameter.POSITIONAL_ONLY
        if by_position and (index, parameter.name) != (0, "event"):
            raise SchemaError(
                f"{where}: parameter `{parameter.name}` is positional-only, but parameters are "
                "matched by name: remove the `/`"
            )


def read_signature(function: Callable[..., Any], where: str, *, typed: bool) -> Signature:
    """Read the parameters of a resolver.

    Args:
        function: The resolver.
        where: Its name, for errors.
        typed: Whether the schema is built from its annotations. If not, `variables` is passed
            unchanged, with any annotation.

    Raises:
        SchemaError: An annotation is not a GraphQL type, or an argument is declared twice.
    """
    namespace = inspect.unwrap(function).__globals__
    declared = inspect.signature(function).parameters
    parameters: dict[str, Field] = {}
    variables: ObjectHint | None = None
    read_event: Converter | None = None
    for name, parameter in declared.items():
        place = f"{where}, parameter `{name}`"
        if name == "variables" and typed:
            annotation = evaluate(_annotation(parameter), namespace, place)
            hint = read_hint(annotation, place)
            variables = hint if isinstance(hint, ObjectHint) else None
        elif name in PROVIDED:
            annotation = _check_provided(name, parameter, namespace, place)
            if name == "event":
                read_event = _read_event(annotation, place)
        else:
            annotation = evaluate(_annotation(parameter), namespace, place)
            _check_name_of_provided(annotation, place)
            parameters[name] = make_field(name, annotation, place, _default(parameter))
            check_name(parameters[name].graphql_name, place, "rename the parameter")
    arguments = (*parameters.values(), *(fields_of(variables) if variables else ()))
    _check_distinct(arguments)
    return Signature(
        order=tuple(declared),
        positional=tuple(name for name, p in declared.items() if p.kind in _POSITIONAL),
        parameters=parameters,
        variables=variables,
        arguments=arguments,
        unannotated=tuple(
            name for name in parameters if declared[name].annotation is inspect.Parameter.empty
        ),
        read_event=read_event,
    )


def _check_provided(
    name: str, parameter: inspect.Parameter, namespace: Mapping[str, Any], place: str
) -> Any:
    """Return the annotation, and refuse another class than that of the passed value."""
    expected = _CLASSES.get(name)
    if expected is None or parameter.annotation is inspect.Parameter.empty:
        return None
    try:
        annotation = evaluate(parameter.annotation, namespace, place)
    except SchemaError:
        if name == "event" and "[" in str(parameter.annotation):
            # The data are made instances of that class.
            raise
        # A name that is imported only for type checkers; it is not needed here.
        return None
    if annotation is expected or not isinstance(annotation, type):
        return annotation
    # A TypedDict may describe the keys of the data.
    if annotation in _VALUES or (is_object_class(annotation) and not is_typeddict(annotation)):
        remedy = f"annotate `{expected.__name__}`"
        if name == "event":
            remedy = f"annotate `Event[{annotation.__name__}]`, and read `event.data`"
        raise SchemaError(
            f"{place}: its value is of the class `{expected.__name__}`, not "
            f"`{annotation.__name__}`: {remedy}"
        )
    return annotation


def _read_event(annotation: Any, place: str) -> Converter | None:
    """Return what makes `event.data`; it is never ignored that a class is named."""
    annotation = unwrapped(annotation, place)
    if get_origin(annotation) is Event:
        return reader_of(annotation, place)
    for inside in get_args(annotation):
        inside = unwrapped(inside, place)
        if get_origin(inside) is Event:
            name = getattr(get_args(inside)[0], "__name__", str(get_args(inside)[0]))
            raise SchemaError(
                f"{place}: its value is one event, which is never None: annotate `Event[{name}]`"
            )
    return None


def _check_name_of_provided(annotation: Any, place: str) -> None:
    for name, cls in _CLASSES.items():
        if annotation is cls or get_origin(annotation) is cls:
            raise SchemaError(
                f"{place}: parameters are matched by name, and `{cls.__name__}` is not a "
                f"GraphQL type: name the parameter `{name}`"
            )


def _annotation(parameter: inspect.Parameter) -> Any:
    empty = parameter.annotation is inspect.Parameter.empty
    return Any if empty else parameter.annotation


def _default(parameter: inspect.Parameter) -> Any:
    return MISSING if parameter.default is inspect.Parameter.empty else parameter.default


def _check_distinct(arguments: tuple[Field, ...]) -> None:
    by_name: dict[str, Field] = {}
    for argument in arguments:
        other = by_name.setdefault(argument.graphql_name, argument)
        if other is not argument:
            raise SchemaError(
                f"{argument.where} and {other.where} are both the argument "
                f"`{argument.graphql_name}` in GraphQL: rename or remove one of them"
            )
