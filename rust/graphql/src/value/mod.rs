//! The interface between the projection and a host's value.
//!
//! One implementation of `CompleteValue()` works with every [`Value`]: `JsonRef` and `&serde_json::Value` here
//! (`value/indexed.rs`, `value/json.rs`), objects of the host language in other crates.

mod enum_type;
mod indexed;
mod json;
mod names;
pub(crate) mod shape;

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::error::ResolverError;

pub use enum_type::EnumType;
pub(crate) use enum_type::EnumValue;
pub(crate) use json::describe_own;
pub use json::describe_string;
pub use names::is_alike;

/// The name under which a field is read from a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Index into [`Schema::keys`](crate::Schema::keys), so that hosts can intern the name.
    pub id: usize,
    /// The name itself.
    pub name: Arc<str>,
}

/// The native form of a leaf.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar<'a> {
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// An integer beyond `i64`.
    UInt(u64),
    /// A number with a fraction; may be NaN or infinite.
    Float(f64),
    /// A string.
    String(Cow<'a, str>),
    /// Any other value.
    Other,
}

/// The object type that a value names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeName<'a> {
    /// The name of a type, which need not be a possible type.
    Named(Cow<'a, str>),
    /// No type, or a class that the schema does not have: its members determine the type.
    Unnamed(Option<Cow<'a, str>>),
    /// It is not an object, or its type name is not a text.
    Invalid,
}

/// A value of the host, which the projection reads; cheap to clone.
pub trait Value: Sized + Clone {
    /// Whether this is the host's null.
    fn is_null(&self) -> bool;

    /// Returns the member `key`; `None` if there is none, or if the value has no members.
    ///
    /// # Errors
    ///
    /// [`ResolverError`] if reading it fails, such as a property that raises.
    fn field(&self, key: &Key) -> Result<Option<Self>, ResolverError>;

    /// Whether this may be an object with fields: neither a leaf nor a list.
    fn has_members(&self) -> bool;

    /// Returns a member whose name differs from `name` only in case and underscores.
    fn alike(&self, name: &str) -> Option<String>;

    /// Returns the object type, for interfaces and unions: by `__typename`, or by its class.
    fn type_name(&self, is_possible: &dyn Fn(&str) -> bool) -> TypeName<'_>;

    /// Whether this is a list. Strings and maps are not.
    fn is_list(&self) -> bool;

    /// Visits the items of a list in order until `visit` breaks.
    ///
    /// # Errors
    ///
    /// [`ResolverError`] if the list fails while it is read.
    fn for_each(&self, visit: impl FnMut(Self) -> ControlFlow<()>) -> Result<(), ResolverError>;

    /// The native form of a leaf.
    fn scalar(&self) -> Scalar<'_>;

    /// Returns the GraphQL name of this value in `enum_type`; `None` if it is not one of its
    /// values.
    fn enum_name<'e>(&self, enum_type: &'e EnumType) -> Option<&'e str> {
        enum_type.name_of(&self.scalar())
    }

    /// Writes the JSON of a custom scalar named `scalar`.
    ///
    /// # Errors
    ///
    /// [`ResolverError`] if this value has no JSON form; the written bytes are discarded.
    fn write_scalar(&self, scalar: &str, out: &mut Vec<u8>) -> Result<(), ResolverError>;

    /// Returns a short description for the log, which says nothing of the value: `a list`.
    fn describe(&self) -> String;

    /// Whether clients receive the texts for the log.
    fn is_debugged(&self) -> bool {
        false
    }

    /// Returns the error for a value that does not fit the schema: `problem` for the client, the
    /// description of the value for the log.
    fn misfit(&self, problem: String, detail: String) -> ResolverError {
        let told = self.is_debugged().then(|| format!("{problem}: {detail}"));
        let mut error = ResolverError::new(problem).with_detail(detail);
        if let Some(told) = told {
            error.message = told;
        }
        error
    }
}
