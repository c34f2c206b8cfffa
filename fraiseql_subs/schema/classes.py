"""Reads the fields of classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Final

import typing_extensions

from fraiseql_subs.errors import SchemaError
from fraiseql_subs.schema import descriptions
from fraiseql_subs.schema.annotations import qualifiers, read_hint, unresolved
from fraiseql_subs.schema.computed import computed_fields
from fraiseql_subs.schema.generics import member_hints
from fraiseql_subs.schema.hints import Hint, ObjectHint, nullable
from fraiseql_subs.schema.kinds import (
    is_attrs_class,
    is_model_class,
    is_named_tuple,
    is_struct_class,
    is_typeddict,
)
from fraiseql_subs.schema.markers import Deprecated, Name, marker
from fraiseql_subs.schema.names import camel_case, check_name, is_name

MISSING: Final[Any] = dataclasses.MISSING
"""Marks the absence of a default."""

# Factories that return an equal value at each call, so that the schema can contain it.
_CONSTANT_FACTORIES = (list, dict, tuple, set, frozenset)


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One field of a class, or one argument of a subscription.

    Attributes:
        name: Attribute, key or parameter in Python.
        graphql_name: Name in the schema.
        where: Location of the declaration, such as ``"Order.total"``, for errors.
        hint: Its type.
        default: Constant default; `MISSING` without one, or if a factory creates it.
        required: Whether a value is required: there is no default and no factory.
        description: Text for the schema.
        input_name: Parameter of the class for the value: `name`, or the alias of a model.
        is_input: Whether the class accepts the value as a parameter.
        deprecation: Reason of the deprecation; None: not deprecated.
    """

    name: str
    graphql_name: str
    where: str
    hint: Hint
    default: Any = MISSING
    required: bool = True
    description: str | None = None
    input_name: str = ""
    is_input: bool = True
    deprecation: str | None = None


def fields_of(hint: ObjectHint, *, is_output: bool = False) -> list[Field]:
    """Read the fields of a class in the order of their declaration, computed ones last.

    Args:
        hint: The class.
        is_output: Whether its values are sent; fields that pydantic excludes are then left out.

    Raises:
        SchemaError: A field has no GraphQL type, two fields have the same GraphQL name, or there
            is no field at all.
    """
    fields = [*_reader(hint.cls)(hint, is_output), *_computed_fields(hint)]
    if not fields:
        raise SchemaError(f"{hint.where} has no fields: a GraphQL type needs at least one")
    by_name: dict[str, Field] = {}
    for field in fields:
        check_name(field.graphql_name, field.where, "rename the field")
        other = by_name.setdefault(field.graphql_name, field)
        if other is not field:
            raise SchemaError(
                f"{field.where} and {other.where} are both `{field.graphql_name}` in GraphQL: "
                "rename one of them"
            )
    return fields


def make_field(name: str, annotation: Any, where: str, default: Any = MISSING) -> Field:
    """Create a field from a resolved annotation; a default of None makes it nullable.

    Raises:
        SchemaError: The annotation is not a GraphQL type.
    """
    hint = read_hint(annotation, where)
    named, deprecated = marker(annotation, Name), marker(annotation, Deprecated)
    return Field(
        name=name,
        graphql_name=camel_case(name) if named is None else named.name,
        where=where,
        hint=nullable(hint) if default is None else hint,
        default=default,
        required=default is MISSING,
        description=descriptions.of_annotation(annotation),
        input_name=name,
        deprecation=None if deprecated is None else deprecated.reason,
    )


def _reader(cls: type) -> Callable[[ObjectHint, bool], Iterator[Field]]:
    if is_typeddict(cls):
        return _typed_dict_fields
    if is_model_class(cls):
        return _model_fields
    if is_struct_class(cls):
        return _struct_fields
    if is_attrs_class(cls):
        return _attrs_fields
    return _tuple_fields if is_named_tuple(cls) else _dataclass_fields


def _resolved_hints(hint: ObjectHint) -> dict[str, Any]:
    try:
        return member_hints(hint.cls, hint.arguments)
    except (AttributeError, NameError, SyntaxError, TypeError) as error:
        raise unresolved(hint.where, hint.cls.__annotations__, error) from error


def _typed_dict_fields(hint: ObjectHint, _: bool) -> Iterator[Field]:
    cls: Any = hint.cls
    for name, annotation in _resolved_hints(hint).items():
        field = make_field(name, annotation, f"{hint.where}.{name}")
        # With `from __future__ import annotations` the class has not evaluated the qualifier.
        around = qualifiers(annotation)
        optional = name not in cls.__required_keys__ and typing_extensions.Required not in around
        if optional or typing_extensions.NotRequired in around:
            field = dataclasses.replace(field, hint=nullable(field.hint), required=False)
        yield field


def _tuple_fields(hint: ObjectHint, _: bool) -> Iterator[Field]:
    cls: Any = hint.cls
    hints = _resolved_hints(hint)
    for name in cls._fields:
        default = cls._field_defaults.get(name, MISSING)
        yield make_field(name, hints[name], f"{hint.where}.{name}", default)


