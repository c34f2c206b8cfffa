//! Input coercion: `CoerceVariableValues()` and `CoerceArgumentValues()` of the specification, as
//! graphql-js 16 does them.
//!
//! Enum values become what the host uses for them; everything else keeps its JSON form.

mod arguments;
mod copies;
mod literal;
mod scalar;
mod variables;

pub(crate) use arguments::coerce_arguments;
pub(crate) use variables::coerce_variables;
