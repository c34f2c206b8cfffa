"""Settings of tracing, and the trace of an event."""

from opentelemetry.trace import get_tracer_provider

from fraiseql_subs import Event, Publisher, SubscriptionManager, Tracing, subscription


@subscription(channel="orders")
async def order(event: Event) -> str | None:
    parent: str | None = event.traceparent
    return parent or event.tracestate


tracing = Tracing(tracer_provider=get_tracer_provider())
SubscriptionManager([order], tracing=tracing)
SubscriptionManager([order], tracing=False)
Publisher("redis://127.0.0.1:6379", tracing=Tracing(publisher_span="link"))
