//! Whether what a host's function says it returns can be of the type of its field.

use apollo_compiler::ast::Type;
use apollo_compiler::schema::ExtendedType;

use super::Schema;

/// What a function says that it returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// Lists around it (count).
    pub lists: usize,
    /// What is inside them.
    pub kind: ReturnedKind,
    /// As the host writes it, for errors.
    pub text: String,
}

/// A kind of values of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReturnedKind {
    /// Objects with fields.
    Object,
    /// Scalars of this name, or members of an enum.
    Leaf(String),
    /// Anything, lists as well.
    Any,
}

/// Scalars that have no value in common with those of [`NUMBERS`].
const MOMENTS: [&str; 4] = ["Date", "DateTime", "Time", "UUID"];
const NUMBERS: [&str; 3] = ["Boolean", "Float", "Int"];

impl Schema {
    /// The type of a subscription field if no value of `returned` can be of it; `None`: one can, or
    /// it cannot be decided.
    #[must_use]
    pub fn misfit(&self, field: &str, returned: &Returned) -> Option<String> {
        let root = self.compiled().get_object(self.subscription_type())?;
        let ty = &root.fields.get(field)?.ty;
        let type_name = ty.inner_named_type();
        let can_be = match self.compiled().types.get(type_name)? {
            ExtendedType::Scalar(scalar) if !scalar.is_built_in() => {
                // It may be anything, lists and objects as well.
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
