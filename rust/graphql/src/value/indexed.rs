//! Implements `Value` for the data of events.

use std::borrow::Cow;
use std::ops::ControlFlow;

use indexed_json::{JsonRef, Kind, Number};

use super::{EnumType, Key, Scalar, TypeName, Value, is_alike};
use crate::error::ResolverError;
use crate::write::{TYPE_MEMBER, is_note, write_indexed};

impl Value for JsonRef<'_> {
    fn is_null(&self) -> bool {
        self.kind() == Kind::Null
    }

    fn field(&self, key: &Key) -> Result<Option<Self>, ResolverError> {
        Ok(self.member(&key.name))
    }

    fn has_members(&self) -> bool {
        self.kind() == Kind::Object
    }

    fn alike(&self, name: &str) -> Option<String> {
        let mut known = self.members().map(|(known, _)| known);
        let known = known.find(|known| is_alike(known, name) && !is_note(known));
        known.map(Cow::into_owned)
    }

    fn type_name(&self, is_possible: &dyn Fn(&str) -> bool) -> TypeName<'_> {
        if !self.has_members() {
            return TypeName::Invalid;
        }
        if let Some(name) = self.member("__typename") {
            return name.as_str().map_or(TypeName::Invalid, TypeName::Named);
        }
        match self.member(TYPE_MEMBER).and_then(JsonRef::as_str) {
            Some(name) if is_possible(&name) => TypeName::Named(name),
            name => TypeName::Unnamed(name),
        }
    }

    fn is_list(&self) -> bool {
        self.kind() == Kind::List
    }

    fn for_each(
        &self,
        mut visit: impl FnMut(Self) -> ControlFlow<()>,
    ) -> Result<(), ResolverError> {
        for item in self.items() {
            if visit(item).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn scalar(&self) -> Scalar<'_> {
        match self.kind() {
            Kind::String => self.as_str().map_or(Scalar::Other, Scalar::String),
            Kind::Number => match self.as_number() {
                Some(Number::Int(value)) => Scalar::Int(value),
                Some(Number::UInt(value)) => Scalar::UInt(value),
                Some(Number::Float(value)) => Scalar::Float(value),
                None => Scalar::Other,
            },
            Kind::Bool => self.as_bool().map_or(Scalar::Other, Scalar::Bool),
            Kind::Null | Kind::List | Kind::Object => Scalar::Other,
        }
    }

    fn enum_name<'e>(&self, enum_type: &'e EnumType) -> Option<&'e str> {
        enum_type.name_of_json(&self.to_value())
    }

    fn write_scalar(&self, _scalar: &str, out: &mut Vec<u8>) -> Result<(), ResolverError> {
        write_indexed(*self, out);
        Ok(())
    }

    fn describe(&self) -> String {
        match self.kind() {
            Kind::Null => "null",
            Kind::Bool => "a boolean",
            Kind::Number => "a number",
            Kind::String => "a string",
            Kind::List => "a list",
            Kind::Object => "an object",
        }
        .to_owned()
    }
}
