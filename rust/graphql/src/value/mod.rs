//! What the projection needs to know of a host's value, and nothing more.
//!
//! One implementation of `CompleteValue()` works over every [`Value`]: `&serde_json::Value` here
//! (`value/json.rs`), objects of the host language elsewhere.

mod enum_type;
mod json;
mod names;
pub(crate) mod shape;

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::error::ResolverError;

pub use enum_type::EnumType;
pub(crate) use enum_type::EnumValue;
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
    /// None of these.
    Other,
}

/// What a value says of its object type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeName<'a> {
    /// The name of a type, which may be none of those that are possible.
    Named(Cow<'a, str>),
    /// Nothing, or that it is of a class that the schema does not have: its members tell.
    Unnamed(Option<Cow<'a, str>>),
    /// It is no object, or names its type by something else than a text.
    Invalid,
}

/// A value of the host: read by the projection, cheap to clone.
pub trait Value: Sized + Clone {
    /// Whether this is the host's null.
    fn is_null(&self) -> bool;

    /// The member that `key` names; `None` when there is none, or when this has no members.
    ///
    /// # Errors
    ///
    /// [`ResolverError`] when reading it fails, such as a property that raises.
    fn field(&self, key: &Key) -> Result<Option<Self>, ResolverError>;

    /// Whether this may be an object with fields: no leaf, no list.
    fn has_members(&self) -> bool;

    /// A member whose name differs from `name` in case and underscores alone.
    fn alike(&self, name: &str) -> Option<String>;

    /// The object type, for interfaces and unions: by `__typename`, or by its class.
    fn type_name(&self, is_possible: &dyn Fn(&str) -> bool) -> TypeName<'_>;

    /// Whether this is a list. Strings and maps are not.
    fn is_list(&self) -> bool;

    /// Visits the items of a list in order until `visit` breaks.
    ///
    /// # Errors
    ///
    /// [`ResolverError`] when the list itself fails while it is read.
    fn for_each(&self, visit: impl FnMut(Self) -> ControlFlow<()>) -> Result<(), ResolverError>;

    /// The native form of a leaf.
    fn scalar(&self) -> Scalar<'_>;

    /// The GraphQL name of this value in `enum_type`; `None` when it is not one of its values.
    fn enum_name<'e>(&self, enum_type: &'e EnumType) -> Option<&'e str> {
        enum_type.name_of(&self.scalar())
    }

    /// Writes the JSON of a custom scalar named `scalar`.
    ///
    /// # Errors
    ///
    /// [`ResolverError`] when there is no JSON for this value; what was written is discarded.
    fn write_scalar(&self, scalar: &str, out: &mut Vec<u8>) -> Result<(), ResolverError>;

    /// What this is, for the log: `a list`, `the string "x"`. Short, whatever the value.
    fn describe(&self) -> String;

    /// Whether clients are sent what the log is told.
    fn is_debugged(&self) -> bool {
        false
    }

    /// The error of a value that does not fit the schema: `problem` for the client, what this is
    /// for the log.
    fn misfit(&self, problem: String, detail: String) -> ResolverError {
        let told = self.is_debugged().then(|| format!("{problem}: {detail}"));
        let mut error = ResolverError::new(problem).with_detail(detail);
        if let Some(told) = told {
            error.message = told;
        }
        error
    }
}
