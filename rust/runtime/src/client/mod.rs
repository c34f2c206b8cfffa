//! Who asks: what is known of a client, how often it may act, who is connected.

mod rates;
mod roster;
mod selector;
mod token;

use std::any::Any;
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use protocol::JsonObject;
use security::Identity;

use crate::budget::ByteBudget;

pub(crate) use rates::RateTable;
pub use rates::{Bucket, Buckets};
pub use roster::{ConnectionInfo, Roster};
pub use selector::Selector;
pub use token::{TokenSource, TokenVerifier};

/// Headers of a request, shared by all that read them; names in lower case.
pub type Headers = Arc<[(String, String)]>;

/// What is known about the client of an operation.
#[derive(Debug, Default)]
pub struct Client {
    /// Id of the connection.
    pub connection_id: String,
    /// Payload of `connection_init`. The host takes it when it makes its view of it.
    pub connection_params: Mutex<Option<JsonObject>>,
    /// Headers of the handshake, names in lower case.
    pub headers: Headers,
    /// What followed the `?` of the target, undecoded.
    pub query: String,
    /// Address of the peer.
    pub peer: Option<String>,
    /// Who it is, once authenticated.
    pub identity: Option<Identity>,
    /// Payload of the acknowledgement.
    pub ack: Option<JsonObject>,
    /// What bounds how often it acts.
    pub buckets: Option<Arc<Buckets>>,
    /// Where others find `buckets` once it is known, such as requests about its event stream.
    pub account: Option<Arc<OnceLock<Arc<Buckets>>>>,
    /// What may wait for it together with others of its socket; `None`: its socket is its own.
    pub budget: Option<Arc<ByteBudget>>,
    /// The host language's view, built when first needed.
    pub host: OnceLock<Box<dyn Any + Send + Sync>>,
}

/// Names the subgraph that a client asks for.
pub(crate) const SUBGRAPH_HEADER: &str = "x-subgraph";

impl Client {
    /// Keeps of the head only what the core itself reads later: nothing else of what may have
    /// 64 KiB stays for as long as a connection does.
    pub fn forget_head(&mut self) {
        let headers = self.headers.iter();
        let kept = headers.filter(|(name, _)| name == SUBGRAPH_HEADER);
        self.headers = kept.cloned().collect();
        self.query = String::new();
    }

    /// A header of the handshake; `name` in lower case. One that is repeated is none: which of them
    /// counts cannot be told.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        only(self.all(name))
    }

    /// All headers of a name, which is in lower case.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.headers.iter().filter(move |(known, _)| known == name);
        named.map(|(_, value)| value.as_str())
    }

    /// The parameters of the target, decoded: names and values.
    pub fn parameters(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        protocol::http::parameters(&self.query)
    }
}

/// The one value there is; `None`: there is none, or they differ.
pub(crate) fn only<T: PartialEq>(mut values: impl Iterator<Item = T>) -> Option<T> {
    let first = values.next()?;
    values.all(|other| other == first).then_some(first)
}
