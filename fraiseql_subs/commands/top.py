"""The command `fraiseql-subs top`: shows what a server does now, as its metrics say.

Not here: how metrics are read (`_top_metrics`), what is shown of them (`_top_sections`), the screen
(`_top_screen`), and what is printed without one (`_top_output`).
"""

from __future__ import annotations

import asyncio
import sys

import click

from ._endpoint import endpoint_options, read_endpoint
from ._extra import require

_EPILOG = """\b
Examples:
  fraiseql-subs top http://127.0.0.1:8000
  fraiseql-subs top https://example.com/metrics --token ... --interval 5
  fraiseql-subs top http://127.0.0.1:8000 --once
  fraiseql-subs top http://127.0.0.1:8000 --once --json | jq .totals.connections

On the screen q ends it and p pauses. The exit status is 0, 1 if the metrics cannot be read, 2 for
an invalid command line, 130 after Ctrl-C.
"""


@click.command("top", short_help="Show what a server does now.", epilog=_EPILOG)
@click.argument("url")
@click.option(
    "--interval",
    metavar="SECONDS",
    type=click.FloatRange(min=0.05, max=3600),
    default=2.0,
    show_default=True,
    help="Time between two readings; rates are those of this time.",
)
@click.option("--once", is_flag=True, help="Print what two readings say, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each reading.")
@endpoint_options
def command(
    url: str,
    *,
    interval: float,
    once: bool,
    as_json: bool,
    token: str | None,
    headers: tuple[str, ...],
    ca: str | None,
    insecure: bool,
) -> int:
    """Show connections, subscriptions, rates, delays, losses and the engine of a server.

    URL is that of its metrics; without a path it is /metrics. Without a terminal, tables are
    printed once.
    """
    # The root of a server has no metrics.
    endpoint = read_endpoint(
        url.rstrip("/"), token=token, headers=headers, ca=ca, insecure=insecure
    ).with_path("/metrics")
    # The library reads stdin and draws on stderr.
    has_terminal = all(file.isatty() for file in (sys.stdin, sys.stdout, sys.stderr) if file)
    is_screen = has_terminal and not (once or as_json)
    for library in ("httpx", "prometheus_client", *(["textual"] if is_screen else [])):
        require(library, "top")
    from ._top_metrics import MetricsReader, MetricsUnreadable
    from ._top_output import print_readings, print_tables

    if is_screen:
        from ._top_screen import run_screen

    async def run() -> None:
        async with MetricsReader(endpoint) as reader:
            if is_screen:
                await run_screen(reader, endpoint.place, interval)
            elif as_json:
                await print_readings(reader, interval, is_one=once)
            else:
                await print_tables(reader, interval)

    try:
        asyncio.run(run())
    except MetricsUnreadable as error:
        raise click.ClickException(f"{endpoint.place}: {error}") from None
    return 0
