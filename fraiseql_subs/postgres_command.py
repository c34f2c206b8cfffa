"""The command `fraiseql-subs postgres`: prepares a database to be the engine.

Not here: the SQL itself, which the engine has.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ._core import postgres_execute, postgres_install_sql, postgres_uninstall_sql
from ._usage import UsageError
from .errors import ConfigurationError

if TYPE_CHECKING:
    from ._usage import Commands

URL = "FRAISEQL_SUBS_POSTGRES_URL"
"""Environment variable with the default of `--url`, which may have a password."""

_EPILOG = f"""\
examples:
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


def add(commands: Commands) -> None:
    """Add the subcommand."""
    command = commands.add_parser(
        "postgres",
        help="prepare a PostgreSQL database to carry events",
        description="Prepares a PostgreSQL database to carry events, and undoes it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = command.add_subparsers(metavar="action", required=True)
    install = actions.add_parser(
        "install",
        help="create the schema fraiseql_subs and its publication, or bring them up to date",
    )
    _add_target(install)
    for option, metavar, text in (
        ("--table", "TABLE", "table whose changes are events, spelled as in SQL"),
        ("--publisher", "ROLE", "role that may publish, by SQL or as a Publisher"),
        ("--node", "ROLE", "role as which servers connect"),
    ):
        install.add_argument(
            option, metavar=metavar, action="append", default=[], help=f"{text}; may be repeated"
        )
    install.add_argument(
        "--outbox",
        action="store_true",
        help="events are rows of a table, in place of the log: needs no logical decoding, no"
        " REPLICATION",
    )
    install.add_argument(
        "--switch",
        action="store_true",
        help="change a database that is prepared without an outbox to one with it (--outbox), or"
        " back; what is kept in the outbox, or the publication, is dropped: end programs before",
    )
    install.set_defaults(run=_install)
    uninstall = actions.add_parser(
        "uninstall", help="remove the schema, the publication and the slots of sources"
    )
    _add_target(uninstall)
    uninstall.add_argument(
        "--slot",
        metavar="NAME",
        action="append",
        default=[],
        help="replication slot of a source that has a name of its own; may be repeated",
    )
    uninstall.set_defaults(run=_uninstall)


def _add_target(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--url", metavar="URL", help=f"the database, postgresql://user@host/name (default: ${URL})"
    )
    command.add_argument(
        "--print",
        action="store_true",
        help="print the SQL, one transaction for psql, and do nothing",
    )


def _install(options: argparse.Namespace) -> int:
    if options.outbox and options.table:
        together = (
            "--table needs logical decoding, which --outbox does without: leave out one of them"
        )
        raise UsageError(together)
    try:
        sql = postgres_install_sql(
            options.table, options.publisher, options.node, options.outbox, options.switch
        )
    except ConfigurationError as error:
        raise UsageError(str(error)) from None
    if options.outbox:
        done = ["prepared the schema fraiseql_subs with an outbox: write ?outbox=true in each URL"]
    else:
        done = ["prepared the schema fraiseql_subs and the publication fraiseql_subs"]
    done += [f"changes of {table} are events" for table in options.table]
    done += [f"{role} may publish" for role in options.publisher]
    done += [f"{role} may be a node" for role in options.node]
    return _run(options, sql, done, "nothing was changed")


def _uninstall(options: argparse.Namespace) -> int:
    done = ["removed the publication, the schema and the replication slot fraiseql_subs"]
    done += [f"removed the replication slot {slot}" for slot in options.slot]
    # A slot that was dropped does not come back: the failure names it.
    not_done = "the schema was not removed"
    return _run(options, postgres_uninstall_sql(options.slot), done, not_done)


def _run(options: argparse.Namespace, sql: str, done: list[str], not_done: str) -> int:
    if options.print:
        sys.stdout.write(sql)
        return 0
    url = options.url or os.environ.get(URL)
    if not url:
        missing = f"--url is missing: write postgresql://user@host/database, or set {URL}"
        raise UsageError(missing)
    try:
        with _ended_by_interrupt():
            failure, warnings = postgres_execute(url, sql)
    except ConfigurationError as error:
        raise UsageError(str(error)) from None
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
