"""Documents of clients: the files that a command line names, and what is wrong with them.

Not here: the rules, which the core has; what is printed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ..errors import FraiseQLSubsError, ValidationError
from ..manager import SubscriptionManager
from ._target import TargetError, load_manager
from ._traceback import told

SUFFIXES = (".graphql", ".gql")
"""Files of a folder that are documents."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with a document; line and column are counted from 1, 0 if there is none."""

    file: str
    line: int
    column: int
    message: str
    source: str


def load_schema(target: str | None, schema: str | None, app_dir: str) -> SubscriptionManager:
    """Return the manager of a schema that a command line names.

    Args:
        target: `--target`.
        schema: `--schema`, a file of SDL.
        app_dir: Folder that modules are imported from.

    Raises:
        click.UsageError: Not one of both is given, or there is no such target.
        TargetError: The module raises, or its manager has no schema.
    """
    if (target is None) == (schema is None):
        raise click.UsageError("name the schema by --target app:manager or --schema FILE")
    if target is not None:
        manager = load_manager(target, app_dir)
    else:
        assert schema is not None, "one of them is given"
        # A schema alone resolves nothing.
        manager = SubscriptionManager(schema=text_of(Path(schema), "--schema"))
    try:
        manager.sdl()
    except FraiseQLSubsError as error:
        place = target or f"--schema: {schema}"
        raise TargetError(told(error, f"{place} has no schema")) from None
    return manager


def read_documents(documents: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each document, each file once."""
    seen = set()
    for name in documents:
        if name == "-":
            yield "stdin", sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
            continue
        path = Path(name)
        files = [path]
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES)
        for file in files:
            if file.resolve() not in seen:
                seen.add(file.resolve())
                yield str(file), text_of(file, "DOCUMENTS")


def text_of(path: Path, name: str) -> str:
    """Return the text of a file; errors name the part of the command line."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise click.ClickException(f"{name}: {path} is not UTF-8") from None
    except OSError as error:
        raise click.ClickException(f"{name}: {path} cannot be read: {error.strerror}") from None


def check_document(manager: SubscriptionManager, name: str, text: str) -> list[Problem]:
    """Return what is wrong with a document."""
    try:
        manager.validate(text)
    except ValidationError as error:
        return [_problem(name, text, each) for each in error.errors]
    return []


def _problem(name: str, text: str, error: dict[str, Any]) -> Problem:
    at = next(iter(error.get("locations", [])), {"line": 0, "column": 0})
    # The line terminators of GraphQL (specification, section 2.1.2).
    lines = re.split(r"\r\n|\n|\r", text)
    source = lines[at["line"] - 1] if 0 < at["line"] <= len(lines) else ""
    return Problem(name, at["line"], at["column"], error["message"], source)


def with_source(problem: Problem) -> str:
    """Return a problem as a text, with the line of the document and a caret."""
    if problem.line == 0:
        return f"{problem.file}: {problem.message}"
    place = f"{problem.file}:{problem.line}:{problem.column}: {problem.message}"
    # A tab before the caret is as wide as the one above it.
    before = _start(problem.source, problem.column)
    indent = "".join("\t" if character == "\t" else " " for character in before)
    return f"{place}\n    {problem.source}\n    {indent}^"


def _start(line: str, column: int) -> str:
    """Return what stands before a column, which counts UTF-16 code units from 1."""
    units = line.encode("utf-16-le", "surrogatepass")[: 2 * (column - 1)]
    return units.decode("utf-16-le", "replace")
