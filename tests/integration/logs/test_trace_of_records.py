"""Records of the core have no trace of what happened to be current on the event loop."""

from __future__ import annotations

import logging

import httpx
from opentelemetry import trace
from support import PATIENCE, eventually

from fraiseql_subs import Security, SubscriptionManager, passthrough


async def test_a_record_has_no_trace_of_what_started_the_manager(caplog):
    """Such as the request that was the first to publish."""
    caplog.set_level(logging.WARNING, "fraiseql_subs")
    context = trace.SpanContext(7, 7, is_remote=False, trace_flags=trace.TraceFlags(1))
    security = Security(origins=["https://page.example"])
    manager = SubscriptionManager([passthrough("feed", int, channel="feed")], security=security)
    with trace.use_span(trace.NonRecordingSpan(context)):
        await manager.start()
    async with manager.serve(port=0) as server, httpx.AsyncClient(timeout=PATIENCE) as http:
        await http.post(server.http_url, headers={"origin": "https://other.example"})
        await eventually(lambda: caplog.records, "the denial is logged")
    (record,) = (record for record in caplog.records if record.event_name == "request.denied")
    assert record.trace is None
    await manager.close()
