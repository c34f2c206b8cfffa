"""The counters of a manager, and its open connections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from .config import Identity


@dataclass(frozen=True, slots=True)
class Metrics:
    """Counters of a manager since it was started; all zero before.

    Attributes:
        connections: Client connections that are open now.
        subscriptions: Subscriptions that run now, including in-process ones.
        events_accepted: Events that the bus has accepted from publishers.
        events_published: Events that the bus has broadcast; the others are waiting.
        events_matched: Events that matched at least one subscription, counted for each worker.
        results_sent: Results queued for subscribers.
        resolver_calls: Resolver calls started, including source streams and initial values.
        resolver_errors: Resolver calls that raised or timed out.
        resolver_timeouts: Resolver calls ended by their timeout.
        field_errors: Fields of results that could not be read, or whose value does not fit the
            schema, counted for each projection.
        slow_consumer_disconnects: Subscribers disconnected because they were too slow.
        results_dropped: Results dropped because their subscriber was too slow.
        events_dropped: Events dropped before a resolver call because the resolver was too slow.
        denied_origin: Handshakes and requests refused for their `Origin`.
        denied_host: Handshakes and requests refused for their `Host`.
        denied_authentication: Clients refused by their token, by `authenticate` or by a revocation.
        denied_scope: Subscriptions refused for an argument that is not the identity's.
        denied_rbac: Subscriptions refused for a missing permission.
        denied_tenant: Subscriptions refused because the client has no tenant.
        denied_rows: Subscriptions refused by a row filter because the client has no identity.
        denied_federation: Subscriptions refused because they belong to another subgraph.
        denied_rate: Operations and requests refused, and connections closed, because a rate was
            exceeded.
        denied_proxy: Connections closed because they did not begin with the PROXY header of a
            trusted proxy.
        descriptors_exhausted: Times the process had no file descriptor left for another client.
        connections_expired: Connections closed because their identity had expired.
        connections_revoked: Clients refused by a revocation, and connections closed by one that
            this process has read late.
        connections_not_cut: Connections closed behind another server that still keeps their socket,
            until the client closes it or TCP times out.
        events_without_tenant: Events dropped under tenant isolation because they have no tenant.
        events_denied: Events withheld by row filters, counted for each subscription or group.
        results_rate_limited: Results dropped because their rate was too high.
        log_records_unwritten: Log records of this process that were counted instead of written,
            because there were too many of their kind, or because their handler raised.
        history_events: Events that are kept now for clients that reconnect.
        history_bytes: Approximate size of these events (bytes).
        subscriptions_resumed: Subscriptions that resumed and received the events that they missed.
        resumes_too_late: Subscriptions that could not resume because the missed events are no
            longer kept.
        events_replayed: Missed events that were sent to a subscription, or to its resolver.
        groups: Projection groups that exist now: passthrough subscriptions with equal plan, route
            and security view on one worker.
        group_projections: Projections made for a group, each shared by all its members.
        bus_is_live: Whether all links to the engine work: 1 or 0; 0 where there is none.
        bus_links_lost: How often a link to the engine was lost while all worked.
        bus_streams: Streams whose events the engine delivers to this process, now.
        bus_duplicates: Events that the engine delivered again, and that were dropped.
        bus_gaps: Gaps that were noticed in what the engine delivers.
        bus_gap_events: Events that were read from the engine's history to fill gaps.
        bus_missed: Gaps that could not be filled: the subscribers of the stream were told.
        bus_reads: Reads of the engine's history.
        bus_unreadable: Events of other programs that reach no subscriber: they cannot be read, or
            are too large, or a row of a table that cannot be an event.
        bus_other_stream: Events that name another tenant or channel than they came on, and were
            dropped.
        bus_published: Events that the engine has taken from this process.
        bus_retried: Attempts to publish that followed a failed one.
        bus_not_sent: Events that could not be published.
        bus_unknown: Events that were sent, and not answered in time.
        bus_lost: Queued events that were never published.
        bus_queue_events: Events that wait to be published, now.
        bus_queue_bytes: What these take (bytes), now.
        source_is_live: Whether each source is read, by this process or another one: 1 or 0; 0 where
            there is none.
        source_reads: Sources that this process reads for all nodes, now.
        source_events: Events that this process has published from sources.
        source_lag_bytes: What PostgreSQL keeps for sources because it is not published yet
            (bytes), now.
        source_confirmed: Up to where in their logs sources are published (bytes), now.
        source_losses: How many times this process has told that events of sources were lost.
        bus_nodes: Nodes that are known now, this process among them; 0 without an engine.
        bus_control_unreadable: Messages of other nodes that could not be read, or found no room.
        revocations: Revocations that this process knows of, now.
    """

    connections: int = 0
    subscriptions: int = 0
    events_accepted: int = 0
    events_published: int = 0
    events_matched: int = 0
    results_sent: int = 0
    resolver_calls: int = 0
    resolver_errors: int = 0
    resolver_timeouts: int = 0
    field_errors: int = 0
    slow_consumer_disconnects: int = 0
    results_dropped: int = 0
    events_dropped: int = 0
    denied_origin: int = 0
    denied_host: int = 0
    denied_authentication: int = 0
    denied_scope: int = 0
    denied_rbac: int = 0
    denied_tenant: int = 0
    denied_rows: int = 0
    denied_federation: int = 0
    denied_rate: int = 0
    denied_proxy: int = 0
    descriptors_exhausted: int = 0
    connections_expired: int = 0
    connections_revoked: int = 0
    connections_not_cut: int = 0
    events_without_tenant: int = 0
    events_denied: int = 0
    results_rate_limited: int = 0
    log_records_unwritten: int = 0
    history_events: int = 0
    history_bytes: int = 0
    subscriptions_resumed: int = 0
    resumes_too_late: int = 0
    events_replayed: int = 0
    groups: int = 0
    group_projections: int = 0
    bus_is_live: int = 0
    bus_links_lost: int = 0
    bus_streams: int = 0
    bus_duplicates: int = 0
    bus_gaps: int = 0
    bus_gap_events: int = 0
    bus_missed: int = 0
    bus_reads: int = 0
    bus_unreadable: int = 0
    bus_other_stream: int = 0
    bus_published: int = 0
    bus_retried: int = 0
    bus_not_sent: int = 0
    bus_unknown: int = 0
    bus_lost: int = 0
    bus_queue_events: int = 0
    bus_queue_bytes: int = 0
    source_is_live: int = 0
    source_reads: int = 0
    source_events: int = 0
    source_lag_bytes: int = 0
    source_confirmed: int = 0
    source_losses: int = 0
    bus_nodes: int = 0
    bus_control_unreadable: int = 0
    revocations: int = 0


@dataclass(frozen=True, slots=True)
class MetricSample:
    """One metric of one combination of labels.

    Attributes:
        name: Its name, without the prefix and the suffix that it has for Prometheus.
        kind: `"counter"`: it only grows. `"gauge"`: it goes up and down. `"histogram"`: durations.
        labels: Names and values of its labels.
        value: The number; of a histogram, how many durations were counted.
        sum: Sum of the durations of a histogram (seconds).
        buckets: Upper bounds of a histogram (seconds), and how many durations are up to each and
            above the one before. The last bound is `inf`.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: Mapping[str, str]
    value: int
    sum: float = 0.0
    buckets: tuple[tuple[float, int], ...] = ()


def read_samples(samples: Iterable[Any]) -> list[MetricSample]:
    """Make samples of what the core returns."""
    return [
        MetricSample(name, kind, MappingProxyType(labels), value, total, tuple(buckets))
        for name, kind, labels, value, total, buckets in samples
    ]


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """One open connection; `SubscriptionManager.connections` lists them.

    Attributes:
        connection_id: Its id, as in `Context`; `disconnect(connection_id=...)` ends it.
        identity: The identity that `Security.authenticate` returned; None without the hook, or
            before it has returned.
        remote_address: Address of the client as `host:port`; None: unknown.
        protocol: `"graphql-transport-ws"`, `"graphql-ws"`, `"http"` for one operation over HTTP,
            or `"event-stream"` for a reserved stream.
        subscriptions: Operations that run on it (count).
        connected_at: When it was opened, by the clock of its node (seconds since the epoch).
        node_id: In a list of all nodes, the `Node.id` of the one that it is open on; else None.
    """

    connection_id: str
    identity: Identity | Mapping[str, Any] | None
    remote_address: str | None
    protocol: str
    subscriptions: int
    connected_at: float
    node_id: str | None = None
