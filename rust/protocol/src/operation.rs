//! What a client asks for, and the name it gives to it.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

/// The id that a client chose for one operation. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OperationId(Arc<str>);

impl OperationId {
    /// The id as the client wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as a JSON string.
    pub(crate) fn to_json(&self) -> Value {
        Value::from(self.as_str())
    }
}

impl From<&str> for OperationId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl Borrow<str> for OperationId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The kinds of operations of the GraphQL specification, section 2.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationKind {
    /// Reads.
    Query,
    /// Changes something.
    Mutation,
    /// Goes on.
    Subscription,
}

/// A GraphQL request. Members that were `null` are as if left out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// The document; absent when the request refers to one that the server knows.
    pub query: Option<String>,
    /// Id of a document that the server knows (GraphQL over HTTP, "Persisted Documents").
    pub document_id: Option<String>,
    /// Which of its operations.
    pub operation_name: Option<String>,
    /// Values of its variables.
    pub variables: Map<String, Value>,
    /// Whatever client and server agreed on.
    pub extensions: Map<String, Value>,
}

impl Request {
    /// SHA-256 of the document, as automatic persisted queries give it.
    #[must_use]
    pub fn sha256(&self) -> Option<&str> {
        self.extensions
            .get("persistedQuery")?
            .get("sha256Hash")?
            .as_str()
    }
}
