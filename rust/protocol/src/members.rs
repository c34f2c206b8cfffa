//! Reads the members of JSON objects that clients send. A fault names the member and its expected
//! type.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::extensions::{ExtensionMembers, Extensions};
use crate::json::{JsonObject, JsonSlice, Reader, Unreadable};
use crate::operation::{OperationId, Request};

/// Why a message is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("it is not JSON ({0})")]
    Json(String),
    /// JSON that cannot be decoded.
    #[error(
        "it cannot be read ({0}): text must be Unicode without lone surrogates, numbers must fit a double, values may be 127 deep"
    )]
    Unreadable(Unreadable),
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

/// Reads a text in one pass, with `read`.
pub(crate) fn read<'t, T>(
    text: &'t str,
    read: impl FnOnce(&mut Reader<'t>) -> Result<T, Unreadable>,
) -> Result<T, Fault> {
    Reader::read(text, read).map_err(
        |unreadable| match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Fault::Unreadable(unreadable),
            Err(error) => Fault::Json(error.to_string()),
        },
    )
}

/// The parsed members of a message.
pub(crate) struct Message<'t> {
    pub(crate) kind: Option<JsonSlice<'t>>,
    pub(crate) id: Option<JsonSlice<'t>>,
    /// The payload, parsed as the members of a request for any type of message.
    pub(crate) payload: Option<Members<'t>>,
}

impl<'t> Message<'t> {
    /// Parses one text message.
    pub(crate) fn read(text: &'t str) -> Result<Self, Fault> {
        let (mut kind, mut id, mut payload) = (None, None, None);
        let whole = read(text, |reader| {
            reader.object(|reader, name| {
                match name {
                    "type" => kind = reader.value()?.given(),
                    "id" => id = reader.value()?.given(),
                    "payload" => {
                        let members = Members::read(reader)?;
                        payload = members.whole.given().map(|_| members);
                    }
                    _ => reader.pass()?,
                }
                Ok(())
            })
        })?;
        if !whole.is_object() {
            return Err(Fault::NoObject);
        }
        Ok(Self { kind, id, payload })
    }

    /// Returns the member `payload` as an object.
    pub(crate) fn payload(&self) -> Result<Option<JsonObject>, Fault> {
        let payload = self.payload.as_ref().map(|payload| payload.whole);
        optional_object(payload, "payload")
    }

    /// Returns the request in the member `payload`.
    pub(crate) fn request(&self) -> Result<Request, Fault> {
        let payload = self.payload.as_ref().ok_or(Fault::Missing("payload"))?;
        if !payload.whole.is_object() {
            return Err(Fault::WrongType {
                member: "payload",
                expected: "an object",
            });
        }
        payload.request(&PAYLOAD)
    }
}

/// The parsed members of a request.
pub(crate) struct Members<'t> {
    pub(crate) whole: JsonSlice<'t>,
    query: Option<JsonSlice<'t>>,
    document_id: Option<JsonSlice<'t>>,
    operation_name: Option<JsonSlice<'t>>,
    variables: Option<JsonSlice<'t>>,
    extensions: Option<ExtensionMembers<'t>>,
}

impl<'t> Members<'t> {
    pub(crate) fn read(reader: &mut Reader<'t>) -> Result<Self, Unreadable> {
        let (mut query, mut document_id, mut operation_name) = (None, None, None);
        let (mut variables, mut extensions) = (None, None);
        let whole = reader.object(|reader, name| {
            match name {
                "query" => query = reader.value()?.given(),
                "documentId" => document_id = reader.value()?.given(),
                "operationName" => operation_name = reader.value()?.given(),
                "variables" => variables = reader.value()?.given(),
                "extensions" => {
                    let members = ExtensionMembers::read(reader)?;
                    extensions = members.whole.given().map(|_| members);
                }
                _ => reader.pass()?,
            }
            Ok(())
        })?;
        Ok(Self {
            whole,
            query,
            document_id,
            operation_name,
            variables,
            extensions,
        })
    }

    /// Returns the request.
    pub(crate) fn request(&self, names: &Names) -> Result<Request, Fault> {
        let extensions = self.extensions.as_ref();
        Request {
            query: optional_string(self.query, names.query)?,
            document_id: optional_string(self.document_id, names.document_id)?,
            operation_name: optional_string(self.operation_name, names.operation_name)?,
            variables: optional_object(self.variables, names.variables)?.unwrap_or_default(),
            extensions: extensions
                .map(|extensions| checked_extensions(extensions, names.extensions))
                .transpose()?
                .unwrap_or_default(),
            last_event_id: None,
        }
        .checked(names)
    }
}

/// Returns `extensions`, which must be an object.
pub(crate) fn checked_extensions(
    extensions: &ExtensionMembers<'_>,
    member: &'static str,
) -> Result<Extensions, Fault> {
    if !extensions.whole.is_object() {
        return Err(Fault::WrongType {
            member,
            expected: "an object",
        });
    }
    Ok(Extensions::of(extensions))
}

/// The type and the id of a message.
#[derive(Deserialize)]
pub(crate) struct Envelope {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    id: Option<String>,
}

impl Envelope {
    /// Reads them from a message with an undecodable part, which is an error of its operation only.
    pub(crate) fn of(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(crate) fn operation_id(&self) -> Option<OperationId> {
        let id = self.id.as_deref().filter(|id| !id.is_empty());
        id.map(OperationId::from)
    }
}

/// Returns the member `id` as an id.
pub(crate) fn operation_id(id: Option<JsonSlice<'_>>) -> Result<OperationId, Fault> {
    let id = required_string(id, "id")?;
    if id.is_empty() {
        return Err(Fault::EmptyId);
    }
    Ok(OperationId::from(id.as_str()))
}

/// The names of a request's members in error texts.
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

/// The names for a request that is not inside a message.
pub(crate) const PLAIN: Names = Names {
    query: "query",
    document_id: "documentId",
    operation_name: "operationName",
    variables: "variables",
    extensions: "extensions",
};

impl Request {
    /// Refuses a request without a document.
    pub(crate) fn checked(mut self, names: &Names) -> Result<Self, Fault> {
        if self.query.is_none() && self.document_id.is_none() && self.extensions.sha256().is_none()
        {
            return Err(Fault::Missing(names.query));
        }
        // An empty operation name counts as absent, as no operation can have it.
        self.operation_name.take_if(|name| name.is_empty());
        Ok(self)
    }
}

fn optional_string(
    value: Option<JsonSlice<'_>>,
    member: &'static str,
) -> Result<Option<String>, Fault> {
    let Some(value) = value else {
        return Ok(None);
    };
    let text = value.string().ok_or(Fault::WrongType {
        member,
        expected: "a string",
    })?;
    Ok(Some(text))
}

pub(crate) fn required_string(
    value: Option<JsonSlice<'_>>,
    member: &'static str,
) -> Result<String, Fault> {
    optional_string(value, member)?.ok_or(Fault::Missing(member))
}

pub(crate) fn optional_object(
    value: Option<JsonSlice<'_>>,
    member: &'static str,
) -> Result<Option<JsonObject>, Fault> {
    match value {
        None => Ok(None),
        Some(value) if value.is_object() => Ok(Some(JsonObject::of(&value))),
        Some(_) => Err(Fault::WrongType {
            member,
            expected: "an object",
        }),
    }
}
