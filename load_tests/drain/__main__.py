"""How fast clients reconnect when a node drains.

    python -m load_tests.drain [--clients 10000] [--drain 30] [--closes-per-second 500]

Two nodes serve. Clients of npm `graphql-ws` subscribe at the first one, which then receives SIGTERM
and drains; they go on at the second one. Printed are the reconnects in the second that has most of
them, beside the bound that was set, and the time until the last client is back. By default clients
reconnect without a pause, so that the server alone spreads them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from load_tests.compare.measure import machine
from load_tests.drain.crowd import Crowd
from load_tests.driver import Node

QUERY = 'subscription { feed(channel: "feed") { id } }'

SPARE = 200
"""Descriptors that a node has beside those of its clients (count)."""

PATIENCE = 120.0
"""How long clients may need to connect, or to come back after the drain (seconds)."""


@dataclass(frozen=True)
class Result:
    """What was measured.

    Attributes:
        clients: Clients (count).
        drain: The time that the node was given (seconds).
        closes_per_second: The bound (count).
        wait: Pause of the clients before they reconnect.
        most_per_second: Reconnects in the second with most of them (count).
        mean_per_second: Reconnects from the first to the last, in a second (count).
        first: Time from the signal to the first reconnect (seconds).
        all_back: Time from the signal until the last client was acknowledged (seconds).
        ended: Time from the signal to the end of the node (seconds).
        refused: Reconnects that reached the draining node (count).
        codes: Close codes of the draining node, with their number.
        subscriptions: Subscriptions of the second node at the end (count).
    """

    clients: int
    drain: float
    closes_per_second: float
    wait: str
    most_per_second: int
    mean_per_second: float
    first: float
    all_back: float
    ended: float
    refused: int
    codes: dict[int, int]
    subscriptions: int


def most_in_a_second(times: list[float]) -> int:
    """Count the moments in the second that has most of them."""
    times, most, first = sorted(times), 0, 0
    for last, moment in enumerate(times):
        while times[first] <= moment - 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


def clients_that_fit(wanted: int) -> int:
    """Allow this process and its children as many open files as may be; return what fits."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    fitting = min(wanted, hard - SPARE) if hard != resource.RLIM_INFINITY else wanted
    if fitting < wanted:
        print(f"{hard} open files are allowed: {fitting} clients in place of {wanted}", flush=True)
    return fitting


async def measure(options: argparse.Namespace) -> Result:
    """Drain a node with clients."""
    clients, bound = clients_that_fit(options.clients), options.closes_per_second
    draining = ["--drain", str(options.drain), "--closes-per-second", str(bound)]
    async with (
        Node("memory://", arguments=draining) as first,
        Node("memory://") as second,
        Crowd(clients, options.processes, options.wait, QUERY, [first.url, second.url]) as crowd,
    ):
        await crowd.until(lambda: len(crowd.connected[0]) == clients, PATIENCE)
        print(f"{clients} clients are connected", flush=True)
        begin = time.time()
        os.kill(first.pid, signal.SIGTERM)
        ended = asyncio.ensure_future(first.wait())
        patience = options.drain + PATIENCE
        await crowd.until(lambda: len(crowd.connected[1]) >= clients, patience)
        ended_at = await asyncio.wait_for(ended, patience)
        subscriptions = (await second.stats())["subscriptions"]
        times = sorted(crowd.opened[1])
        return Result(
            clients=clients,
            drain=options.drain,
            closes_per_second=bound,
            wait=options.wait,
            most_per_second=most_in_a_second(times),
            mean_per_second=len(times) / max(times[-1] - times[0], 1.0),
            first=times[0] - begin,
            all_back=max(crowd.connected[1]) - begin,
            ended=ended_at - begin,
            refused=sum(crowd.codes[0].values()) - clients,
            codes=dict(crowd.codes[0]),
            subscriptions=subscriptions,
        )


def show(result: Result) -> None:
    """Print what was measured."""
    bound = result.closes_per_second
    verdict = "held" if result.most_per_second <= bound else "EXCEEDED"
    print(f"machine              {', '.join(machine().values())}")
    print(f"clients              {result.clients}, pause before a reconnect: {result.wait}")
    print(f"drain                {result.drain:g} s, at most {bound:g} closes a second")
    print(f"reconnects a second  {result.most_per_second} at most: the bound is {verdict}")
    print(f"                     {result.mean_per_second:.0f} on average")
    print(f"first reconnect      {result.first:.2f} s after SIGTERM")
    print(f"all clients back     {result.all_back:.2f} s after SIGTERM")
    print(f"node ended           {result.ended:.2f} s after SIGTERM")
    print(f"close codes          {result.codes}; reached the draining node again: {result.refused}")
    print(f"second node          {result.subscriptions} subscriptions")


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.drain")
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=4, help="of Node.js (default: 4)")
    parser.add_argument("--drain", type=float, default=30.0)
    parser.add_argument("--closes-per-second", type=float, default=500.0)
    parser.add_argument("--wait", choices=("none", "default"), default="none")
    parser.add_argument("--json", type=Path, help="also writes the result to this file")
    options = parser.parse_args()
    result = asyncio.run(measure(options))
    show(result)
    if options.json is not None:
        options.json.write_text(json.dumps(asdict(result), indent=2) + "\n")


if __name__ == "__main__":
    main()
