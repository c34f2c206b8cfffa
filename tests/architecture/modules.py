"""Reads the dependencies between the modules of a crate from its `use` lines and paths."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

Graph = dict[str, set[str]]


def read_graph(source: Path) -> Graph:
    """Return the modules of a crate, each with the modules that it uses.

    A module is named by its path, `connection::outbox`; the root and tests are left out. `pub use`
    of a child does not count as a use: a folder's `mod.rs` only re-exports its content.

    Args:
        source: The folder `src`.
    """
    texts = {}
    for path in source.rglob("*.rs"):
        parts = path.relative_to(source).with_suffix("").parts
        if "tests" in parts:
            continue
        name = "::".join(parts[:-1] if parts[-1] in ("mod", "lib", "main") else parts)
        texts[name] = _code(path.read_text())
    names = set(texts) - {""}
    graph: Graph = {}
    for name in names:
        used = {_module(path, names) for path in _paths(texts[name], name, names)}
        graph[name] = used - {name, ""}
    return graph


def _code(text: str) -> str:
    text = re.sub(r"//.*", "", text)
    text = re.sub(r"#\[cfg\(test\)\]\s*(?:pub\(crate\) )?mod \w+(?: \{.*|;)", "", text, flags=re.S)
    return re.sub(r"pub(?:\([^)]*\))? use [^;]*;", "", text)


def _paths(text: str, module: str, names: set[str]) -> Iterator[str]:
    """Yield the paths that a module names, from the root of the crate."""
    for use in re.findall(r"\buse ([^;]*);", text):
        yield from (_absolute(path, module, names) for path in _expanded(re.sub(r"\s+", "", use)))
    rest = re.sub(r"\buse [^;]*;", "", text)
    for path in re.findall(r"\b((?:crate|super|self)(?:::\w+)+)", rest):
        yield _absolute(path, module, names)


def _expanded(use: str) -> Iterator[str]:
    """Yield the paths of one `use`, with its groups expanded."""
    head, brace, tail = use.partition("{")
    if not brace:
        yield use
        return
    depth, item = 0, ""
    for letter in tail.rpartition("}")[0] + ",":
        if letter == "," and depth == 0:
            if item:
                yield from _expanded(head + item)
            item = ""
            continue
        depth += (letter == "{") - (letter == "}")
        item += letter


def _absolute(path: str, module: str, names: set[str]) -> str:
    parts = re.sub(r"as\w+$", "", path).split("::")
    here = module.split("::")
    if parts[0] == "crate":
        return "::".join(parts[1:])
    if parts[0] == "self":
        return "::".join(here + parts[1:])
    while parts and parts[0] == "super":
        here, parts = here[:-1], parts[1:]
        if parts[:1] != ["super"]:
            return "::".join(here + parts)
    # A child without `self::`; any other name is another crate.
    child = "::".join([*module.split("::"), parts[0]])
    return "::".join([*module.split("::"), *parts]) if child in names else ""


def _module(path: str, names: set[str]) -> str:
    """Return the module of a path; `""`: the root, or another crate."""
    parts = path.split("::")
    for length in range(len(parts), 0, -1):
        if (name := "::".join(parts[:length])) in names:
            return name
    return ""


def circles(graph: Graph) -> list[list[str]]:
    """Return the strongly connected components of modules (Tarjan), the largest first."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for used in graph[node]:
            if used not in index:
                visit(used)
                low[node] = min(low[node], low[used])
            elif used in stack:
                low[node] = min(low[node], index[used])
        if low[node] == index[node]:
            circle = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(circle) > 1:
                found.append(sorted(circle))

    for node in graph:
        if node not in index:
            visit(node)
    return sorted(found, key=len, reverse=True)


def folders(graph: Graph) -> Graph:
    """Return the top folders and files of a crate, each with those that it uses."""
    rooms: Graph = {name.split("::")[0]: set() for name in graph}
    for name, used in graph.items():
        room = name.split("::")[0]
        rooms[room] |= {other.split("::")[0] for other in used} - {room}
    return rooms
