"""Hypothesis strategies: schemas, documents that are valid for them, values right and wrong.

Not here: what the answers are compared with (`test_generated`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import graphql
from answers import core_schema
from case import Case
from hypothesis import strategies as st

SCALARS = ("Int", "Float", "String", "Boolean", "ID", "Free", "Kind")
OBJECTS = ("A", "B", "C")
FIELDS = ("a", "b", "c", "d")

Draw = Callable[[st.SearchStrategy[Any]], Any]

WRONG = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**33), 2**33),
    # Python spells whole and very small numbers differently: see `themes.differences`.
    st.sampled_from([0.5, -1.5, 1234567.25]),
    st.sampled_from(["", "7", "x", "RED", "é"]),
    st.just([]),
    st.just({}),
    st.lists(st.integers(0, 3), max_size=2),
)
"""A value of any shape, which mostly does not fit the type."""

RIGHT: dict[str, st.SearchStrategy[Any]] = {
    "Int": st.integers(-(2**31), 2**31 - 1),
    "Float": st.one_of(st.integers(-1000, 1000), st.sampled_from([0.5, -1.25, 1e9])),
    "String": st.text(max_size=4),
    "Boolean": st.booleans(),
    "ID": st.one_of(st.text(max_size=3), st.integers(-(2**40), 2**40)),
    "Free": st.one_of(st.integers(0, 9), st.just({"x": [1, None]})),
    "Kind": st.sampled_from(["RED", "GREEN"]),
}


@st.composite
def output_types(draw: Draw, names: tuple[str, ...]) -> str:
    """A type reference with up to two lists around a name."""
    text = draw(st.sampled_from(names)) + draw(st.sampled_from(["", "!"]))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
        text = f"[{text}]" + draw(st.sampled_from(["", "!"]))
    return text


@st.composite
def schemas(draw: Draw) -> str:
    """A schema of three objects, an interface that two of them have, and a union."""
    names = (*SCALARS, *OBJECTS, "Node", "Found")
    shared = {name: draw(output_types(SCALARS)) for name in ("a", "b")}
    lines = ["type Query { ok: Boolean }", "scalar Free", "enum Kind { RED GREEN }"]
    lines.append(f"interface Node {{ {_fields(shared)} }}")
    for name in OBJECTS:
        own = {field: draw(output_types(names)) for field in FIELDS}
        head = f"type {name}"
        if name != "C":
            own.update(shared)
            head += " implements Node"
        lines.append(f"{head} {{ {_fields(own)} }}")
    lines.append("union Found = A | C")
    root = draw(output_types((*OBJECTS, "Node", "Found")))
    lines.append(f"type Subscription {{ root: {root} }}")
    return "\n".join(lines)


def _fields(fields: dict[str, str]) -> str:
    return " ".join(f"{name}: {declared}" for name, declared in fields.items())


class Document:
    """Draws one valid document of a schema, with its fragments and variables."""

    def __init__(self, draw: Draw, schema: graphql.GraphQLSchema) -> None:
        self._draw = draw
        self._schema = schema
        self._fragments: list[str] = []
        self.variables: dict[str, bool] = {}

    def text(self) -> str:
        """Draw it."""
        root = self._schema.subscription_type
        assert root is not None
        selection = "root" + self._selection(root.fields["root"].type, 4)
        if self._draw(st.booleans()):
            selection = f"alias: {selection}"
        declared = "".join(f" ${name}: Boolean!" for name in self.variables)
        head = f"subscription S ({declared} )" if declared else "subscription"
        return "\n".join([f"{head} {{ {selection} }}", *self._fragments])

    def _selection(self, declared: Any, depth: int) -> str:
        named = graphql.get_named_type(declared)
        return f" {self._set(named, depth)}" if graphql.is_composite_type(named) else ""

    def _set(self, parent: Any, depth: int) -> str:
        parts = [self._part(parent, depth) for _ in range(self._draw(st.integers(1, 4)))]
        return f"{{ {' '.join(parts)} }}"

    def _part(self, parent: Any, depth: int) -> str:
        kind = self._draw(st.sampled_from(["field", "field", "field", "inline", "spread"]))
        if depth == 0 or kind == "field":
            return self._field(parent, depth)
        condition = self._condition(parent)
        if kind == "inline":
            on = "" if condition is parent else f" on {condition.name}"
            return f"...{on}{self._directive()} {self._set(condition, depth - 1)}"
        name = f"F{len(self._fragments)}"
        self._fragments.append("")
        body = self._set(condition, depth - 1)
        self._fragments[int(name[1:])] = f"fragment {name} on {condition.name} {body}"
        return f"...{name}{self._directive()}"

    def _condition(self, parent: Any) -> Any:
        others = [
            self._schema.type_map[name]
            for name in (*OBJECTS, "Node", "Found")
            if graphql.do_types_overlap(self._schema, parent, self._schema.type_map[name])
        ]
        return self._draw(st.sampled_from([parent, *others]))

    def _field(self, parent: Any, depth: int) -> str:
        fields = getattr(parent, "fields", {})
        usable = [
            name
            for name, field in fields.items()
            if depth > 0 or not graphql.is_composite_type(graphql.get_named_type(field.type))
        ]
        name = self._draw(st.sampled_from(["__typename", *usable]))
        if name == "__typename":
            return name + self._directive()
        # One response key for each field and type, so that fields can always be merged.
        key = self._draw(
            st.sampled_from([f"{parent.name.lower()}_{name}", f"x_{parent.name}_{name}"])
        )
        return f"{key}: {name}{self._directive()}{self._selection(fields[name].type, depth - 1)}"

    def _directive(self) -> str:
        kind = self._draw(st.sampled_from(["", "", "", "", "literal", "variable"]))
        if not kind:
            return ""
        name = self._draw(st.sampled_from(["skip", "include"]))
        value = self._draw(st.booleans())
        if kind == "literal":
            return f" @{name}(if: {json.dumps(value)})"
        variable = f"v{int(value)}"
        self.variables[variable] = value
        return f" @{name}(if: ${variable})"


def draw_value(draw: Draw, schema: graphql.GraphQLSchema, declared: Any, depth: int = 5) -> Any:
    """Draw a value: mostly a right one, so that deeper fields are reached."""
    chance = draw(st.integers(0, 19))
    # In the place of an object the answers differ: see `themes/differences`.
    if chance == 0 and not graphql.is_object_type(graphql.get_named_type(declared)):
        return draw(WRONG)
    if isinstance(declared, graphql.GraphQLNonNull):
        return None if chance == 1 else draw_value(draw, schema, declared.of_type, depth)
    if chance <= 2:
        return None
    if isinstance(declared, graphql.GraphQLList):
        items = range(draw(st.integers(0, 3)))
        return [draw_value(draw, schema, declared.of_type, depth) for _ in items]
    if not graphql.is_composite_type(declared):
        return draw(RIGHT[declared.name])
    value: dict[str, Any] = {}
    if graphql.is_abstract_type(declared):
        possible = [one.name for one in schema.get_possible_types(declared)]
        name = draw(st.sampled_from(possible if chance < 18 else [*possible, "B", "Kind", "None"]))
        value["__typename"] = name
        declared = schema.type_map.get(name)
    for name, field in getattr(declared, "fields", {}).items():
        if depth > 0 and draw(st.integers(0, 9)) > 0:
            value[name] = draw_value(draw, schema, field.type, depth - 1)
    return value


@st.composite
def cases(draw: Draw) -> Case:
    """A schema, a valid document for it, and a value for its root field."""
    sdl = draw(schemas())
    schema = core_schema(sdl)
    document = Document(draw, schema)
    text = document.text()
    assert schema.subscription_type is not None
    value = draw_value(draw, schema, schema.subscription_type.fields["root"].type)
    return Case("generated", text, value, sdl, document.variables)
