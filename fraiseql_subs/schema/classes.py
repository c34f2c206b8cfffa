"""The fields of dataclasses, TypedDicts and pydantic models."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Final

import typing_extensions

from fraiseql_subs.errors import SchemaError
from fraiseql_subs.schema import descriptions
from fraiseql_subs.schema.annotations import Hint, nullable, qualifiers, read_hint, unresolved
from fraiseql_subs.schema.kinds import (
    is_attrs_class,
    is_model_class,
    is_struct_class,
    is_typeddict,
)
from fraiseql_subs.schema.markers import Deprecated, Name, marker
from fraiseql_subs.schema.names import camel_case, check_name, is_name

MISSING: Final[Any] = dataclasses.MISSING
"""Stands where there is no default."""

# Factories whose value is the same at each call, so that it can stand in the schema.
_CONSTANT_FACTORIES = (list, dict, tuple, set, frozenset)


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One field of a class, or one argument of a subscription.

    Attributes:
        name: Attribute, key or parameter in Python.
        graphql_name: Name in the schema.
        where: Place of the declaration, such as ``"Order.total"``, for errors.
        hint: Its type.
        default: Constant default; `MISSING` without one, or when it is made anew each time.
        required: Whether Python needs a value: there is no default of any kind.
        description: Text for the schema.
        input_name: Key by which the class takes the value: `name`, or the alias of a model.
        is_input: Whether the class can be given the value.
        deprecation: Why it is deprecated; None: it is not.
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


def fields_of(cls: type, *, is_output: bool = False) -> list[Field]:
    """Read the fields of a class in the order of their declaration.

    Args:
        cls: The class.
        is_output: Whether its values are sent: fields that pydantic excludes are left out then.

    Raises:
        SchemaError: A field has no GraphQL type, two fields have the same GraphQL name, or there
            is no field at all.
    """
    if is_typeddict(cls):
        fields = list(_typed_dict_fields(cls))
    elif is_model_class(cls):
        fields = list(_model_fields(cls, is_output))
    elif is_struct_class(cls):
        fields = list(_struct_fields(cls))
    elif is_attrs_class(cls):
        fields = list(_attrs_fields(cls))
    else:
        fields = list(_dataclass_fields(cls, is_output))
    if not fields:
        raise SchemaError(f"{cls.__qualname__} has no fields: a GraphQL type needs at least one")
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
    """Make a field of a resolved annotation; a default of None makes it nullable.

    Raises:
        SchemaError: The annotation is no GraphQL type.
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


def _resolved_hints(cls: type) -> dict[str, Any]:
    try:
        # A class that refers to itself may be local to a function.
        return typing_extensions.get_type_hints(
            cls, localns={cls.__name__: cls}, include_extras=True
        )
    except (AttributeError, NameError, SyntaxError, TypeError) as error:
        raise unresolved(cls.__qualname__, cls.__annotations__, error) from error


def _typed_dict_fields(cls: Any) -> Iterator[Field]:
    for name, annotation in _resolved_hints(cls).items():
        field = make_field(name, annotation, f"{cls.__qualname__}.{name}")
        # Under `from __future__ import annotations` the class itself has not seen a qualifier.
        found = qualifiers(annotation)
        optional = name not in cls.__required_keys__ and typing_extensions.Required not in found
        if optional or typing_extensions.NotRequired in found:
            field = dataclasses.replace(field, hint=nullable(field.hint), required=False)
        yield field


def _dataclass_fields(cls: Any, is_output: bool) -> Iterator[Field]:
    hints = _resolved_hints(cls)
    # Of a dataclass that pydantic made.
    infos = getattr(cls, "__pydantic_fields__", {}) if is_output else {}
    for declared in dataclasses.fields(cls):
        if declared.name.startswith("_") or _is_excluded(infos.get(declared.name)):
            continue
        default = declared.default
        if declared.default_factory in _CONSTANT_FACTORIES:
            default = declared.default_factory()
        where = f"{cls.__qualname__}.{declared.name}"
        field = make_field(declared.name, hints[declared.name], where, default)
        has_factory = declared.default_factory is not MISSING
        yield dataclasses.replace(
            field, required=field.required and not has_factory, is_input=declared.init
        )


def _attrs_fields(cls: Any) -> Iterator[Field]:
    hints = _resolved_hints(cls)
    for declared in cls.__attrs_attrs__:
        if declared.name.startswith("_"):
            continue
        factory = getattr(declared.default, "factory", None)
        has_default = getattr(declared.default, "name", "") != "NOTHING"
        default = declared.default if has_default and factory is None else MISSING
        if factory in _CONSTANT_FACTORIES:
            default = factory()
        where = f"{cls.__qualname__}.{declared.name}"
        field = make_field(declared.name, hints[declared.name], where, default)
        yield dataclasses.replace(
            field, required=not has_default, input_name=declared.alias, is_input=declared.init
        )


def _struct_fields(cls: Any) -> Iterator[Field]:
    hints = _resolved_hints(cls)
    names = cls.__struct_fields__
    # Defaults belong to the last fields; one that is no default is a singleton of msgspec.
    defaults = dict(zip(reversed(names), reversed(cls.__struct_defaults__), strict=False))
    for name in names:
        default = defaults.get(name, MISSING)
        factory = getattr(default, "factory", None)
        if factory is not None:
            default = factory() if factory in _CONSTANT_FACTORIES else MISSING
        elif type(default).__name__ == "NoDefaultType":
            default = MISSING
        required = factory is None and default is MISSING
        field = make_field(name, hints[name], f"{cls.__qualname__}.{name}", default)
        yield dataclasses.replace(field, required=required)


def _is_excluded(info: Any) -> bool:
    """Tell whether a field of pydantic is declared with `exclude=True`."""
    return bool(getattr(info, "exclude", None))


def _model_fields(cls: Any, is_output: bool) -> Iterator[Field]:
    cls.model_rebuild(raise_errors=False)
    for name, info in cls.model_fields.items():
        if is_output and _is_excluded(info):
            continue
        default = MISSING if info.is_required() or info.default_factory else info.default
        if info.default_factory in _CONSTANT_FACTORIES:
            default = info.default_factory()
        field = make_field(name, info.annotation, f"{cls.__qualname__}.{name}", default)
        public = info.serialization_alias or info.alias or name
        takes = info.validation_alias
        yield dataclasses.replace(
            field,
            graphql_name=camel_case(public if is_name(public) else name),
            required=info.is_required(),
            description=info.description,
            input_name=takes if isinstance(takes, str) else name,
        )
