//! The log of connections and operations: how each begins and ends, and what slow ones lose. Not
//! here: denials (`audit`), counting.
//!
//! Records have the code of an error, not its message, which may quote a variable.

use graphql::GraphQLError;
use protocol::Close;

use crate::client::{Client, ConnectionInfo};

/// Name of the logger.
pub const CONNECTIONS: &str = "fraiseql_subs.connections";

/// Why an operation has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OperationEnd {
    /// All results are sent.
    Complete,
    /// It has sent errors in place of a result.
    Failed,
    /// The client has ended it.
    Client,
    /// The manager drains.
    Drain,
    /// The connection has ended.
    Connection,
}

impl OperationEnd {
    pub(crate) fn has_failed(self) -> bool {
        matches!(self, Self::Failed)
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Complete => "it is complete",
            Self::Failed => "it has failed",
            Self::Client => "the client has ended it",
            Self::Drain => "the server drains",
            Self::Connection => "its connection has ended",
        }
    }
}

/// Why a connection has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ConnectionEnd<'a> {
    /// It is closed by the server.
    Closed(&'a Close),
    /// The client has left.
    Left,
    /// The client neither answers nor reads, so it is not sent a close.
    Silent,
}

impl<'a> ConnectionEnd<'a> {
    fn code(self) -> Option<u16> {
        match self {
            Self::Closed(close) => Some(close.code),
            Self::Left | Self::Silent => None,
        }
    }

    fn text(self) -> &'a str {
        match self {
            Self::Closed(close) => &close.reason,
            Self::Left => "the client has left",
            Self::Silent => "the client does not answer",
        }
    }
}

/// Whose record it is.
#[derive(Clone, Copy)]
pub(crate) struct LogOwner<'a> {
    connection: Option<&'a str>,
    user: Option<&'a str>,
    tenant: Option<&'a str>,
}

/// A connection, or a client; an in-process one has no connection.
pub(crate) trait Logged {
    /// Returns whose the records are. Called only if they are written.
    fn owner(&self) -> LogOwner<'_>;
}

impl Logged for Client {
    fn owner(&self) -> LogOwner<'_> {
        let identity = self.identity.as_deref();
        LogOwner {
            connection: Some(&*self.connection_id).filter(|id| !id.is_empty()),
            user: identity.map(|identity| &*identity.user_id),
            tenant: identity.and_then(|identity| identity.tenant()),
        }
    }
}

/// Whose the records of an operation are. A client itself has objects of the host, which may refer to
/// what keeps this.
pub(crate) struct KeptOwner {
    connection: Option<String>,
    user: Option<String>,
    tenant: Option<String>,
}

impl KeptOwner {
    pub(crate) fn of(client: &Client) -> Self {
        let owner = client.owner();
        Self {
            connection: owner.connection.map(str::to_owned),
            user: owner.user.map(str::to_owned),
            tenant: owner.tenant.map(str::to_owned),
        }
    }
}

impl Logged for KeptOwner {
    fn owner(&self) -> LogOwner<'_> {
        LogOwner {
            connection: self.connection.as_deref(),
            user: self.user.as_deref(),
            tenant: self.tenant.as_deref(),
        }
    }
}

impl Logged for ConnectionInfo {
    fn owner(&self) -> LogOwner<'_> {
        let unknown = LogOwner {
            connection: Some(&self.id),
            user: None,
            tenant: None,
        };
        self.client().map_or(unknown, |client| client.owner())
    }
}

/// Logs a client that is refused because there is no place for it.
pub(crate) fn server_full(peer: Option<&str>) {
    tracing::warn!(
        name: "server.full",
        target: CONNECTIONS,
        peer,
        "a client is refused: there are as many as Limits.max_connections allows"
    );
}

/// Logs a connection that has been opened.
pub(crate) fn connection_opened(info: &ConnectionInfo) {
    tracing::debug!(
        name: "connection.opened",
        target: CONNECTIONS,
        connection = info.id,
        protocol = info.protocol,
        peer = info.peer,
        "connection opened"
    );
}

