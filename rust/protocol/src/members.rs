//! Members of JSON objects that clients send. A fault names the member and what it should be.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::operation::{OperationId, Request};

/// Why a message cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("it is not JSON ({0})")]
    Json(String),
    /// JSON, but for what a value cannot hold.
    #[error(
        "it cannot be read ({0}): text must be Unicode without lone surrogates, numbers must fit a double, values may be 127 deep"
    )]
    Unreadable(String),
    #[error("it is no JSON object")]
    NoObject,
    #[error("`{0}` is missing")]
    Missing(&'static str),
    #[error("`{member}` must be {expected}")]
    WrongType {
        member: &'static str,
        expected: &'static str,
    },
    #[error("`id` is empty")]
    EmptyId,
    #[error("`type` \"{0}\" is unknown")]
    UnknownType(String),
}

/// Reads a JSON value.
pub(crate) fn value(text: &[u8]) -> Result<Value, Fault> {
    serde_json::from_slice(text).map_err(|error| {
        let error = error.to_string();
        match serde_json::from_slice::<IgnoredAny>(text) {
            Ok(_) => Fault::Unreadable(error),
            Err(_) => Fault::Json(error),
        }
    })
}

/// Reads a JSON object.
pub(crate) fn object(text: &[u8]) -> Result<Map<String, Value>, Fault> {
    match value(text)? {
        Value::Object(object) => Ok(object),
        _ => Err(Fault::NoObject),
    }
}

/// What a message is and what it is about.
#[derive(Deserialize)]
pub(crate) struct Envelope {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    id: Option<String>,
}

impl Envelope {
    /// Reads it off a message of which not all can be read. What is wrong with the rest concerns
    /// its operation alone.
    pub(crate) fn of(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(crate) fn operation_id(&self) -> Option<OperationId> {
        let id = self.id.as_deref().filter(|id| !id.is_empty());
        id.map(OperationId::from)
    }
}

/// Takes the member `id`.
pub(crate) fn operation_id(message: &mut Map<String, Value>) -> Result<OperationId, Fault> {
    let id = required_string(message, "id", "id")?;
    if id.is_empty() {
        return Err(Fault::EmptyId);
    }
    Ok(OperationId::from(id.as_str()))
}

/// Takes the request in the member `payload`.
pub(crate) fn payload_request(message: &mut Map<String, Value>) -> Result<Request, Fault> {
    let mut payload =
        optional_object(message, "payload", "payload")?.ok_or(Fault::Missing("payload"))?;
    request(&mut payload, &PAYLOAD)
}

/// What the members of a request are called in messages about them.
pub(crate) struct Names {
    query: &'static str,
    document_id: &'static str,
    operation_name: &'static str,
    variables: &'static str,
    extensions: &'static str,
}

const PAYLOAD: Names = Names {
    query: "payload.query",
    document_id: "payload.documentId",
    operation_name: "payload.operationName",
    variables: "payload.variables",
    extensions: "payload.extensions",
};

/// The names of a request that is no part of a message.
pub(crate) const PLAIN: Names = Names {
    query: "query",
    document_id: "documentId",
    operation_name: "operationName",
    variables: "variables",
    extensions: "extensions",
};

/// Takes the members of a request.
pub(crate) fn request(members: &mut Map<String, Value>, names: &Names) -> Result<Request, Fault> {
    let request = Request {
        query: optional_string(members, "query", names.query)?,
        document_id: optional_string(members, "documentId", names.document_id)?,
        // No operation has an empty name: clients that write one mean none.
        operation_name: optional_string(members, "operationName", names.operation_name)?
            .filter(|name| !name.is_empty()),
        variables: optional_object(members, "variables", names.variables)?.unwrap_or_default(),
        extensions: optional_object(members, "extensions", names.extensions)?.unwrap_or_default(),
        last_event_id: None,
    };
    if request.query.is_none() && request.document_id.is_none() && request.sha256().is_none() {
        return Err(Fault::Missing(names.query));
    }
    Ok(request)
}

/// Takes a member; `null` is as if it were left out.
fn take(object: &mut Map<String, Value>, key: &str) -> Option<Value> {
    object.remove(key).filter(|value| !value.is_null())
}

pub(crate) fn optional_string(
    object: &mut Map<String, Value>,
    key: &str,
    member: &'static str,
) -> Result<Option<String>, Fault> {
    match take(object, key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Fault::WrongType {
            member,
            expected: "a string",
        }),
    }
}

pub(crate) fn required_string(
    object: &mut Map<String, Value>,
    key: &str,
    member: &'static str,
) -> Result<String, Fault> {
    optional_string(object, key, member)?.ok_or(Fault::Missing(member))
}

pub(crate) fn optional_object(
    object: &mut Map<String, Value>,
    key: &str,
    member: &'static str,
) -> Result<Option<Map<String, Value>>, Fault> {
    match take(object, key) {
        None => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(_) => Err(Fault::WrongType {
            member,
            expected: "an object",
        }),
    }
}
