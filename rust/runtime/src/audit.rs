//! The audit log: writes one record for each denial. Not here: counting.

use std::fmt::Display;

use security::{Check, Identity, RequestSource};

/// Name of the logger.
const AUDIT: &str = "fraiseql_subs.audit";

fn user_of(identity: Option<&Identity>) -> Option<&str> {
    identity.map(|identity| identity.user_id.as_str())
}

/// Logs a handshake whose origin or host is denied; `setting` names the setting that allows it.
pub(crate) fn handshake_denied(check: Check, source: &RequestSource<'_>, setting: &str) {
    let (origin, host) = (source.origin, source.host);
    tracing::warn!(name: "handshake.denied", target: AUDIT, check = check.name(), origin, host, setting, "handshake denied");
}

/// Like [`handshake_denied`], for a request.
pub(crate) fn source_denied(check: Check, source: &RequestSource<'_>, setting: &str) {
    let (origin, host) = (source.origin, source.host);
    tracing::warn!(name: "request.denied", target: AUDIT, check = check.name(), origin, host, setting, "request denied");
}

/// Logs a request past its rate.
pub(crate) fn request_denied(peer: Option<&str>) {
    tracing::warn!(name: "request.denied", target: AUDIT, check = Check::Rate.name(), peer, "request denied");
}

/// Logs a refused token.
pub(crate) fn token_refused(connection_id: &str, reason: &dyn Display) {
    tracing::warn!(
        name: "token.refused",
        target: AUDIT,
        check = Check::Authentication.name(),
        connection = connection_id,
        reason = %reason,
        "token refused"
    );
}

/// Logs a request to publish without a valid key.
pub(crate) fn publisher_denied(peer: Option<&str>, reason: &dyn Display) {
    tracing::warn!(
        name: "publishing.denied",
        target: AUDIT,
        check = Check::Authentication.name(),
        peer,
        reason = %reason,
        "publishing denied"
    );
}

/// Logs a connection that does not begin as that of a trusted proxy.
pub(crate) fn proxy_denied(peer: Option<&str>, reason: &dyn Display) {
    tracing::warn!(
        name: "proxy.denied",
        target: AUDIT,
        check = "proxy",
        peer,
        reason = %reason,
        "connection closed"
    );
}

/// Logs a client whose authentication took too long.
pub(crate) fn authentication_timed_out(connection_id: &str) {
    tracing::warn!(
        name: "authentication.late",
        target: AUDIT,
        check = Check::Authentication.name(),
        connection = connection_id,
        "authentication took too long"
    );
}

/// Logs a connection that is closed by a check.
pub(crate) fn connection_denied(check: Check, identity: Option<&Identity>, connection_id: &str) {
    tracing::warn!(
        name: "connection.denied",
        target: AUDIT,
        check = check.name(),
        user = user_of(identity),
        tenant = identity.and_then(Identity::tenant),
        connection = connection_id,
        "connection denied"
    );
}

/// Logs an operation past its rate; without a connection it is in process.
pub(crate) fn operation_denied(identity: Option<&Identity>, connection_id: Option<&str>) {
    tracing::warn!(
        name: "operation.denied",
        target: AUDIT,
        check = Check::Rate.name(),
        user = user_of(identity),
        tenant = identity.and_then(Identity::tenant),
        connection = connection_id,
        "operation denied"
    );
}

/// Logs a subscription that a check has refused.
pub(crate) fn subscription_denied(
    check: Check,
    identity: Option<&Identity>,
    connection_id: &str,
    subscription: Option<&str>,
) {
    tracing::warn!(
        name: "subscription.denied",
        target: AUDIT,
        check = check.name(),
        user = user_of(identity),
        tenant = identity.and_then(Identity::tenant),
        connection = connection_id,
        field = subscription,
        "subscription denied"
    );
}
