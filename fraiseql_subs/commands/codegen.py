"""The command `fraiseql-subs codegen`: writes typed Python for a schema and its documents.

Not here: what is written (`_codegen`); how documents and schemas are found (`_documents`).
"""

from __future__ import annotations

import builtins
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from ..manager import SubscriptionManager
from ..schema.build import SchemaSource
from ._codegen.documents import DocumentTypes, RepeatedOperationError
from ._codegen.publishers import PublisherOptions, Publishers
from ._codegen.types import SchemaTypes
from ._codegen.writing import IMPORTED, Module, Names
from ._documents import check_document, load_schema, read_documents, with_source
from ._extra import require
from ._generated import compare, write
from ._status import FAILURE
from ._target import find_attribute, load_module

_ABOUT = """Types of a GraphQL schema, and functions that publish its events.

Written by `fraiseql-subs codegen`: changes are lost when it runs again.
"""

_EPILOG = """\b
Examples:
  fraiseql-subs codegen --target app:manager --output events.py
  fraiseql-subs codegen --target app:manager --documents web/queries --output events.py
  fraiseql-subs codegen --schema schema.graphql --documents queries --output client_types.py
  fraiseql-subs codegen --target app:manager --check events.py

The exit status is 0, 1 if --check finds a difference, a document is refused, the module raises or a
file cannot be read or written, 2 for an invalid command line.
"""


@click.command("codegen", short_help="Write typed Python for a schema.", epilog=_EPILOG)
@click.option("--target", metavar="MODULE:MANAGER", help="The manager that serves the schema.")
@click.option("--schema", metavar="FILE", help="The schema as SDL, in place of --target.")
@click.option(
    "--documents",
    metavar="PATH",
    multiple=True,
    help="Documents of clients: a file, or a folder with files *.graphql and *.gql; repeatable.",
)
@click.option("--output", metavar="FILE", help="Write a file, as a whole or not at all.")
@click.option("--check", metavar="FILE", help="Compare with a file, and print how it differs.")
@click.option("--sync", "is_sync", is_flag=True, help="Functions that block, for SyncPublisher.")
@click.option(
    "--data",
    metavar="FIELD=TYPE",
    multiple=True,
    help="Type of the data that are published for a subscription, such as"
    " orderUpdated=app.models.OrderRow; default: that of the field.",
)
@click.option(
    "--scalar",
    metavar="NAME=TYPE",
    multiple=True,
    help="Type of a custom scalar, such as Money=str or Money=decimal.Decimal.",
)
@click.option(
    "--app-dir", metavar="FOLDER", default=".", help="Folder of the module (default: this one)."
)
@click.pass_context
def command(context: click.Context, /, **options: Any) -> int:
    """Write Python for a schema, which type checkers accept in their strict modes.

    There is a TypedDict for each object type and input object, and a Literal for each enum. With
    --target, each subscription with a channel has a function that publishes an event for it. With
    --documents, each operation has TypedDicts of its variables and its result.
    """
    output, check = options["output"], options["check"]
    if output is not None and check is not None:
        raise click.UsageError("--output writes the file and --check reads it: use one of them")
    data = _named_types("--data", options["data"])
    scalars = _named_types("--scalar", options["scalar"])
    if options["target"] is None:
        for option, is_given in (("--data", bool(data)), ("--sync", options["is_sync"])):
            if is_given:
                text = f"{option} is for functions that publish: name --target app:manager"
                raise click.UsageError(text)
    require("graphql", "codegen")
    manager = load_schema(options["target"], options["schema"], options["app_dir"])
    for option, types in (("--data", data), ("--scalar", scalars)):
        for written in types.values():
            _check_type(option, written, options["app_dir"])
    documents = _documents(manager, options["documents"])
    if documents is None:
        return FAILURE
    text = _Generation(manager, data, scalars).text(
        documents, is_sync=options["is_sync"], has_channels=options["target"] is not None
    )
    if check is not None:
        advice = f"fraiseql-subs codegen {_arguments(context)} --output {shlex.quote(check)}"
        return compare(Path(check), text, "what is generated", advice)
    if output is not None:
        write(Path(output), text)
    else:
        click.echo(text, nl=False)
    return 0


