//! The client: its identity and token, its rates, the list of connections.

mod owner;
mod rates;
mod roster;
mod token;

use std::any::Any;
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use protocol::JsonObject;
use security::Identity;

use crate::budget::ByteBudget;

pub(crate) use owner::owner;
pub(crate) use rates::RateTable;
pub use rates::{Bucket, Buckets};
pub use roster::{ConnectionInfo, Roster};
pub use token::{TokenSource, TokenVerifier};

/// Headers of a request, shared by all readers; names in lower case.
pub type Headers = Arc<[(String, String)]>;

/// The client of an operation.
#[derive(Debug, Default)]
pub struct Client {
    /// Id of the connection.
    pub connection_id: String,
    /// Payload of `connection_init`. The host takes it when it converts it to its own objects.
    pub connection_params: Mutex<Option<JsonObject>>,
    /// Headers of the handshake, names in lower case.
    pub headers: Headers,
    /// The part of the target after the `?`, undecoded.
    pub query: String,
    /// Address of the peer.
    pub peer: Option<String>,
    /// Its identity, once authenticated.
    pub identity: Option<Box<Identity>>,
    /// Payload of the acknowledgement.
    pub ack: Option<JsonObject>,
    /// Its rate limits.
    pub buckets: Option<Arc<Buckets>>,
    /// Where other requests, such as those for its event stream, find `buckets` once they are
    /// known.
    pub account: Option<Arc<OnceLock<Arc<Buckets>>>>,
    /// Limit of pending bytes that it shares with other clients of its socket; `None`: its socket
    /// is not shared.
    pub budget: Option<Arc<ByteBudget>>,
    /// The host language's objects for this client, created at their first use.
    pub host: OnceLock<Box<dyn Any + Send + Sync>>,
}

/// Header with the subgraph of a request.
pub(crate) const SUBGRAPH_HEADER: &str = "x-subgraph";

impl Client {
    /// Drops the parts of the head that the core does not read later, as a head may have 64 KiB and
    /// a connection may last for days.
    pub fn forget_head(&mut self) {
        let headers = self.headers.iter();
        let kept = headers.filter(|(name, _)| name == SUBGRAPH_HEADER);
        self.headers = kept.cloned().collect();
        self.query = String::new();
    }

    /// Returns a header of the handshake; `name` in lower case. A repeated one counts as absent,
    /// because it is ambiguous.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        only(self.all(name))
    }

    /// Returns all headers with a name, which is in lower case.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.headers.iter().filter(move |(known, _)| known == name);
        named.map(|(_, value)| value.as_str())
    }

    /// Returns the decoded parameters of the target: names and values.
    pub fn parameters(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        protocol::http::parameters(&self.query)
    }
}

/// Returns the only value; `None`: there is none, or they differ.
pub(crate) fn only<T: PartialEq>(mut values: impl Iterator<Item = T>) -> Option<T> {
    let first = values.next()?;
    values.all(|other| other == first).then_some(first)
}
