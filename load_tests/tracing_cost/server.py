"""A server whose tracing is as its argument says; it publishes when it is told to.

    python -m load_tests.tracing_cost.server MODE FIELD

It writes its port, and for each line with a number of events: publishes as many, waits until all
clients have been sent theirs, and writes the CPU time of all its threads for that (seconds).
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable

from fraiseql_subs import Event, Limits, SubscriptionManager, passthrough, subscription

CHUNK = 50
"""Events that are published before their results are waited for (count)."""


def absent() -> None:
    """Leave OpenTelemetry out of the process."""


def imported() -> None:
    """Import the API, as libraries do, without a provider."""
    import opentelemetry.trace  # noqa: F401


def with_sampler(name: str) -> None:
    """Set a provider whose spans are exported to nowhere, in batches, as in production."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider, sampling
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans: object) -> SpanExportResult:
            del spans
            return SpanExportResult.SUCCESS

    root = {"none": sampling.ALWAYS_OFF, "all": sampling.ALWAYS_ON}[name]
    provider = TracerProvider(sampler=sampling.ParentBased(root), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    trace.set_tracer_provider(provider)


MODES: dict[str, Callable[[], None]] = {
    "absent": absent,
    "imported": imported,
    "none": lambda: with_sampler("none"),
    "all": lambda: with_sampler("all"),
}
"""What is done about OpenTelemetry before the manager starts."""


@subscription(channel="orders")
async def resolved(event: Event) -> int:
    return event.data


passed = passthrough("passed", int, channel="orders")


async def deliver(manager: SubscriptionManager, events: int) -> None:
    """Publish, and wait until every subscriber has its results."""
    begin = manager.metrics()
    for first in range(0, events, CHUNK):
        chunk = range(first, min(first + CHUNK, events))
        for number in chunk:
            await manager.publish("orders", number)
        expected = begin.results_sent + chunk.stop * begin.subscriptions
        while manager.metrics().results_sent < expected:
            await asyncio.sleep(0.0005)


async def main(mode: str, field: str) -> None:
    """Serve until the input ends."""
    MODES[mode]()
    has_api = "opentelemetry.trace" in sys.modules
    if has_api is (mode == "absent"):
        raise SystemExit(f"OpenTelemetry is {'' if has_api else 'not '}imported")
    declared = {"passed": passed, "resolved": resolved}[field]
    limits = Limits(max_pending_bytes=64 * 1024 * 1024)
    manager = SubscriptionManager([declared], limits=limits, workers=1)
    loop = asyncio.get_running_loop()
    async with manager.serve(port=0, drain=0.0) as server:
        print(server.url, flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            cpu = time.process_time()
            await deliver(manager, int(line))
            print(time.process_time() - cpu, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
