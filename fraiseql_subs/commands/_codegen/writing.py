"""Writes definitions of Python as text: typed dicts, aliases, docstrings, and names.

Not here: what is defined.
"""

from __future__ import annotations

import builtins
import json
import keyword
import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

WIDTH = 88
"""Columns of a line, unless a name is longer."""

IMPORTED = {
    "Any": "typing",
    "Literal": "typing",
    "TypeAlias": "typing",
    "NotRequired": "typing_extensions",
    "TypedDict": "typing_extensions",
    "date": "datetime",
    "datetime": "datetime",
    "time": "datetime",
    "Decimal": "decimal",
    "UUID": "uuid",
}
"""Modules of the names that generated code may use."""

_TEXT = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")


@dataclass(frozen=True)
class Key:
    """A key of a typed dict."""

    name: str
    type: str
    is_required: bool = True
    description: str | None = None


class Names:
    """The names of one generated module, each used once."""

    def __init__(self, modules: Iterable[str] = ()) -> None:
        self._taken = {*IMPORTED, *dir(builtins), *keyword.kwlist, "fraiseql_subs", "annotations"}
        self._taken |= {module.partition(".")[0] for module in modules}

    def take(self, name: str) -> str:
        """Return a name that is not taken, which is as given if that one is free."""
        # One that begins with an underscore would be private.
        free = name = name.lstrip("_") or "Type"
        if not free.isidentifier():
            free = name = f"Type{name}"
        number = 1
        while free in self._taken:
            number += 1
            free = f"{name}_" if number == 2 else f"{name}_{number}"
        self._taken.add(free)
        return free


class Module:
    """The text of a module, and the names that it imports."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self._used: set[str] = set()
        self._modules: set[str] = set()
        self._parts: list[str] = []

    def use(self, *types: str) -> None:
        """Import the names in types that are written."""
        for written in types:
            # The texts of a `Literal` are no names.
            words = re.findall(r"[\w.]+", _TEXT.sub("", written))
            self._used |= IMPORTED.keys() & set(words)
            self._modules |= {word.rpartition(".")[0] for word in words if "." in word}

    def add(self, *lines: str) -> None:
        """Add a definition."""
        self._parts.append("\n".join(lines))

    def alias(self, name: str, written: str, about: str) -> None:
        """Define another name for a type."""
        self.use("TypeAlias", written)
        self.add(f"{name}: TypeAlias = {written}", *docstring(about))

    def literal(self, name: str, values: Iterable[str], about: str) -> None:
        """Define a type that has one of some texts."""
        self.alias(name, literal(values), about)

    def typed_dict(self, name: str, keys: list[Key], about: str, base: str = "TypedDict") -> None:
        """Define a dict with certain keys."""
        self.use("TypedDict", *(key.type for key in keys))
        if not all(key.is_required for key in keys):
            self.use("NotRequired")
        if all(_is_attribute(key.name) for key in keys):
            self.add(*_class(name, keys, about, base))
        else:
            assert base == "TypedDict", "a derived one has names of Python"
            self.add(*_call(name, keys), *docstring(about))

    def text(self, about: str) -> str:
        """Return the text of the module."""
        header = [*docstring(about), "", "from __future__ import annotations"]
        imports: dict[str, list[str]] = {}
        for name in sorted(self._used, key=lambda name: (name.lower(), name)):
            imports.setdefault(IMPORTED[name], []).append(name)
        standard = [
            f"from {module} import {', '.join(_import_order(found))}"
            for module, found in sorted(imports.items())
            if module != "typing_extensions"
        ]
        others = ["import fraiseql_subs"] if "fraiseql_subs" in self._modules else []
        if "typing_extensions" in imports:
            found = _import_order(imports["typing_extensions"])
            others.append(f"from typing_extensions import {', '.join(found)}")
        own = [f"import {module}" for module in sorted(self._modules - {"fraiseql_subs"})]
        for block in (standard, others, own):
            if block:
                header += ["", *block]
        return "\n".join(header) + "\n" + self._body()

    def _body(self) -> str:
        body = ""
        for index, part in enumerate(self._parts):
            # Two empty lines beside a class or a function, and one between others.
            is_apart = _is_block(part) or (index > 0 and _is_block(self._parts[index - 1]))
            body += ("\n\n" if is_apart else "\n") + part + "\n"
        return body


def _is_block(part: str) -> bool:
    return part.startswith(("class ", "def ", "async def "))


def _import_order(names: list[str]) -> list[str]:
    """Return names in the order of isort: constants, classes, and the rest."""
    return sorted(names, key=lambda name: (not name.isupper(), name.islower(), name.lower()))


def _is_attribute(name: str) -> bool:
    # Python changes names with two underscores inside a class.
    return name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("__")


def _class(name: str, keys: list[Key], about: str, base: str) -> list[str]:
    lines = [f"class {name}({base}):", *docstring(about, "    ")]
    for index, key in enumerate(keys):
        written = key.type if key.is_required else f"NotRequired[{key.type}]"
        lines += [""] if index == 0 else []
        lines.append(f"    {key.name}: {written}")
        if key.description:
            lines += docstring(key.description, "    ")
    return lines


def _call(name: str, keys: list[Key]) -> list[str]:
    lines = [f"{name} = TypedDict(", f'    "{name}",', "    {"]
    for key in keys:
        # Types that are defined below have to be texts here.
        written = quoted(key.type) if key.is_required else f"NotRequired[{quoted(key.type)}]"
        lines.append(f"        {quoted(key.name)}: {written},")
    return [*lines, "    },", ")"]


def quoted(text: str) -> str:
    """Return a text as Python writes it, with the quotes of formatters."""
    if '"' in text and "'" not in text:
        return repr(text)
    # All escapes of JSON are those of Python.
    return json.dumps(text, ensure_ascii=False)


def literal(values: Iterable[str]) -> str:
    """Return the type that has one of some texts, over several lines if it is long."""
    texts = [quoted(value) for value in values]
    written = f"Literal[{', '.join(texts)}]"
    if len(written) <= WIDTH // 2 or len(texts) == 1:
        return written
    return "\n".join(["Literal[", *(f"    {text}," for text in texts), "]"])


def one_line_literal(values: Iterable[str]) -> str:
    """Return the type that has one of some texts, on one line."""
    return f"Literal[{', '.join(map(quoted, values))}]"


def docstring(text: str, indent: str = "") -> list[str]:
    """Return the lines of a docstring, whose first line is the first one of the text."""
    text = "".join(char if char.isprintable() or char == "\n" else " " for char in text)
    text = text.replace('"""', "'''")
    start = f'{indent}r"""' if "\\" in text else f'{indent}"""'
    width = WIDTH - len(start) - 3
    lines: list[str] = []
    for paragraph in text.strip().split("\n"):
        lines += textwrap.wrap(paragraph, width, break_long_words=False) or [""]
    first, *rest = lines
    if first.startswith('"'):
        first = f" {first}"
    if not rest and not first.endswith(('"', "\\")):
        return [f'{start}{first}"""']
    return [f"{start}{first}", *(f"{indent}{line}".rstrip() for line in rest), f'{indent}"""']


def snake_case(name: str) -> str:
    """Convert a GraphQL name to one of a variable: `userId` becomes `user_id`."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()
    return re.sub(r"_+", "_", name).strip("_") or "value"


def pascal_case(name: str) -> str:
    """Convert a name to one of a class: `order_updated` and `orderUpdated` to `OrderUpdated`."""
    parts = re.split(r"[^0-9A-Za-z]+", name)
    return "".join(part[0].upper() + part[1:] for part in parts if part)
