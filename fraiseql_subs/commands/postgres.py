"""The command `fraiseql-subs postgres`: prepares a database to be the engine.

Not here: the SQL itself, which the engine has.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import click

from .._core import postgres_execute, postgres_install_sql, postgres_uninstall_sql
from ..errors import ConfigurationError

URL = "FRAISEQL_SUBS_POSTGRES_URL"
"""Environment variable with the default of `--url`, which may have a password."""

_EPILOG = f"""\b
Examples:
  fraiseql-subs postgres install --url postgresql://admin@host/shop --node app --publisher app
  fraiseql-subs postgres install --url postgresql://admin@host/shop --table public.orders
  fraiseql-subs postgres install --url postgresql://admin@host/shop --node app --outbox
  fraiseql-subs postgres install --print >install.sql
  fraiseql-subs postgres uninstall --url postgresql://admin@host/shop

The exit status is 0 if it was done, 1 if it was not, 2 for an invalid command line.
What is done is one transaction: it is done as a whole or not at all. If uninstall fails
after it has dropped a replication slot, it names the slot.
A URL may have a password: set {URL} in place of --url.
"""


@click.group(
    "postgres", short_help="Prepare a PostgreSQL database to carry events.", epilog=_EPILOG
)
def command() -> None:
    """Prepare a PostgreSQL database to carry events, and undo it."""


_Function = TypeVar("_Function", bound=Callable[..., int])


def _with_target(function: _Function) -> _Function:
    """Add the options that say which database it is."""
    url = click.option(
        "--url", metavar="URL", help=f"The database, postgresql://user@host/name (default: ${URL})."
    )
    dry = click.option(
        "--print",
        "is_printed",
        is_flag=True,
        help="Print the SQL, one transaction for psql, and do nothing.",
    )
    return url(dry(function))


def _with_names(option: str, metavar: str, text: str) -> Callable[[_Function], _Function]:
    """Add an option that may be repeated."""
    return click.option(
        option,
        metavar=metavar,
        multiple=True,
        callback=_refuse_empty,
        help=f"{text}; may be repeated.",
    )


def _refuse_empty(_context: object, _parameter: object, names: tuple[str, ...]) -> tuple[str, ...]:
    if "" in names:
        raise click.BadParameter("it is empty: write a name, or leave the option out")
    return names


@command.command("install", short_help="Create the schema and its publication, or update them.")
@_with_target
@_with_names("--table", "TABLE", "Table whose changes are events, spelled as in SQL")
@_with_names("--publisher", "ROLE", "Role that may publish, by SQL or as a Publisher")
@_with_names("--node", "ROLE", "Role as which servers connect")
@click.option(
    "--outbox",
    is_flag=True,
    help="Events are rows of a table, in place of the log: needs no logical decoding, no"
    " REPLICATION.",
)
@click.option(
    "--switch",
    is_flag=True,
    help="Change a database that is prepared without an outbox to one with it (--outbox), or"
    " back; what is kept in the outbox, or the publication, is dropped: end programs before.",
)
def _install(
    url: str | None,
    is_printed: bool,
    table: tuple[str, ...],
    publisher: tuple[str, ...],
    node: tuple[str, ...],
    outbox: bool,
    switch: bool,
) -> int:
    """Create the schema fraiseql_subs and its publication, or bring them up to date."""
    if outbox and table:
        together = (
            "--table needs logical decoding, which --outbox does without: leave out one of them"
        )
        raise click.UsageError(together)
    try:
        sql = postgres_install_sql(list(table), list(publisher), list(node), outbox, switch)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None
    if outbox:
        done = ["prepared the schema fraiseql_subs with an outbox: write ?outbox=true in each URL"]
    else:
        done = ["prepared the schema fraiseql_subs and the publication fraiseql_subs"]
    done += [f"changes of {table} are events" for table in table]
    done += [f"{role} may publish" for role in publisher]
    done += [f"{role} may be a node" for role in node]
    return _run(url, sql, done, "nothing was changed", is_printed=is_printed)


@command.command("uninstall")
@_with_target
@_with_names("--slot", "NAME", "Replication slot of a source that has a name of its own")
def _uninstall(url: str | None, is_printed: bool, slot: tuple[str, ...]) -> int:
    """Remove the schema, the publication and the slots of sources."""
    done = ["removed the publication, the schema and the replication slot fraiseql_subs"]
    done += [f"removed the replication slot {name}" for name in slot]
    # A slot that was dropped does not come back: the failure names it.
    not_done = "the schema was not removed"
    return _run(url, postgres_uninstall_sql(list(slot)), done, not_done, is_printed=is_printed)


def _run(url: str | None, sql: str, done: list[str], not_done: str, *, is_printed: bool) -> int:
    if is_printed:
        sys.stdout.write(sql)
        return 0
    url = url or os.environ.get(URL)
    if not url:
        missing = f"--url is missing: write postgresql://user@host/database, or set {URL}"
        raise click.UsageError(missing)
    try:
        with _ended_by_interrupt():
            failure, warnings = postgres_execute(url, sql)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None
    if failure is not None:
        sys.stderr.write(f"{not_done}: {failure}\n")
        return 1
    sys.stderr.writelines(f"{line}\n" for line in warnings)
    sys.stdout.writelines(f"{line}\n" for line in done)
    return 0


@contextlib.contextmanager
def _ended_by_interrupt() -> Iterator[None]:
    """Let Ctrl-C end the process: the call within does not come back to Python before its end.

    PostgreSQL takes back what it has done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
