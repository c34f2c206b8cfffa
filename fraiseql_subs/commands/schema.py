"""The command `fraiseql-subs schema`: prints the schema that a manager serves, or compares it.

Not here: how the manager is found (`_target`), and how the schema is built.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import click

from ..errors import FraiseQLSubsError
from ..manager import SubscriptionManager
from ._extra import require
from ._generated import read, show_difference, write
from ._schema_changes import find_changes
from ._status import FAILURE
from ._target import TargetError, load_manager
from ._traceback import told

_EPILOG = """\b
Examples:
  fraiseql-subs schema app:manager
  fraiseql-subs schema app:manager --output schema.graphql
  fraiseql-subs schema app:manager --check schema.graphql
  fraiseql-subs schema app:manager --check schema.graphql --only-breaking
  fraiseql-subs schema app:manager --json --output schema.json

The exit status is 0, 1 if --check finds a difference (with --only-breaking: one that breaks
clients), the module raises or the file cannot be read or written, 2 for an invalid command line.
"""

# Section 4 of the GraphQL specification, to the depth that tools ask for.
_TYPE = "kind name " + "ofType { kind name " * 7 + "} " * 7
_INPUT = f"name description type {{ {_TYPE} }} defaultValue isDeprecated deprecationReason"
_INTROSPECTION = f"""{{ __schema {{
  description
  queryType {{ name }} mutationType {{ name }} subscriptionType {{ name }}
  types {{
    kind name description specifiedByURL
    fields(includeDeprecated: true) {{
      name description isDeprecated deprecationReason
      args(includeDeprecated: true) {{ {_INPUT} }} type {{ {_TYPE} }}
    }}
    inputFields(includeDeprecated: true) {{ {_INPUT} }}
    interfaces {{ {_TYPE} }} possibleTypes {{ {_TYPE} }}
    enumValues(includeDeprecated: true) {{ name description isDeprecated deprecationReason }}
  }}
  directives {{
    name description isRepeatable locations args(includeDeprecated: true) {{ {_INPUT} }}
  }}
}} }}"""


@click.command("schema", short_help="Print or check the schema of a manager.", epilog=_EPILOG)
@click.argument("target")
@click.option("--json", "is_json", is_flag=True, help="The result of introspection, not SDL.")
@click.option("--output", metavar="FILE", help="Write it to a file, as a whole or not at all.")
@click.option(
    "--check", metavar="FILE", help="Compare it with a file, and print how the file differs."
)
@click.option(
    "--only-breaking",
    is_flag=True,
    help="With --check: a difference that does not break clients is no failure.",
)
@click.option(
    "--app-dir", metavar="FOLDER", default=".", help="Folder of the module (default: this one)."
)
def command(
    target: str,
    *,
    is_json: bool,
    output: str | None,
    check: str | None,
    only_breaking: bool,
    app_dir: str,
) -> int:
    """Print the schema that a manager serves, as SDL.

    TARGET is module:manager, the module and the name of its SubscriptionManager, or of a function
    that returns one; or a module that has one manager.
    """
    if output is not None and check is not None:
        raise click.UsageError("--output writes the file and --check reads it: use one of them")
    if only_breaking:
        if check is None:
            raise click.UsageError("--only-breaking is for --check FILE, which is missing")
        require("graphql", "--only-breaking")
    manager = load_manager(target, app_dir)
    try:
        text = asyncio.run(_introspection(manager)) if is_json else manager.sdl().rstrip() + "\n"
    except FraiseQLSubsError as error:
        raise TargetError(told(error, f"{target} has no schema")) from None
    if check is not None:
        advice = f"fraiseql-subs schema {target}{' --json' if is_json else ''} --output {check}"
        return _check(Path(check), text, advice, is_json=is_json, only_breaking=only_breaking)
    if output is not None:
        write(Path(output), text)
    else:
        click.echo(text, nl=False)
    return 0


async def _introspection(manager: SubscriptionManager) -> str:
    # Another manager, without an engine, answers from the same schema.
    reader = SubscriptionManager(schema=manager.sdl())
    async with reader, reader.subscribe(_INTROSPECTION) as results:
        async for result in results:
            return json.dumps({"data": result.data}, indent=2, ensure_ascii=False) + "\n"
    raise AssertionError("a query has a result")


def _check(path: Path, text: str, advice: str, *, is_json: bool, only_breaking: bool) -> int:
    """Print how a file differs, and which changes break clients; return the exit status."""
    known = read(path)
    _check_form(path, known, is_json=is_json)
    if not show_difference(known, text, str(path), "served"):
        return 0
    counted = ""
    try:
        changes = find_changes(known, text, is_json=is_json)
    except ValueError as error:
        if only_breaking:
            raise click.ClickException(f"--check: {path} is no schema: {error}") from None
        click.echo(f"{path} is no schema, so breaking changes are unknown: {error}", err=True)
        changes = None
    else:
        if changes is None:
            what = "which changes break clients is said with graphql-core:"
            click.echo(f"{what} pip install 'fraiseql-subs[cli]'", err=True)
    if changes is not None:
        changes.show()
        count = len(changes.breaking)
        counted = f" ({count} breaking change{'' if count == 1 else 's'})"
    if only_breaking and changes is not None and not changes.breaking:
        return 0
    click.echo(f"{path} is not the schema that is served{counted}; to write it: {advice}", err=True)
    return FAILURE


def _check_form(path: Path, text: str, *, is_json: bool) -> None:
    """Refuse SDL in place of the result of introspection, and the other way round."""
    # No SDL begins with an object.
    has_json = text.lstrip().startswith("{")
    if is_json and text.strip() and not has_json:
        raise click.ClickException(f"--check: {path} is no JSON: compare SDL without --json")
    if has_json and not is_json:
        raise click.ClickException(f"--check: {path} is JSON: compare it with --json")
