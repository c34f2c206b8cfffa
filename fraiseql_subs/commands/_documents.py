"""Documents of clients: the files that a command line names, and what is wrong with them.

Not here: the rules, which the core has; what is printed.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from .._summary import DocumentSummary
from ..errors import FraiseQLSubsError, ValidationError
from ..manager import SubscriptionManager
from ._target import TargetError, load_manager
from ._traceback import told

SUFFIXES = (".graphql", ".gql")
"""Files of a folder that are documents."""

_LINE_END = re.compile(r"\r\n|\n|\r")
"""The line terminators of GraphQL (specification, section 2.1.2)."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with a document; line and column are counted from 1, 0 if there is none."""

    file: str
    line: int
    column: int
    message: str
    source: str


@dataclass(frozen=True)
class ReadDocument:
    """A document that a command line names, or why it cannot be read."""

    name: str
    text: str
    problem: Problem | None = None


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
    if target is not None and schema is not None:
        raise click.UsageError("--target and --schema name one schema each: leave out one of them")
    if target is not None:
        manager = load_manager(target, app_dir)
    elif schema is not None:
        # A schema alone resolves nothing.
        manager = SubscriptionManager(schema=_text_of_schema(Path(schema)))
    else:
        raise click.UsageError("name the schema by --target app:manager or --schema FILE")
    try:
        manager.sdl()
    except FraiseQLSubsError as error:
        place = target or f"--schema: {schema}"
        raise TargetError(told(error, f"{place} has no schema")) from None
    return manager


def _text_of_schema(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise click.ClickException(f"--schema: {path} is not UTF-8") from None
    except OSError as error:
        raise click.ClickException(f"--schema: {path} cannot be read: {error.strerror}") from None


def read_documents(documents: Iterable[str]) -> Iterator[ReadDocument]:
    """Yield each document, each file once; those that cannot be read with the problem."""
    seen = set()
    for name in documents:
        if name == "-":
            yield _read("stdin", _read_stdin)
            continue
        files = [name]
        # Unlike the methods of `Path`, those of `os.path` raise nothing.
        if os.path.isdir(name):
            files, unreadable = _files(name)
            yield from unreadable
            if not files and not unreadable:
                kinds = " or ".join(f"*{suffix}" for suffix in SUFFIXES)
                yield _unread(name, f"the folder has no file {kinds}")
        for file in files:
            real = os.path.realpath(file)
            if real not in seen:
                seen.add(real)
                yield _read(str(Path(file)), Path(file).read_bytes)


def _files(folder: str) -> tuple[list[str], list[ReadDocument]]:
    """Return the documents of a folder, and the folders in it that cannot be read."""
    files = []
    unreadable = []

    def refuse(error: OSError) -> None:
        text = f"the folder cannot be read: {error.strerror}"
        unreadable.append(_unread(str(error.filename), text))

    for parent, _, names in os.walk(folder, onerror=refuse):
        for path in (os.path.join(parent, name) for name in names if name.endswith(SUFFIXES)):
            # Reading a pipe or a device would wait. A link that leads to no file is told.
            if os.path.isfile(path) or not os.path.exists(path):
                files.append(path)
    return sorted(files), unreadable


def _read_stdin() -> bytes:
    if sys.stdin is None:
        raise OSError(errno.EBADF, "it is closed")
    return sys.stdin.buffer.read()


def _read(name: str, read: Callable[[], bytes]) -> ReadDocument:
    try:
        data = read().removeprefix(BOM_UTF8)
    except OSError as error:
        return _unread(name, f"the file cannot be read: {error.strerror}")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        lines = _LINE_END.split(data[: error.start].decode())
        column = len(lines[-1].encode("utf-16-le")) // 2 + 1
        message = f"the file is not UTF-8: the byte {data[error.start]:#04x} cannot stand here"
        return ReadDocument(name, "", Problem(name, len(lines), column, message, ""))
    if not text.strip():
        return _unread(name, "the file is empty: write an operation, or remove it")
    return ReadDocument(name, text)


def _unread(name: str, message: str) -> ReadDocument:
    return ReadDocument(name, "", Problem(name, 0, 0, message, ""))


def check_document(
    manager: SubscriptionManager, document: ReadDocument
) -> tuple[list[Problem], DocumentSummary | None]:
    """Return what is wrong with a document; or what it asks for."""
    if document.problem is not None:
        return [document.problem], None
    try:
        return [], manager.summarize(document.text)
    except ValidationError as error:
        return [_problem(document.name, document.text, each) for each in error.errors], None


def _problem(name: str, text: str, error: dict[str, Any]) -> Problem:
    at = next(iter(error.get("locations", [])), {"line": 0, "column": 0})
    lines = _LINE_END.split(text)
    source = lines[at["line"] - 1] if 0 < at["line"] <= len(lines) else ""
    return Problem(name, at["line"], at["column"], error["message"], source)


def with_source(problem: Problem) -> str:
    """Return a problem as a text, with the line of the document and a caret."""
    if problem.line == 0:
        return f"{problem.file}: {problem.message}"
    place = f"{problem.file}:{problem.line}:{problem.column}: {problem.message}"
    if not problem.source:
        return place
    # A tab before the caret is as wide as the one above it.
    before = _start(problem.source, problem.column)
    indent = "".join("\t" if character == "\t" else " " for character in before)
    return f"{place}\n    {problem.source}\n    {indent}^"


def _start(line: str, column: int) -> str:
    """Return what stands before a column, which counts UTF-16 code units from 1."""
    units = line.encode("utf-16-le", "surrogatepass")[: 2 * (column - 1)]
    return units.decode("utf-16-le", "replace")