def _dataclass_fields(hint: ObjectHint, is_output: bool) -> Iterator[Field]:
    cls: Any = hint.cls
    hints = _resolved_hints(hint)
    # A pydantic dataclass.
    infos = getattr(cls, "__pydantic_fields__", {}) if is_output else {}
    for declared in dataclasses.fields(cls):
        if declared.name.startswith("_") or _is_excluded(infos.get(declared.name)):
            continue
        default = declared.default
        if declared.default_factory in _CONSTANT_FACTORIES:
            default = declared.default_factory()
        where = f"{hint.where}.{declared.name}"
        if getattr(declared, "base_resolver", None) is not None:
            raise SchemaError(
                f"{where} is a method field of Strawberry, which the executor of its schema alone "
                "calls: pass that schema as `schema=strawberry.Schema(...)`, or make the field an "
                "attribute or a computed_field of a dataclass"
            )
        field = make_field(declared.name, hints[declared.name], where, default)
        # The name of `strawberry.field(name=...)`.
        public = getattr(declared, "graphql_name", None)
        if isinstance(public, str):
            field = dataclasses.replace(field, graphql_name=public)
        has_factory = declared.default_factory is not MISSING
        yield dataclasses.replace(
            field, required=field.required and not has_factory, is_input=declared.init
        )


def _attrs_fields(hint: ObjectHint, _: bool) -> Iterator[Field]:
    cls: Any = hint.cls
    hints = _resolved_hints(hint)
    for declared in cls.__attrs_attrs__:
        if declared.name.startswith("_"):
            continue
        factory = getattr(declared.default, "factory", None)
        has_default = getattr(declared.default, "name", "") != "NOTHING"
        default = declared.default if has_default and factory is None else MISSING
        if factory in _CONSTANT_FACTORIES:
            default = factory()
        where = f"{hint.where}.{declared.name}"
        field = make_field(declared.name, hints[declared.name], where, default)
        yield dataclasses.replace(
            field, required=not has_default, input_name=declared.alias, is_input=declared.init
        )


def _struct_fields(hint: ObjectHint, _: bool) -> Iterator[Field]:
    cls: Any = hint.cls
    hints = _resolved_hints(hint)
    names = cls.__struct_fields__
    # Defaults belong to the last fields; a msgspec singleton marks a field without a default.
    defaults = dict(zip(reversed(names), reversed(cls.__struct_defaults__), strict=False))
    for name in names:
        default = defaults.get(name, MISSING)
        factory = getattr(default, "factory", None)
        if factory is not None:
            default = factory() if factory in _CONSTANT_FACTORIES else MISSING
        elif type(default).__name__ == "NoDefaultType":
            default = MISSING
        required = factory is None and default is MISSING
        field = make_field(name, hints[name], f"{hint.where}.{name}", default)
        yield dataclasses.replace(field, required=required)


def _is_excluded(info: Any) -> bool:
    """Whether a pydantic field is declared with `exclude=True`."""
    return bool(getattr(info, "exclude", None))


def _model_fields(hint: ObjectHint, is_output: bool) -> Iterator[Field]:
    cls: Any = hint.cls
    cls.model_rebuild(raise_errors=False)
    for name, info in cls.model_fields.items():
        if is_output and _is_excluded(info):
            continue
        default = MISSING if info.is_required() or info.default_factory else info.default
        if info.default_factory in _CONSTANT_FACTORIES:
            default = info.default_factory()
        annotation = info.annotation
        if info.metadata:
            # Restores markers such as `Scalar` and `Name`, which pydantic has removed.
            annotation = typing_extensions.Annotated[(annotation, *info.metadata)]
        field = make_field(name, annotation, f"{hint.where}.{name}", default)
        public = info.serialization_alias or info.alias or name
        takes = info.validation_alias
        if marker(annotation, Name) is None:
            field = dataclasses.replace(field, graphql_name=_model_name(public, name))
        yield dataclasses.replace(
            field,
            required=info.is_required(),
            description=info.description or field.description,
            input_name=takes if isinstance(takes, str) else name,
            deprecation=_deprecation(getattr(info, "deprecated", None)) or field.deprecation,
        )
    for name, info in cls.model_computed_fields.items():
        annotation = info.return_type
        field = make_field(name, annotation, f"{hint.where}.{name}")
        yield dataclasses.replace(
            field,
            graphql_name=_model_name(info.alias or name, name),
            description=info.description or field.description,
            is_input=False,
            deprecation=_deprecation(getattr(info, "deprecated", None)) or field.deprecation,
        )


def _model_name(public: str, name: str) -> str:
    return camel_case(public if is_name(public) else name)


def _deprecation(deprecated: Any) -> str | None:
    """Return the reason in pydantic's `deprecated=`: a text, an object with one, or a flag."""
    if not deprecated:
        return None
    text = getattr(deprecated, "message", deprecated)
    return text if isinstance(text, str) else "No longer supported"


def _computed_fields(hint: ObjectHint) -> Iterator[Field]:
    for name, computed in computed_fields(hint.cls).items():
        where = f"{hint.where}.{name}"
        try:
            annotation = computed.returns(hint)
        except (AttributeError, NameError, SyntaxError, TypeError) as error:
            raise unresolved(where, computed.annotation, error) from error
        if annotation is MISSING:
            raise SchemaError(
                f"{where}: a computed field needs a return type: annotate it, such as `-> int`"
            )
        field = make_field(name, annotation, where)
        yield dataclasses.replace(
            field,
            description=field.description or descriptions.from_docstring(computed.__doc__),
            is_input=False,
            deprecation=computed.deprecation or field.deprecation,
        )
