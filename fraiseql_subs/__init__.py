"""GraphQL subscriptions for Python at the speed of Rust."""

from . import _interpreter as _interpreter  # before the compiled module
from ._core import Call, Event, Receipt
from ._core import __version__ as __version__
from .channel_names import channel_name
from .cluster import ClusterConnections, Disconnected, Node
from .config import Accepted, ConnectionParams, Drain, History, Identity, Limits
from .decorators import passthrough, subscription
from .engines import Nats, Postgres, Redis, Table
from .errors import (
    BusError,
    ConfigurationError,
    FraiseQLSubsError,
    GraphQLError,
    ManagerClosed,
    PublishError,
    SchemaError,
    ValidationError,
)
from .executor import Executor
from .manager import SubscriptionManager
from .metrics import ConnectionInfo, Metrics, MetricSample
from .publisher import Publisher, SyncPublisher
from .response_head import ResponseHead, ResponseHeaders
from .response_stream import ResponseStream
from .schema.computed import computed_field
from .schema.markers import Deprecated, Name, Scalar
from .security import (
    JWT,
    RBAC,
    TLS,
    Federation,
    Rates,
    RowFilter,
    Scope,
    Security,
    TenantIsolation,
)
from .server import Server
from .tenant import TenantPublisher
from .tracing import Tracing
from .types import ID, SKIP, Context, ExecutionResult, Skip, Snapshot

__all__ = [
    "ID",
    "JWT",
    "RBAC",
    "SKIP",
    "TLS",
    "Accepted",
    "BusError",
    "Call",
    "ClusterConnections",
    "ConfigurationError",
    "ConnectionInfo",
    "ConnectionParams",
    "Context",
    "Deprecated",
    "Disconnected",
    "Drain",
    "Event",
    "ExecutionResult",
    "Executor",
    "Federation",
    "FraiseQLSubsError",
    "GraphQLError",
    "History",
    "Identity",
    "Limits",
    "ManagerClosed",
    "MetricSample",
    "Metrics",
    "Name",
    "Nats",
    "Node",
    "Postgres",
    "PublishError",
    "Publisher",
    "Rates",
    "Receipt",
    "Redis",
    "ResponseHead",
    "ResponseHeaders",
    "ResponseStream",
    "RowFilter",
    "Scalar",
    "SchemaError",
    "Scope",
    "Security",
    "Server",
    "Skip",
    "Snapshot",
    "SubscriptionManager",
    "SyncPublisher",
    "Table",
    "TenantIsolation",
    "TenantPublisher",
    "Tracing",
    "ValidationError",
    "channel_name",
    "computed_field",
    "passthrough",
    "subscription",
]
