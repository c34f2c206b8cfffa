//! Members of JSON objects that clients send. A fault names the member and what it should be.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::json::{self, Footprint, JsonObject};
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

/// Takes a JSON value that can be made into one.
pub(crate) fn value(text: &str) -> Result<&RawValue, Fault> {
    let readable = Footprint::of(text).and_then(|_| serde_json::from_str(text));
    readable.map_err(|error| {
        let error = error.to_string();
        match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Fault::Unreadable(error),
            Err(_) => Fault::Json(error),
        }
    })
}

/// Takes the members of these names from the text of a JSON object.
pub(crate) fn object<'t, const N: usize>(
    text: &'t str,
    names: [&str; N],
) -> Result<[Option<&'t RawValue>; N], Fault> {
    let value = value(text)?;
    members(value, names).ok_or(Fault::NoObject)
}

/// Takes members of a value that is an object.
fn members<'t, const N: usize>(
    value: &'t RawValue,
    names: [&str; N],
) -> Option<[Option<&'t RawValue>; N]> {
    // It was read before: what is wrong with it can only be that it is none.
    json::pick(value.get(), names).ok()
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

/// Reads the member `id`.
pub(crate) fn operation_id(id: Option<&RawValue>) -> Result<OperationId, Fault> {
    let id = required_string(id, "id")?;
    if id.is_empty() {
        return Err(Fault::EmptyId);
    }
    Ok(OperationId::from(id.as_str()))
}

/// Reads the request in the member `payload`.
pub(crate) fn payload_request(payload: Option<&RawValue>) -> Result<Request, Fault> {
    let payload = given(payload).ok_or(Fault::Missing("payload"))?;
    let members = members(payload, REQUEST).ok_or(Fault::WrongType {
        member: "payload",
        expected: "an object",
    })?;
    request(members, &PAYLOAD)
}

/// The members of a request.
pub(crate) const REQUEST: [&str; 5] = [
    "query",
    "documentId",
    "operationName",
    "variables",
    "extensions",
];

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

/// Reads a request from the members that [`REQUEST`] names.
pub(crate) fn request(
    [query, document_id, operation_name, variables, extensions]: [Option<&RawValue>; 5],
    names: &Names,
) -> Result<Request, Fault> {
    Request {
        query: optional_string(query, names.query)?,
        document_id: optional_string(document_id, names.document_id)?,
        operation_name: optional_string(operation_name, names.operation_name)?,
        variables: optional_object(variables, names.variables)?.unwrap_or_default(),
        extensions: optional_object(extensions, names.extensions)?.unwrap_or_default(),
        last_event_id: None,
    }
    .checked(names)
}

impl Request {
    /// Refuses a request that asks for nothing.
    pub(crate) fn checked(mut self, names: &Names) -> Result<Self, Fault> {
        if self.query.is_none() && self.document_id.is_none() && self.sha256().is_none() {
            return Err(Fault::Missing(names.query));
        }
        // No operation has an empty name: clients that write one mean none.
        self.operation_name.take_if(|name| name.is_empty());
        Ok(self)
    }
}

/// A member that is there; `null` is as if it were left out.
fn given(member: Option<&RawValue>) -> Option<&RawValue> {
    member.filter(|value| value.get() != "null")
}

pub(crate) fn optional_string(
    value: Option<&RawValue>,
    member: &'static str,
) -> Result<Option<String>, Fault> {
    let Some(value) = given(value) else {
        return Ok(None);
    };
    serde_json::from_str(value.get()).map_err(|_| Fault::WrongType {
        member,
        expected: "a string",
    })
}

pub(crate) fn required_string(
    value: Option<&RawValue>,
    member: &'static str,
) -> Result<String, Fault> {
    optional_string(value, member)?.ok_or(Fault::Missing(member))
}

pub(crate) fn optional_object(
    value: Option<&RawValue>,
    member: &'static str,
) -> Result<Option<JsonObject>, Fault> {
    match given(value) {
        None => Ok(None),
        Some(value) if value.get().starts_with('{') => Ok(Some(JsonObject::of(value))),
        Some(_) => Err(Fault::WrongType {
            member,
            expected: "an object",
        }),
    }
}
