"""Exemplars: a bucket of delays leads to the trace of a delivery."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import parser as prometheus_parser
from prometheus_client.openmetrics import parser as openmetrics_parser
from support import eventually
from support.spans import Exported

from fraiseql_subs import SubscriptionManager, Tracing, passthrough

feed = passthrough("feed", int, channel="feed")


def exemplars(manager: SubscriptionManager) -> list[Any]:
    """Return the samples with exemplars, which are all of one family."""
    families = openmetrics_parser.text_string_to_metric_families(manager.openmetrics())
    return [s for family in families for s in family.samples if s.exemplar]


async def delivered(manager: SubscriptionManager, serve: Any, connect: Any) -> None:
    server = await serve(manager)
    client = await connect(server.url)
    id = await client.subscribe("subscription { feed }")
    await manager.publish("feed", 1)
    assert await client.receive_data(id) == {"feed": 1}


async def test_a_bucket_of_delays_names_the_trace_of_its_newest_delivery(serve, connect):
    spans = Exported()
    tracing = Tracing(tracer_provider=spans.provider, sample_deliveries=1)
    manager = SubscriptionManager([feed], tracing=tracing)
    await delivered(manager, serve, connect)
    await eventually(lambda: bool(exemplars(manager)), "the delivery is counted")
    (sample,) = exemplars(manager)
    assert sample.name == "fraiseql_subs_event_to_socket_seconds_bucket"
    assert sample.labels["field"] == "feed" and sample.value == 1
    context = spans.one("publish feed").context
    assert context is not None
    assert sample.exemplar.labels == {"trace_id": format(context.trace_id, "032x")}
    assert 0 < sample.exemplar.value <= float(sample.labels["le"])
    assert sample.exemplar.timestamp is not None
    # The other format has no place for them.
    assert "trace_id" not in manager.prometheus()
    assert list(prometheus_parser.text_string_to_metric_families(manager.prometheus()))


@pytest.mark.parametrize("tracing", [False, "without deliveries"], ids=["off", "unsampled"])
async def test_what_is_not_traced_has_none(serve, connect, tracing):
    if tracing:
        tracing = Tracing(tracer_provider=Exported().provider, sample_deliveries=0)
    manager = SubscriptionManager([feed], tracing=tracing)
    await delivered(manager, serve, connect)
    await eventually(lambda: manager.metrics().results_sent == 1, "the delivery is counted")
    assert exemplars(manager) == []
