//! Errors of the GraphQL response format, and errors of schemas.
//!
//! A client receives [`GraphQLError`]s. [`ResolverError`] is the error of a host's resolver or
//! value before its path in the response is known. [`SchemaError`] is for the developer.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::JsonMap;
use crate::write::{write_integer, write_json, write_string};

/// `extensions.code` of a document that is not GraphQL syntax.
pub const CODE_PARSE_FAILED: &str = "GRAPHQL_PARSE_FAILED";
/// `extensions.code` of a document that does not fit schema, specification or limits.
pub const CODE_VALIDATION_FAILED: &str = "GRAPHQL_VALIDATION_FAILED";
/// `extensions.code` of variables or arguments that do not have the declared type.
pub const CODE_BAD_USER_INPUT: &str = "BAD_USER_INPUT";
/// `extensions.code` of a request that does not identify an operation of its document.
pub const CODE_OPERATION_RESOLUTION_FAILED: &str = "OPERATION_RESOLUTION_FAILURE";

/// `extensions.code` of an operation or a field that the client may not access.
pub const CODE_FORBIDDEN: &str = "FORBIDDEN";

/// A location in a GraphQL document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Location {
    /// Line, counted from 1.
    pub line: usize,
    /// Column, counted from 1 in UTF-16 code units, as in graphql-js.
    pub column: usize,
}

/// One step of a path into response data.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathSegment {
    /// The response key of a field.
    Key(Arc<str>),
    /// The index in a list.
    Index(usize),
}

impl fmt::Display for PathSegment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => formatter.write_str(key),
            Self::Index(index) => index.fmt(formatter),
        }
    }
}

/// Limit of a message that quotes a document (bytes).
const MAX_MESSAGE_BYTES: usize = 1_000;

const ELLIPSIS: &str = "\u{2026}";

/// Shortens a long message. Literals in it are printed over several lines, which become one.
fn shortened(message: String) -> String {
    if message.len() <= MAX_MESSAGE_BYTES {
        return message;
    }
    // Each line but the first takes a byte at least, so further ones have no place.
    let lines = message
        .lines()
        .map(str::trim_start)
        .take(MAX_MESSAGE_BYTES + 2);
    let mut short = lines.collect::<Vec<_>>().join(" ");
    if short.len() > MAX_MESSAGE_BYTES {
        short.truncate(short.floor_char_boundary(MAX_MESSAGE_BYTES - ELLIPSIS.len()));
        short.push_str(ELLIPSIS);
    }
    short
}

/// One entry of `errors` in a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphQLError {
    /// What went wrong.
    pub message: String,
    /// Locations in the document; empty if no part of it is the cause.
    pub locations: Vec<Location>,
    /// Path in the response data; empty for a request error.
    pub path: Vec<PathSegment>,
    /// Additional members, such as `code`.
    pub extensions: JsonMap,
}

impl GraphQLError {
    /// Creates an error without locations, path and extensions.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            locations: Vec::new(),
            path: Vec::new(),
            extensions: JsonMap::new(),
        }
    }

    /// Creates an error whose message quotes a document: it is shortened to 1,000 bytes. Otherwise one
    /// literal would make it many times as large as the document.
    pub(crate) fn of_document(message: impl Into<String>) -> Self {
        Self::new(shortened(message.into()))
    }

    /// Sets `extensions.code`.
    #[must_use]
    pub fn with_code(mut self, code: &str) -> Self {
        self.extensions.insert("code".to_owned(), code.into());
        self
    }

    /// Returns `extensions.code`.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.extensions.get("code")?.as_str()
    }

    /// Sets the locations in the document.
    #[must_use]
    pub fn with_locations(mut self, locations: impl Into<Vec<Location>>) -> Self {
        self.locations = locations.into();
        self
    }

    /// Sets the path in the response data.
    #[must_use]
    pub fn with_path(mut self, path: Vec<PathSegment>) -> Self {
        self.path = path;
        self
    }

    /// Writes the error as JSON, members in the order of graphql-js.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"message\":");
        write_string(&self.message, out);
        if !self.locations.is_empty() {
            out.extend_from_slice(b",\"locations\":");
            write_list(&self.locations, out, |location, out| {
                out.extend_from_slice(b"{\"line\":");
                write_integer(location.line, out);
                out.extend_from_slice(b",\"column\":");
                write_integer(location.column, out);
                out.push(b'}');
            });
        }
        if !self.path.is_empty() {
            out.extend_from_slice(b",\"path\":");
            write_list(&self.path, out, |segment, out| match segment {
                PathSegment::Key(key) => write_string(key, out),
                PathSegment::Index(index) => write_integer(*index, out),
            });
        }
        if !self.extensions.is_empty() {
            out.extend_from_slice(b",\"extensions\":{");
            for (index, (key, value)) in self.extensions.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(key, out);
                out.push(b':');
                write_json(value, out);
            }
            out.push(b'}');
        }
        out.push(b'}');
    }
}

/// Writes `errors` as a JSON array.
pub(crate) fn write_errors(errors: &[GraphQLError], out: &mut Vec<u8>) {
    write_list(errors, out, GraphQLError::write);
}

/// Returns the errors as the JSON array of `error` messages and responses.
#[must_use]
pub fn errors_to_json(errors: &[GraphQLError]) -> Vec<u8> {
    let mut out = Vec::new();
    write_errors(errors, &mut out);
    out
}

fn write_list<T>(items: &[T], out: &mut Vec<u8>, mut write: impl FnMut(&T, &mut Vec<u8>)) {
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

/// The error of a resolver or a value of the host; the projection adds its path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ResolverError {
    /// The message for the client.
    pub message: String,
    /// The extensions for the client; empty: absent.
    pub extensions: JsonMap,
    /// Details for the log; `None`: the error is not a fault of the host.
    pub fault: Option<Box<Fault>>,
}

