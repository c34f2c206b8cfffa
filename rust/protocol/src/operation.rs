//! The request of a client, and the id that the client chose for it.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::extensions::Extensions;
use crate::json::JsonObject;

/// The id that a client chose for one operation. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OperationId(Arc<str>);

impl OperationId {
    /// Returns the id as the client wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the id as a JSON string.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::Value::from(self.as_str())
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
    /// A query.
    Query,
    /// A mutation.
    Mutation,
    /// A subscription.
    Subscription,
}

impl OperationKind {
    /// Returns its keyword.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Mutation => "mutation",
            Self::Subscription => "subscription",
        }
    }
}

/// A GraphQL request. Members that were `null` count as absent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// The document; `None` if the request refers to one that the server knows.
    pub query: Option<String>,
    /// Id of a document that the server knows (GraphQL over HTTP, "Persisted Documents").
    pub document_id: Option<String>,
    /// Name of the operation in the document.
    pub operation_name: Option<String>,
    /// Values of its variables.
    pub variables: JsonObject,
    /// The extensions of the request.
    pub extensions: Extensions,
    /// Header `Last-Event-ID` of GraphQL over SSE.
    pub last_event_id: Option<String>,
}

/// The position after which a client resumes its subscription.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resume {
    /// The last id that the client has received; `None`: a new subscription.
    pub after: Option<String>,
    /// Whether results have their ids in `extensions.resume`, because the request had this member.
    pub is_asked: bool,
}

/// `extensions.resume` is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResumeFault {
    /// `extensions.resume` is not an object.
    #[error(
        "`extensions.resume` must be an object: {{}} to be told ids, {{\"after\": id}} to go on from one"
    )]
    NoObject,
    /// `after` is not a string.
    #[error("`extensions.resume.after` must be a string: an id that was received")]
    NoString,
    /// `extensions.resume` has an unknown member.
    #[error("`extensions.resume` has an unknown member: it takes `after`, an id that was received")]
    Unknown,
}

impl Request {
    /// Returns the memory that it keeps (bytes).
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        let texts = [
            &self.query,
            &self.document_id,
            &self.operation_name,
            &self.last_event_id,
        ];
        let texts = texts.into_iter().flatten().map(String::len);
        texts.sum::<usize>() + self.variables.kept_bytes() + self.extensions.kept_bytes()
    }

    /// Returns the position in `extensions.resume` or `Last-Event-ID`. The header takes precedence:
    /// a browser repeats its request with the newest id in the header.
    ///
    /// # Errors
    ///
    /// [`ResumeFault`] says which form the extension must have.
    pub fn resume(&self) -> Result<Resume, ResumeFault> {
        let mut resume = self.extensions.resume()?;
        let newest = self.last_event_id.clone().or(resume.after.take());
        resume.after = newest.filter(|id| !id.is_empty());
        Ok(resume)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn resume(extension: Value, header: Option<&str>) -> Result<Resume, ResumeFault> {
        let extensions = json!({ "resume": extension }).to_string();
        Request {
            extensions: Extensions::parse(&extensions).unwrap(),
            last_event_id: header.map(Into::into),
            ..Request::default()
        }
        .resume()
    }

    #[test]
    fn a_client_asks_for_ids_or_goes_on_from_one() {
        for (extension, header, after, is_asked) in [
            (Value::Null, None, None, false),
            (json!({}), None, None, true),
            (json!({"after": null}), None, None, true),
            (json!({"after": ""}), None, None, true),
            (json!({"after": "a-1"}), None, Some("a-1"), true),
            (Value::Null, Some("a-2"), Some("a-2"), false),
            (json!({"after": "a-1"}), Some("a-2"), Some("a-2"), true),
        ] {
            let expected = Resume {
                after: after.map(Into::into),
                is_asked,
            };
            assert_eq!(
                resume(extension.clone(), header),
                Ok(expected),
                "{extension}"
            );
        }
    }

    #[test]
    fn a_malformed_resume_is_refused_and_not_ignored() {
        assert_eq!(resume(json!(true), None), Err(ResumeFault::NoObject));
        assert_eq!(
            resume(json!({"afer": "a-1"}), None),
            Err(ResumeFault::Unknown)
        );
        assert_eq!(
            resume(json!({"after": 7}), None),
            Err(ResumeFault::NoString)
        );
    }
}
