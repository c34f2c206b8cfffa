//! Input coercion: `CoerceVariableValues()` and `CoerceArgumentValues()` of the specification, with
//! the details of graphql-js 16.
//!
//! Enum values become the host's values for them; all other values keep their JSON form.

mod arguments;
mod copies;
mod literal;
mod scalar;
mod variables;

pub(crate) use arguments::coerce_arguments;
pub(crate) use variables::coerce_variables;