/// A fault of the host, for the log only: values and exceptions may be confidential.
#[derive(Debug, Clone)]
pub struct Fault {
    /// What went wrong, without the value.
    pub problem: String,
    /// The value, and other details that differ between occurrences; empty: none.
    pub detail: String,
    /// The host's exception.
    pub cause: Option<Arc<dyn Any + Send + Sync>>,
}

impl PartialEq for Fault {
    fn eq(&self, other: &Self) -> bool {
        (&self.problem, &self.detail) == (&other.problem, &other.detail)
    }
}

impl Eq for Fault {}

/// A fault, and the field in which it occurred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFault {
    /// The field in the schema, `Order.total`.
    pub field: String,
    /// Response path of its first occurrence.
    pub path: Vec<PathSegment>,
    /// Occurrences in one response (count).
    pub count: u64,
    /// The first fault.
    pub fault: Fault,
}

impl FieldFault {
    /// The path as text, `orders.0.total`.
    #[must_use]
    pub fn path_text(&self) -> String {
        let segments: Vec<_> = self.path.iter().map(ToString::to_string).collect();
        segments.join(".")
    }
}

impl ResolverError {
    /// Creates an error without extensions.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            extensions: JsonMap::new(),
            fault: None,
        }
    }

    /// Marks it as a fault of the host, whose problem is the client's message.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        let fault = Fault {
            problem: self.message.clone(),
            detail: detail.into(),
            cause: None,
        };
        self.fault = Some(Box::new(fault));
        self
    }

    /// Marks it as a fault of the host.
    #[must_use]
    pub fn with_fault(mut self, fault: Fault) -> Self {
        self.fault = Some(Box::new(fault));
        self
    }

    /// Sets the extensions.
    #[must_use]
    pub fn with_extensions(mut self, extensions: JsonMap) -> Self {
        self.extensions = extensions;
        self
    }
}

/// Why a schema is refused. No variant is retryable: the schema has to be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Not valid schema definition language.
    #[error("the schema is invalid: {}", list_problems(.problems))]
    Invalid {
        /// The problems; at least one.
        problems: Vec<SchemaProblem>,
    },
    /// No type holds subscription fields.
    #[error(
        "the schema has no subscription type: add `type Subscription` with one field for each subscription"
    )]
    MissingSubscription,
    /// The default value of an input field contains itself.
    #[error(
        "the default value of `{type_name}.{field}` contains itself without end: set the inner field to a value, such as null"
    )]
    DefaultCycle {
        /// The input type.
        type_name: String,
        /// Its field.
        field: String,
    },
    /// `@requires` names neither a permission nor fields.
    #[error(
        "`@requires` at `{0}` asks for nothing: pass it a permission, such as `@requires(permission: \"orders:read\")`"
    )]
    EmptyRequires(String),
    /// There is a source key for a field that is not in the schema.
    #[error(
        "a source key is given for `{type_name}.{field}`, which is not in the schema: declare the field or drop the key"
    )]
    UnknownSourceField {
        /// The name of the type.
        type_name: String,
        /// The name of the field.
        field: String,
    },
    /// There are internal values for an enum value that is not in the schema.
    #[error(
        "an internal value is given for `{type_name}.{value}`, which is not in the schema: declare the enum value or drop it"
    )]
    UnknownEnumValue {
        /// The name of the enum.
        type_name: String,
        /// The name of the value.
        value: String,
    },
}

/// One error of the text of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaProblem {
    /// The text of the problem.
    pub message: String,
    /// Its location; `None` if no part of the text is the cause.
    pub location: Option<Location>,
}

fn list_problems(problems: &[SchemaProblem]) -> String {
    let listed: Vec<_> = problems
        .iter()
        .map(|problem| match problem.location {
            Some(Location { line, column }) => {
                format!("{} (at {line}:{column})", problem.message)
            }
            None => problem.message.clone(),
        })
        .collect();
    format!("{}; correct the SDL at that place", listed.join("; "))
}

/// Returns one request error with a code.
pub(crate) fn request_error(message: impl Into<String>, code: &str) -> Vec<GraphQLError> {
    vec![GraphQLError::of_document(message).with_code(code)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_shortened_and_on_one_line() {
        let short = "Cannot query field `a`\n  on type `B`";
        assert_eq!(GraphQLError::of_document(short).message, short);
        for length in MAX_MESSAGE_BYTES..MAX_MESSAGE_BYTES + 8 {
            let literal = format!("[\n{}\u{e4}\n]", " 1,\n".repeat(length));
            let message = GraphQLError::of_document(format!("no: {literal}")).message;
            assert!(message.starts_with("no: [ 1, 1, 1, "), "{message}");
            assert!(message.ends_with('\u{2026}') && message.len() <= MAX_MESSAGE_BYTES);
            let message = GraphQLError::of_document("\u{e4}".repeat(length)).message;
            assert!(message.ends_with("\u{e4}\u{2026}") && message.len() <= MAX_MESSAGE_BYTES);
        }
        for prefix in 0..8 {
            let lines = format!("{}\n{}", "x".repeat(prefix), "123456\u{e4}\n".repeat(200));
            let message = GraphQLError::of_document(lines).message;
            assert!(message.len() <= MAX_MESSAGE_BYTES && !message.contains('\n'));
        }
        let exact = "x".repeat(MAX_MESSAGE_BYTES);
        assert_eq!(GraphQLError::of_document(exact.clone()).message, exact);
        let lines = "1234567\n".repeat(MAX_MESSAGE_BYTES);
        assert!(GraphQLError::of_document(lines).message.len() <= MAX_MESSAGE_BYTES);
    }
}
