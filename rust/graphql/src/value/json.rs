//! Implements `Value` for JSON.

use std::borrow::Cow;
use std::ops::ControlFlow;

use serde_json::Value as Json;

use super::{EnumType, Key, Scalar, TypeName, Value, is_alike};
use crate::error::ResolverError;
use crate::write::{TYPE_MEMBER, is_note, write_data};

/// Characters of a string that an error text contains (count). Past it the text is cut off.
const DESCRIBED_CHARACTERS: usize = 60;

impl Value for &Json {
    fn is_null(&self) -> bool {
        Json::is_null(self)
    }

    fn field(&self, key: &Key) -> Result<Option<Self>, ResolverError> {
        Ok(match self {
            Json::Object(members) => members.get(&*key.name),
            _ => None,
        })
    }

    fn has_members(&self) -> bool {
        self.is_object()
    }

    fn alike(&self, name: &str) -> Option<String> {
        let mut known = self.as_object()?.keys();
        known
            .find(|known| is_alike(known, name) && !is_note(known))
            .cloned()
    }

    fn type_name(&self, is_possible: &dyn Fn(&str) -> bool) -> TypeName<'_> {
        let Json::Object(members) = self else {
            return TypeName::Invalid;
        };
        if let Some(name) = members.get("__typename") {
            return match name.as_str() {
                Some(name) => TypeName::Named(Cow::Borrowed(name)),
                None => TypeName::Invalid,
            };
        }
        match members.get(TYPE_MEMBER).and_then(Json::as_str) {
            Some(name) if is_possible(name) => TypeName::Named(Cow::Borrowed(name)),
            name => TypeName::Unnamed(name.map(Cow::Borrowed)),
        }
    }

    fn is_list(&self) -> bool {
        self.is_array()
    }

    fn for_each(
        &self,
        mut visit: impl FnMut(Self) -> ControlFlow<()>,
    ) -> Result<(), ResolverError> {
        for item in self.as_array().into_iter().flatten() {
            if visit(item).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn scalar(&self) -> Scalar<'_> {
        match self {
            Json::Bool(value) => Scalar::Bool(*value),
            Json::Number(number) => {
                if let Some(value) = number.as_i64() {
                    Scalar::Int(value)
                } else if let Some(value) = number.as_u64() {
                    Scalar::UInt(value)
                } else {
                    Scalar::Float(number.as_f64().unwrap_or(f64::NAN))
                }
            }
            Json::String(value) => Scalar::String(Cow::Borrowed(value)),
            Json::Null | Json::Array(_) | Json::Object(_) => Scalar::Other,
        }
    }

    fn enum_name<'e>(&self, enum_type: &'e EnumType) -> Option<&'e str> {
        enum_type.name_of_json(self)
    }

    fn write_scalar(&self, _scalar: &str, out: &mut Vec<u8>) -> Result<(), ResolverError> {
        write_data(self, out);
        Ok(())
    }

    fn describe(&self) -> String {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Number(_) => "a number",
            Json::String(_) => "a string",
            Json::Array(_) => "a list",
            Json::Object(_) => "an object",
        }
        .to_owned()
    }
}

/// Returns a short text with the value, for the client that has sent it.
pub(crate) fn describe_own(value: &Json) -> String {
    match value {
        Json::Bool(value) => format!("the boolean {value}"),
        Json::Number(value) => format!("the number {value}"),
        Json::String(value) => describe_string(value),
        Json::Null | Json::Array(_) | Json::Object(_) => value.describe(),
    }
}

/// Returns a string for an error text, cut off if it is long.
#[must_use]
pub fn describe_string(text: &str) -> String {
    match text.char_indices().nth(DESCRIBED_CHARACTERS) {
        Some((end, _)) => format!("a string that starts with {:?}", &text[..end]),
        None => format!("the string {text:?}"),
    }
}
