"""The text formats of metrics, as their own parsers read them, and which one a reader is sent."""

from __future__ import annotations

import httpx
import pytest
from prometheus_client import parser as prometheus_parser
from prometheus_client.openmetrics import parser as openmetrics_parser
from support import eventually

from fraiseql_subs import Event, SubscriptionManager, passthrough, subscription

feed = passthrough("feed", int, channel="feed")

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@subscription(channel="feed")
async def doubled(event: Event) -> int:
    return 2 * int(event.data)


async def used_manager(manager: SubscriptionManager) -> None:
    for field in ("feed", "doubled"):
        async with manager.subscribe(f"subscription {{ {field} }}") as results:
            await manager.publish("feed", 1)
            await results.__anext__()


def samples(families):
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


async def test_both_formats_are_read_by_their_parsers_and_say_the_same():
    async with SubscriptionManager([feed, doubled]) as manager:
        await used_manager(manager)
        await eventually(
            lambda: all(s.value == 0 for s in manager.samples() if s.name == "subscriptions"),
            "the subscriptions have ended",
        )
        plain = list(prometheus_parser.text_string_to_metric_families(manager.prometheus()))
        open_ = list(openmetrics_parser.text_string_to_metric_families(manager.openmetrics()))
        assert samples(plain) == samples(open_)
        counted = samples(open_)
        key = (("field", "doubled"), ("protocol", "in-process"))
        assert counted["fraiseql_subs_results_sent_total", key] == 1
        assert counted["fraiseql_subs_event_to_socket_seconds_count", key] == 1
        kinds = {family.name: family.type for family in open_}
        assert kinds["fraiseql_subs_results_sent"] == "counter"
        assert kinds["fraiseql_subs_connections"] == "gauge"
        assert kinds["fraiseql_subs_resolver_seconds"] == "histogram"
        units = {family.name: family.unit for family in open_}
        assert units["fraiseql_subs_resolver_seconds"] == "seconds"
        assert units["fraiseql_subs_history_bytes"] == "bytes"


async def test_every_family_says_what_it_counts():
    async with SubscriptionManager([feed]) as manager:
        families = list(openmetrics_parser.text_string_to_metric_families(manager.openmetrics()))
    assert families
    assert [family.name for family in families if not family.documentation.endswith(".")] == []


async def test_a_manager_that_was_never_started_has_no_metrics():
    manager = SubscriptionManager([feed])
    assert manager.prometheus() == ""
    assert manager.openmetrics() == "# EOF\n"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, PROMETHEUS),
        ("text/plain", PROMETHEUS),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", OPENMETRICS),
        ("application/openmetrics-text;q=0.2, text/plain;q=0.5", PROMETHEUS),
    ],
)
async def test_the_server_sends_the_format_that_is_asked_for(serve, accept, content_type):
    manager = SubscriptionManager([feed])
    server = await serve(manager)
    await used_manager(SubscriptionManager([feed, doubled]))
    url = server.http_url.removesuffix("/graphql") + "/metrics"
    async with httpx.AsyncClient(headers={"accept": accept} if accept else None) as client:
        response = await client.get(url)
    assert response.headers["content-type"] == content_type
    assert response.headers["vary"] == "accept"
    parser = openmetrics_parser if content_type == OPENMETRICS else prometheus_parser
    names = {f.name for f in parser.text_string_to_metric_families(response.text)}
    assert "fraiseql_subs_connections" in names
    assert response.text.endswith("# EOF\n") == (content_type == OPENMETRICS)
