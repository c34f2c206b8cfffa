"""The command `fraiseql-subs validate`: checks documents of clients as the server would.

Not here: the rules, which the core has; how the manager is found (`_target`).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ..errors import FraiseQLSubsError, ValidationError
from ..manager import SubscriptionManager
from ._status import FAILURE
from ._target import TargetError, load_manager
from ._traceback import told

SUFFIXES = (".graphql", ".gql")
"""Files of a folder that are documents."""

_FORMATS = ("text", "json", "github")

_EPILOG = """\b
Examples:
  fraiseql-subs validate web/queries --target app:manager
  fraiseql-subs validate orders.graphql --schema schema.graphql
  fraiseql-subs validate web --target app:manager --format github
  echo 'subscription { orders }' | fraiseql-subs validate - --target app:manager

The exit status is 0, 1 if a document is refused, none is found, or the module raises, 2 for an
invalid command line.
"""


@dataclass(frozen=True)
class _Problem:
    """What is wrong with a document; line and column are counted from 1, 0 if there is none."""

    file: str
    line: int
    column: int
    message: str
    source: str


@click.command("validate", short_help="Check documents of clients.", epilog=_EPILOG)
@click.argument("documents", nargs=-1, required=True)
@click.option("--target", metavar="MODULE:MANAGER", help="The manager that serves them.")
@click.option("--schema", metavar="FILE", help="Their schema as SDL, in place of --target.")
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    default="text",
    show_default=True,
    help="How problems are printed; github: as annotations of a pull request.",
)
@click.option(
    "--app-dir", metavar="FOLDER", default=".", help="Folder of the module (default: this one)."
)
def command(
    documents: tuple[str, ...], *, target: str | None, schema: str | None, form: str, app_dir: str
) -> int:
    """Check DOCUMENTS as the server would: syntax, the schema, limits of documents.

    DOCUMENTS are files, folders with files *.graphql and *.gql, or - for stdin. Each file is one
    document. Variables and permissions belong to a client and are not checked. With --schema the
    limits are those of Limits().
    """
    manager = _manager(target, schema, app_dir)
    count = 0
    problems: list[_Problem] = []
    for name, text in _read(documents):
        count += 1
        problems += _check(manager, name, text)
    if count == 0:
        kinds = " or ".join(f"*{suffix}" for suffix in SUFFIXES)
        raise click.ClickException(f"no file {kinds} in {', '.join(documents)}")
    _print(problems, form)
    click.echo(f"{_counted(count, 'document')}: {_counted(len(problems), 'problem')}", err=True)
    return FAILURE if problems else 0


def _manager(target: str | None, schema: str | None, app_dir: str) -> SubscriptionManager:
    if (target is None) == (schema is None):
        raise click.UsageError("name the schema by --target app:manager or --schema FILE")
    if target is not None:
        manager = load_manager(target, app_dir)
    else:
        assert schema is not None, "one of them is given"
        # A schema alone resolves nothing.
        manager = SubscriptionManager(schema=_text_of(Path(schema), "--schema"))
    try:
        manager.sdl()
    except FraiseQLSubsError as error:
        place = target or f"--schema: {schema}"
        raise TargetError(told(error, f"{place} has no schema")) from None
    return manager


def _read(documents: Iterable[str]) -> Iterator[tuple[str, str]]:
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
                yield str(file), _text_of(file, "DOCUMENTS")


def _text_of(path: Path, name: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise click.ClickException(f"{name}: {path} is not UTF-8") from None
    except OSError as error:
        raise click.ClickException(f"{name}: {path} cannot be read: {error.strerror}") from None


def _check(manager: SubscriptionManager, name: str, text: str) -> list[_Problem]:
    try:
        manager.validate(text)
    except ValidationError as error:
        return [_problem(name, text, each) for each in error.errors]
    return []


def _problem(name: str, text: str, error: dict[str, Any]) -> _Problem:
    at = next(iter(error.get("locations", [])), {"line": 0, "column": 0})
    # The line terminators of GraphQL (specification, section 2.1.2).
    lines = re.split(r"\r\n|\n|\r", text)
    source = lines[at["line"] - 1] if 0 < at["line"] <= len(lines) else ""
    return _Problem(name, at["line"], at["column"], error["message"], source)


def _print(problems: list[_Problem], form: str) -> None:
    if form == "json":
        told = [
            {"file": each.file, "line": each.line, "column": each.column, "message": each.message}
            for each in problems
        ]
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    for problem in problems:
        click.echo(_annotation(problem) if form == "github" else _with_source(problem))


def _with_source(problem: _Problem) -> str:
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


def _annotation(problem: _Problem) -> str:
    """Return a workflow command of GitHub, whose values have escapes of their own."""

    def escaped(text: str, more: str = "") -> str:
        for character in "%\r\n" + more:
            text = text.replace(character, f"%{ord(character):02X}")
        return text

    place = f"file={escaped(problem.file, ':,')}"
    if problem.line:
        place += f",line={problem.line},col={problem.column}"
    return f"::error {place}::{escaped(problem.message)}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
