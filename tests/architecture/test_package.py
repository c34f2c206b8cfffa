"""Modules of the package depend in one direction, and use no private names."""

from __future__ import annotations

import ast
from pathlib import Path

from modules import circles
from support.paths import ROOT

PACKAGE = ROOT / "fraiseql_subs"


def imported(name: str, tree: ast.AST, names: set[str], is_package: bool) -> set[str]:
    """Return the modules of the package that one of them imports, also only for types.

    Args:
        name: Its name from the root of the package, such as `adapters.asgi`; the root is "".
        tree: Its text, parsed.
        names: All modules.
        is_package: Whether it is a folder.
    """
    folder = name.split(".") if is_package and name else name.split(".")[:-1]
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or node.level == 0:
            continue
        base = folder[: len(folder) - node.level + 1] + (node.module or "").split(".")
        for alias in node.names:
            paths = [[*base, alias.name], base]
            known = (path for path in (".".join(filter(None, path)) for path in paths) if path)
            found.add(next((path for path in known if path in names), ""))
    return found - {"", name}


def read_package(root: Path) -> dict[str, set[str]]:
    texts = {}
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        texts[".".join(parts[:-1] if is_package else parts)] = path, is_package
    return {
        name: imported(name, ast.parse(path.read_text()), set(texts), is_package)
        for name, (path, is_package) in texts.items()
        if name
    }


def test_few_modules_use_each_other():
    found = circles(read_package(PACKAGE))
    assert [circle for circle in found if len(circle) > 2] == []


def test_what_every_part_shares_uses_no_part():
    used = read_package(PACKAGE)
    shared = {"_causes", "_entries", "config", "errors", "response_stream"}
    assert used["_core_handle"] <= shared
    for name in ("server", "executor", "tenant", "_ownership"):
        assert "manager" not in used[name], name
    above = {name for name in used if name.startswith("adapters")}
    assert {name for name in used if used[name] & above} <= above


def test_imports_are_read(tmp_path):
    files = {
        "__init__.py": "from .a import b",
        "a.py": "from . import b\nfrom .c import d\nfrom typing import e",
        "b.py": "def f():\n    from .c.d import g",
        "c/__init__.py": "from .d import h\nfrom ..b import i",
        "c/d.py": "from . import e\nfrom ..a import j",
        "c/e.py": "import a",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert read_package(tmp_path) == {
        "a": {"b", "c.d"},
        "b": {"c.d"},
        "c": {"c.d", "b"},
        "c.d": {"c.e", "a"},
        "c.e": set(),
    }
