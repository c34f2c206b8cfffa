"""Resolves the type parameters of generic classes and aliases.

`Page[Order]` is read as the class `Page` with the arguments `(Order,)`, and so is a class that
derives from it. pydantic creates a class for `Page[Order]`, whose fields already have their types.
"""

from __future__ import annotations

import collections.abc
from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, get_args, get_origin

import typing_extensions

from fraiseql_subs.schema.kinds import annotated, is_typeddict

Substitution: TypeAlias = dict[Any, Any]
"""Maps type variables to their types."""

_MODEL_ARGUMENTS = "__pydantic_generic_metadata__"


def parametrised(annotation: Any) -> tuple[Any, str, tuple[Any, ...]]:
    """Split `Page[Order]` into the class, the name of the generic class, and `(Order,)`.

    A class that is not generic has no arguments.
    """
    origin = get_origin(annotation)
    if origin is not None:
        return origin, origin.__name__, get_args(annotation)
    metadata = getattr(annotation, _MODEL_ARGUMENTS, None)
    if metadata and metadata["origin"] is not None:
        return annotation, metadata["origin"].__name__, tuple(metadata["args"])
    return annotation, annotation.__name__, ()


def substitute(annotation: Any, values: Substitution) -> Any:
    """Replace type variables by their types; an unknown one stays."""
    if isinstance(annotation, TypeVar):
        return values.get(annotation, annotation)
    open_ones = parameters(annotation)
    if not any(parameter in values for parameter in open_ones):
        return annotation
    return annotation[tuple(values.get(parameter, parameter) for parameter in open_ones)]


def ancestors(cls: Any, arguments: tuple[Any, ...] = ()) -> Iterator[tuple[Any, Substitution]]:
    """Yield a class and its base classes, nearest first, each with its type arguments."""
    values = dict(zip(parameters(cls), arguments, strict=False))
    yield cls, values
    # The bases of a class with their type arguments, including `Generic`.
    for base in vars(cls).get("__orig_bases__") or getattr(cls, "__bases__", ()):
        origin = get_origin(base) or base
        if origin in (object, Generic, Protocol) or not hasattr(origin, "__mro__"):
            continue
        given = tuple(substitute(argument, values) for argument in get_args(base))
        yield from ancestors(origin, given)


def member_hints(cls: Any, arguments: tuple[Any, ...] = ()) -> dict[str, Any]:
    """Return the resolved annotations of a class and its base classes.

    Raises:
        AttributeError, NameError, SyntaxError, TypeError: An annotation cannot be resolved.
    """
    hints: dict[str, Any] = {}
    arguments_of = {id(owner): values for owner, values in reversed([*ancestors(cls, arguments)])}
    # The bases of a TypedDict are not in its `__mro__`.
    owners = [owner for owner, _ in ancestors(cls)] if is_typeddict(cls) else cls.__mro__
    for owner in reversed(owners):
        own = annotated(owner)
        if not own:
            continue
        resolved = typing_extensions.get_type_hints(
            owner, localns=local_names(owner), include_extras=True
        )
        values = arguments_of.get(id(owner), {})
        for name in own:
            if not (name in hints and is_typeddict(owner) and _is_inherited(owner, name)):
                hints[name] = substitute(resolved[name], values)
    return {name: hints[name] for name in annotated(cls)} if is_typeddict(cls) else hints


def element_of(annotation: Any) -> Any:
    """Return the item type of an iterable class, such as `QuerySet[Order]`; None: not iterable.

    Strings and mappings count as not iterable.
    """
    origin = get_origin(annotation) or annotation
    if not isinstance(origin, type) or issubclass(origin, str | bytes | bytearray):
        return None
    if issubclass(origin, collections.abc.Mapping) or not _is_iterable(origin):
        return None
    given = get_args(annotation)
    if given:
        # For a generator, only the type that it yields.
        return given[0]
    for owner, _ in ancestors(origin):
        for base in vars(owner).get("__orig_bases__", ()):
            base_origin = get_origin(base)
            if isinstance(base_origin, type) and _is_iterable(base_origin):
                return get_args(base)[0]
    return None


def _is_iterable(cls: type) -> bool:
    return issubclass(cls, collections.abc.Iterable)


def parameters(annotation: Any) -> tuple[Any, ...]:
    """Return the type variables of a generic class or alias that have no argument yet."""
    metadata = getattr(annotation, _MODEL_ARGUMENTS, None)
    if metadata and metadata["parameters"]:
        return tuple(metadata["parameters"])
    parameters = getattr(annotation, "__parameters__", None) or getattr(
        annotation, "__type_params__", ()
    )
    return parameters if isinstance(parameters, tuple) else ()


def local_names(cls: Any) -> dict[str, Any]:
    """Return the names that annotations of a class may use although its module lacks them.

    These are the class, its base classes, and their type parameters.
    """
    names: dict[str, Any] = {}
    for owner in (*reversed(getattr(cls, "__mro__", ())), cls):
        names.update((parameter.__name__, parameter) for parameter in parameters(owner))
        names[owner.__name__] = owner
    return names


def _is_inherited(cls: Any, name: str) -> bool:
    """Whether a key of a TypedDict, which has all keys of its bases, comes from a base."""
    bases = [base for base, _ in ancestors(cls)][1:]
    own = annotated(cls)[name]
    return any(annotated(base).get(name, None) == own for base in bases)
