"""The command `fraiseql-subs validate`: checks documents of clients as the server would.

Not here: the rules, which the core has; how documents and schemas are found (`_documents`).
"""

from __future__ import annotations

import json

import click

from ._documents import (
    SUFFIXES,
    Problem,
    check_document,
    load_schema,
    read_documents,
    with_source,
)
from ._status import FAILURE

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
    manager = load_schema(target, schema, app_dir)
    count = 0
    problems: list[Problem] = []
    for name, text in read_documents(documents):
        count += 1
        problems += check_document(manager, name, text)
    if count == 0:
        kinds = " or ".join(f"*{suffix}" for suffix in SUFFIXES)
        raise click.ClickException(f"no file {kinds} in {', '.join(documents)}")
    _print(problems, form)
    click.echo(f"{_counted(count, 'document')}: {_counted(len(problems), 'problem')}", err=True)
    return FAILURE if problems else 0


def _print(problems: list[Problem], form: str) -> None:
    if form == "json":
        told = [
            {"file": each.file, "line": each.line, "column": each.column, "message": each.message}
            for each in problems
        ]
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    for problem in problems:
        click.echo(_annotation(problem) if form == "github" else with_source(problem))


def _annotation(problem: Problem) -> str:
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
