"""Draws the dashboard of deploy/grafana from its own queries.

    python -m load_tests.dashboard [--seconds 300] [--output docs/images/dashboard.png]

Two nodes over Redis serve clients, a private Prometheus scrapes them, and then each query of the
dashboard is asked for the whole time. The picture has the layout of the dashboard. It is no
screenshot of Grafana. The titles of panels without data are printed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from load_tests.compare.measure import ROOT
from load_tests.dashboard.crowd import crowd
from load_tests.dashboard.panels import panels, picture
from load_tests.prometheus_server import PrometheusServer
from load_tests.redis_server import RedisServer

DASHBOARD = ROOT / "deploy/grafana/dashboard.json"

EVERY = 2
"""Time between two scrapes (seconds)."""

INTERVAL = "20s"
"""What rates are taken of."""

POLICIES = ("drop_oldest", "disconnect")
"""What each node does with clients that are too slow."""


@contextlib.asynccontextmanager
async def shop(bus: str, policy: str) -> AsyncIterator[str]:
    """Run a node until the block ends; yields its URL."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "load_tests.dashboard.shop", bus, policy),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # The log says what fails here on purpose.
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        url = (await process.stdout.readline()).decode().strip()
        if not url:
            raise SystemExit("a node does not start")
        yield url
    finally:
        process.stdin.close()
        await process.wait()


async def draw(seconds: float) -> tuple[bytes, list[str]]:
    """Draw the picture; return the titles of panels without data, too."""
    with RedisServer() as redis:
        async with contextlib.AsyncExitStack() as stack:
            nodes = [await stack.enter_async_context(shop(redis.bus, each)) for each in POLICIES]
            targets = [urlsplit(url).netloc for url in nodes]
            with PrometheusServer(targets, EVERY) as prometheus:
                begin = time.time()
                await crowd(nodes, seconds)
                # Not when all of them have left.
                end = begin + seconds

                def query(expression: str) -> list[Any]:
                    found = prometheus.query_range(expression, begin, end, EVERY)
                    for series in found:
                        series["values"] = [[at - begin, value] for at, value in series["values"]]
                    return found

                return picture(panels(DASHBOARD), query, INTERVAL)


def main() -> None:
    """Draw what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.dashboard", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="how long clients are served")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/images/dashboard.png")
    options = parser.parse_args()
    drawn, empty = asyncio.run(draw(options.seconds))
    options.output.write_bytes(drawn)
    sys.stdout.write(
        f"{options.output.name}: {len(drawn) // 1024} KiB; without data: {empty or 'none'}\n"
    )


if __name__ == "__main__":
    main()
