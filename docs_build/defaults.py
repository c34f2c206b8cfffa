"""Shows the values of constants that are defaults of parameters: `host: str = "127.0.0.1"`.

The names of such constants are private, so the reference would not say what they are.
"""

from __future__ import annotations

import ast
import re
from typing import Any

import griffe


class Defaults(griffe.Extension):
    """Replaces names of constants in signatures."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Visit all functions, once the whole package is read."""
        self._visit(pkg, pkg.modules_collection)

    def _visit(self, parent: griffe.Object, modules: griffe.ModulesCollection) -> None:
        for member in parent.members.values():
            if member.is_alias:
                continue
            if isinstance(member, griffe.Attribute) and isinstance(parent, griffe.Class):
                # A field of a dataclass, of which a parameter is made later.
                member.value = value_of(member.value, modules)
            elif isinstance(member, griffe.Function):
                for parameter in member.parameters:
                    parameter.default = value_of(parameter.default, modules)
            elif isinstance(member, griffe.Module | griffe.Class):
                self._visit(member, modules)


def value_of(
    default: str | griffe.Expr | None, modules: griffe.ModulesCollection
) -> str | griffe.Expr | None:
    """Return the value of a constant if it is one of this package, else the default itself."""
    if not isinstance(default, griffe.ExprName) or not default.name.isupper():
        return default
    try:
        constant = modules[default.canonical_path]
    except (KeyError, griffe.GriffeError):
        return default
    value = getattr(constant, "value", None)
    return default if value is None else shown(str(value)) or default


def shown(value: str) -> str | None:
    """Return a literal, also for a class around it, or a call without arguments."""
    match = re.fullmatch(r"Default\w+\((.+)\)", value)
    text = match[1] if match else value
    try:
        ast.literal_eval(text)
    except ValueError:
        return text if text.endswith("()") else None
    return text
