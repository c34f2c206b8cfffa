//! The audit log: what is written of each denial, in one place. Counting is not done here.

use std::fmt::Display;

use security::{Check, Identity, RequestSource};

/// The logger.
const AUDIT: &str = "fraiseql_subs.audit";

fn user_of(identity: Option<&Identity>) -> Option<&str> {
    identity.map(|identity| identity.user_id.as_str())
}

/// A handshake from a source that is not allowed; `setting` allows sources.
pub(crate) fn handshake_denied(check: Check, source: &RequestSource<'_>, setting: &str) {
    let (origin, host) = (source.origin, source.host);
    tracing::warn!(target: AUDIT, check = check.name(), origin, host, setting, "handshake denied");
}

/// As [`handshake_denied`], of a request.
pub(crate) fn source_denied(check: Check, source: &RequestSource<'_>, setting: &str) {
    let (origin, host) = (source.origin, source.host);
    tracing::warn!(target: AUDIT, check = check.name(), origin, host, setting, "request denied");
}

/// A request of a client that sends too many.
pub(crate) fn request_denied(peer: Option<&str>) {
    tracing::warn!(target: AUDIT, check = Check::Rate.name(), peer, "request denied");
}

/// A token that was not accepted.
pub(crate) fn token_refused(connection_id: &str, reason: &dyn Display) {
    tracing::warn!(
        target: AUDIT,
        check = Check::Authentication.name(),
        connection_id,
        reason = %reason,
        "token refused"
    );
}

/// A client of which it was not found in time who it is.
pub(crate) fn authentication_timed_out(connection_id: &str) {
    tracing::warn!(
        target: AUDIT,
        check = Check::Authentication.name(),
        connection_id,
        "authentication took too long"
    );
}

/// A connection that is closed.
pub(crate) fn connection_denied(check: Check, identity: Option<&Identity>, connection_id: &str) {
    tracing::warn!(
        target: AUDIT,
        check = check.name(),
        user_id = user_of(identity),
        tenant_id = identity.and_then(Identity::tenant),
        connection_id,
        "connection denied"
    );
}

/// An operation of a client that starts too many; without a connection it is in process.
pub(crate) fn operation_denied(identity: Option<&Identity>, connection_id: Option<&str>) {
    tracing::warn!(
        target: AUDIT,
        check = Check::Rate.name(),
        user_id = user_of(identity),
        tenant_id = identity.and_then(Identity::tenant),
        connection_id,
        "operation denied"
    );
}

/// A subscription that a check has refused.
pub(crate) fn subscription_denied(
    check: Check,
    identity: Option<&Identity>,
    connection_id: &str,
    subscription: Option<&str>,
) {
    tracing::warn!(
        target: AUDIT,
        check = check.name(),
        user_id = user_of(identity),
        tenant_id = identity.and_then(Identity::tenant),
        connection_id,
        subscription,
        "subscription denied"
    );
}
