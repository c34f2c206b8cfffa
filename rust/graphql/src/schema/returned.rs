//! Checks whether the declared return type of a host's function can fit the type of its field.

use apollo_compiler::ast::Type;
use apollo_compiler::schema::ExtendedType;

use super::Schema;

/// The declared return type of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// Lists around it (count).
    pub lists: usize,
    /// The kind of the values inside them.
    pub kind: ReturnedKind,
    /// The declaration of the host, for errors.
    pub text: String,
}

/// A kind of values of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReturnedKind {
    /// Objects with fields.
    Object,
    /// Scalars of this name, or members of an enum.
    Leaf(String),
    /// Any value, including lists.
    Any,
}

/// Scalars that have no common value with those of [`NUMBERS`].
const MOMENTS: [&str; 4] = ["Date", "DateTime", "Time", "UUID"];
const NUMBERS: [&str; 3] = ["Boolean", "Float", "Int"];

impl Schema {
    /// Returns the type of a subscription field if no value of `returned` can fit it; `None`: one
    /// can, or it is unknown.
    #[must_use]
    pub fn misfit(&self, field: &str, returned: &Returned) -> Option<String> {
        let root = self.compiled().get_object(self.subscription_type())?;
        let ty = &root.fields.get(field)?.ty;
        let type_name = ty.inner_named_type();
        let can_be = match self.compiled().types.get(type_name)? {
            ExtendedType::Scalar(scalar) if !scalar.is_built_in() => {
                // It may be any value, including lists and objects.
                returned.kind == ReturnedKind::Any || returned.lists >= lists(ty)
            }
            _ if returned.kind == ReturnedKind::Any => returned.lists <= lists(ty),
            _ if returned.lists != lists(ty) => false,
            ExtendedType::Scalar(_) => match &returned.kind {
                ReturnedKind::Object | ReturnedKind::Any => false,
                ReturnedKind::Leaf(name) => {
                    !(MOMENTS.contains(&name.as_str()) && NUMBERS.contains(&type_name.as_str()))
                }
            },
            ExtendedType::Enum(_) => returned.kind != ReturnedKind::Object,
            _ => returned.kind == ReturnedKind::Object,
        };
        (!can_be).then(|| ty.to_string())
    }
}

fn lists(ty: &Type) -> usize {
    match ty {
        Type::List(item) | Type::NonNullList(item) => 1 + lists(item),
        Type::Named(_) | Type::NonNullNamed(_) => 0,
    }
}
