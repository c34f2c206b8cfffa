"""The command `fraiseql-subs validate`: checks documents of clients as the server would.

Not here: the rules, which the core has; how documents and schemas are found (`_documents`), and
what is told of those that are valid (`_summaries`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import click

from .._summary import DocumentSummary
from ..config import Limits
from ..manager import SubscriptionManager
from ._documents import (
    Problem,
    ReadDocument,
    check_document,
    load_schema,
    read_documents,
    with_source,
)
from ._status import FAILURE
from ._summaries import json_of_limits, json_of_summary, text_of_summary

_FORMATS = ("text", "json", "github")

_EPILOG = """\b
Examples:
  fraiseql-subs validate web/queries --target app:manager
  fraiseql-subs validate orders.graphql --schema schema.graphql
  fraiseql-subs validate web --target app:manager --format github
  fraiseql-subs validate web --target app:manager --counts
  echo 'subscription { orders }' | fraiseql-subs validate - --target app:manager

The exit status is 0, 1 if a document is refused or cannot be read, a folder has none, or the module
raises, 2 for an invalid command line.
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
    "--counts",
    "has_counts",
    is_flag=True,
    help="Also what each document asks for: its size beside the limits, the permissions it needs.",
)
@click.option(
    "--app-dir", metavar="FOLDER", default=".", help="Folder of the module (default: this one)."
)
def command(
    documents: tuple[str, ...],
    *,
    target: str | None,
    schema: str | None,
    form: str,
    has_counts: bool,
    app_dir: str,
) -> int:
    """Check DOCUMENTS as the server would: syntax, the schema, limits of documents.

    DOCUMENTS are files, folders with files *.graphql and *.gql, or - for stdin. Each file is one
    document. Variables and permissions belong to a client and are not checked. With --schema the
    limits are those of Limits().
    """
    if has_counts and form == "github":
        raise click.UsageError("--counts is printed as text or JSON: leave --format github out")
    manager = load_schema(target, schema, app_dir)
    count, problems, summaries = _check(manager, read_documents(documents))
    if form == "json":
        _print_json(problems, (summaries, manager.limits) if has_counts else None)
    else:
        for problem in problems:
            click.echo(_annotation(problem) if form == "github" else with_source(problem))
        for name, summary in summaries if has_counts else ():
            click.echo(text_of_summary(name, summary, manager.limits))
    click.echo(f"{_counted(count, 'document')}: {_counted(len(problems), 'problem')}", err=True)
    return FAILURE if problems else 0


def _check(
    manager: SubscriptionManager, documents: Iterable[ReadDocument]
) -> tuple[int, list[Problem], list[tuple[str, DocumentSummary]]]:
    """Return how many documents there are, what is wrong with them, and what the others ask for."""
    count = 0
    problems: list[Problem] = []
    summaries = []
    for document in documents:
        count += 1
        found, summary = check_document(manager, document)
        problems += found
        if summary is not None:
            summaries.append((document.name, summary))
    return count, problems, summaries


def _print_json(
    problems: list[Problem], counts: tuple[list[tuple[str, DocumentSummary]], Limits] | None
) -> None:
    told = [
        {"file": each.file, "line": each.line, "column": each.column, "message": each.message}
        for each in problems
    ]
    if counts is None:
        return click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    summaries, limits = counts
    told_of_all = {
        "problems": told,
        "documents": [json_of_summary(name, summary) for name, summary in summaries],
        "limits": json_of_limits(limits),
    }
    click.echo(json.dumps(told_of_all, indent=2, ensure_ascii=False))


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