/// Logs a connection whose client is accepted.
pub(crate) fn connection_accepted(client: &Client) {
    tracing::debug!(
        name: "connection.accepted",
        target: CONNECTIONS,
        connection = client.owner().connection,
        user = client.owner().user,
        tenant = client.owner().tenant,
        "connection accepted"
    );
}

/// Logs the end of a connection.
pub(crate) fn connection_ended(info: &ConnectionInfo, end: ConnectionEnd<'_>) {
    tracing::debug!(
        name: "connection.ended",
        target: CONNECTIONS,
        connection = info.id,
        user = info.owner().user,
        tenant = info.owner().tenant,
        code = end.code(),
        reason = end.text(),
        "connection ended"
    );
}

/// Logs a client that is disconnected because it reads too slowly.
pub(crate) fn connection_too_slow(info: &ConnectionInfo) {
    tracing::warn!(
        name: "connection.too_slow",
        target: CONNECTIONS,
        connection = info.id,
        user = info.owner().user,
        tenant = info.owner().tenant,
        "a client is disconnected because it reads too slowly"
    );
}

/// Logs the first result of a connection that is dropped.
pub(crate) fn results_dropped(info: &ConnectionInfo, operation: &str, field: Option<&str>) {
    tracing::warn!(
        name: "result.dropped",
        target: CONNECTIONS,
        connection = info.id,
        operation,
        field,
        user = info.owner().user,
        tenant = info.owner().tenant,
        "a result is dropped because its client reads too slowly; further ones of this connection are counted in metrics().results_dropped alone"
    );
}

/// Logs an operation that runs; in process it has no id.
pub(crate) fn operation_started(of: &impl Logged, operation: Option<&str>, field: Option<&str>) {
    tracing::debug!(
        name: "operation.started",
        target: CONNECTIONS,
        connection = of.owner().connection,
        operation,
        field,
        user = of.owner().user,
        tenant = of.owner().tenant,
        "operation started"
    );
}

/// Logs an operation that does not run.
pub(crate) fn operation_refused(
    of: &impl Logged,
    operation: Option<&str>,
    errors: &[GraphQLError],
) {
    tracing::debug!(
        name: "operation.refused",
        target: CONNECTIONS,
        connection = of.owner().connection,
        operation,
        user = of.owner().user,
        tenant = of.owner().tenant,
        errors = errors.len(),
        code = errors.first().and_then(GraphQLError::code),
        "operation refused"
    );
}

/// Logs the end of an operation.
pub(crate) fn operation_ended(
    of: &impl Logged,
    operation: Option<&str>,
    field: Option<&str>,
    end: OperationEnd,
) {
    tracing::debug!(
        name: "operation.ended",
        target: CONNECTIONS,
        connection = of.owner().connection,
        operation,
        field,
        user = of.owner().user,
        tenant = of.owner().tenant,
        reason = end.text(),
        "operation ended"
    );
}

/// Logs the first event of a subscription that is dropped before its resolver.
pub(crate) fn events_dropped(client: &Client, operation: Option<&str>, field: &str) {
    let owner = client.owner();
    tracing::warn!(
        name: "event.dropped",
        target: CONNECTIONS,
        connection = owner.connection,
        operation,
        field,
        user = owner.user,
        tenant = owner.tenant,
        "an event is dropped because the resolver is too slow; further ones of this subscription are counted in metrics().events_dropped alone"
    );
}

/// Logs a subscription that is ended because its resolver is too slow.
pub(crate) fn subscription_too_slow(client: &Client, operation: Option<&str>, field: &str) {
    let owner = client.owner();
    tracing::warn!(
        name: "subscription.too_slow",
        target: CONNECTIONS,
        connection = owner.connection,
        operation,
        field,
        user = owner.user,
        tenant = owner.tenant,
        "a subscription is ended because its resolver is too slow"
    );
}