def _named_types(option: str, given: Iterable[str]) -> dict[str, str]:
    """Return types by name."""
    types: dict[str, str] = {}
    for each in given:
        name, _, written = each.partition("=")
        if not name.isidentifier() or not all(part.isidentifier() for part in written.split(".")):
            example = "orderUpdated=app.models.OrderRow" if option == "--data" else "Money=str"
            raise click.UsageError(
                f"{option}: {each!r}: write a name and a type, such as {example}"
            )
        types[name] = written
    return types


def _check_type(option: str, written: str, app_dir: str) -> None:
    """Refuse a type that the generated module could not import."""
    module, _, name = written.rpartition(".")
    if not module:
        if not (hasattr(builtins, name) or name in IMPORTED):
            text = f"{option}: {name} is no type of Python: write its module too, app.models.{name}"
            raise click.UsageError(text)
        return
    try:
        find_attribute(load_module(f"{module}:{name}", app_dir)[0], name)
    except click.UsageError as error:
        raise click.UsageError(f"{option} {written}: {error.message}") from None


def _documents(
    manager: SubscriptionManager, paths: tuple[str, ...]
) -> list[tuple[str, str]] | None:
    """Return the documents; None: one is refused, which is said."""
    documents = [*read_documents(paths)]
    problems = [each for document in documents for each in check_document(manager, document)[0]]
    for problem in problems:
        click.echo(with_source(problem), err=True)
    return None if problems else [(each.name, each.text) for each in documents]


class _Generation:
    """Writes the module of one schema."""

    def __init__(
        self, manager: SubscriptionManager, data: Mapping[str, str], scalars: Mapping[str, str]
    ) -> None:
        from graphql import build_schema

        self._manager = manager
        self._data = data
        self._schema = build_schema(manager.sdl(), assume_valid=True)
        self._source, self._definitions = manager.declarations.resolve()
        self._check_names(data, scalars)
        self._module = Module(Names([*data.values(), *scalars.values()]))
        self._types = SchemaTypes(
            self._module,
            self._schema,
            keys=self._source.sources,
            scalar_kinds=self._source.scalar_kinds,
            scalars=scalars,
        )

    def _check_names(self, data: Mapping[str, str], scalars: Mapping[str, str]) -> None:
        from graphql import is_scalar_type, is_specified_scalar_type

        fields = [each.field for each in self._definitions if each.channel is not None]
        known = [
            name
            for name, each in self._schema.type_map.items()
            if is_scalar_type(each) and not is_specified_scalar_type(each)
        ]
        for option, given, names, kind in (
            ("--data", data, fields, "subscription with a channel"),
            ("--scalar", scalars, known, "custom scalar"),
        ):
            for name in given:
                if name not in names:
                    others = f"there are {', '.join(names)}" if names else "there is none"
                    raise click.UsageError(f"{option}: {name} is no {kind}: {others}")

    def text(
        self, documents: Iterable[tuple[str, str]], *, is_sync: bool, has_channels: bool
    ) -> str:
        """Return the text of the module."""
        self._types.write()
        writer = DocumentTypes(self._types)
        for name, document in documents:
            try:
                writer.write(name, document)
            except RepeatedOperationError as error:
                raise click.ClickException(str(error)) from None
        if has_channels:
            options = PublisherOptions(
                is_sync=is_sync,
                has_tenants=self._manager.tenant_isolation is not None,
                has_transactions=self._manager.bus_options.has_transactions,
                enum_texts=_enum_texts(self._source),
                data=self._data,
            )
            Publishers(self._types, options).write(self._definitions)
        return self._module.text(_ABOUT)


def _enum_texts(source: SchemaSource) -> dict[str, dict[str, Any]]:
    return {name: dict(members) for name, members in source.published_enums}


def _arguments(context: click.Context) -> str:
    """Return the options of the command line that say what is generated."""
    given = context.params
    names = {"is_sync": "--sync"}
    words: list[str] = []
    for name, value in given.items():
        option = names.get(name, f"--{name.replace('_', '-')}")
        if name in ("output", "check") or value in (None, False, (), "."):
            continue
        values = value if isinstance(value, tuple) else (value,)
        for each in values:
            words += [option] if each is True else [option, shlex.quote(str(each))]
    return " ".join(words)
