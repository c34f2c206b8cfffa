//! Derives from the schema how the arguments and the data of a subscription are compared.

use std::sync::Arc;

use apollo_compiler::ast::Type;
use apollo_compiler::schema::ExtendedType;

use super::{Comparison, Member};
use crate::schema::{Schema, names_of};

/// The schema's type at a path into the data of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataType {
    /// The schema has no type there: data may have more members than its type.
    Unknown,
    /// How the value at the path is compared.
    Known(Comparison),
    /// The path can never have a value, for the reason in the text.
    Nowhere(String),
}

impl Schema {
    /// Returns how values of an argument of a subscription field are compared; `None` if there is
    /// no such argument.
    #[must_use]
    pub fn argument_comparison(&self, field: &str, argument: &str) -> Option<Comparison> {
        let root = self.compiled().get_object(self.subscription_type())?;
        let argument = root.fields.get(field)?.argument_by_name(argument)?;
        Some(self.comparison(&argument.ty, &mut Vec::new()))
    }

    /// Returns the type at a path into the value of a subscription field.
    #[must_use]
    pub fn data_type(&self, field: &str, path: &[Box<str>]) -> DataType {
        let root = self.compiled().get_object(self.subscription_type());
        let Some(field) = root.and_then(|root| root.fields.get(field)) else {
            return DataType::Unknown;
        };
        let mut ty = &field.ty;
        for part in path {
            if ty.is_list() {
                return DataType::Nowhere(format!("`{part}` is looked for in a list"));
            }
            let type_name = ty.inner_named_type();
            match self.compiled().types.get(type_name) {
                Some(ExtendedType::Object(object)) => {
                    let field = object.fields.iter().find(|(name, _)| {
                        let keys = self.keys_of(type_name, name);
                        keys.iter().any(|key| *key.name == **part)
                    });
                    match field {
                        Some((_, field)) => ty = &field.ty,
                        None => return self.unknown_key(type_name, part),
                    }
                }
                Some(ExtendedType::Enum(_) | ExtendedType::Scalar(_))
                    if self.named(type_name, &mut Vec::new()) != Comparison::Any =>
                {
                    let problem = format!("`{part}` is looked for in a value of type {type_name}");
                    return DataType::Nowhere(problem);
                }
                _ => return DataType::Unknown,
            }
        }
        match self.comparison(ty, &mut Vec::new()) {
            Comparison::Any => DataType::Unknown,
            comparison => DataType::Known(comparison),
        }
    }

    /// Returns the type of a key that no field of the type is read from.
    fn unknown_key(&self, type_name: &str, key: &str) -> DataType {
        match self.keys_of(type_name, key).first() {
            Some(known) => DataType::Nowhere(format!(
                "`{key}` is the name in GraphQL, and `{}` the key in the data",
                known.name
            )),
            None => DataType::Unknown,
        }
    }

    /// `around`: the input objects around the type, to which it may refer.
    fn comparison<'s>(&'s self, ty: &'s Type, around: &mut Vec<&'s str>) -> Comparison {
        match ty {
            Type::List(item) | Type::NonNullList(item) => {
                Comparison::List(Arc::new(self.comparison(item, around)))
            }
            Type::Named(name) | Type::NonNullNamed(name) => self.named(name, around),
        }
    }

    fn named<'s>(&'s self, type_name: &'s str, around: &mut Vec<&'s str>) -> Comparison {
        match self.compiled().types.get(type_name) {
            Some(ExtendedType::Scalar(_)) => Comparison::of_scalar(self.scalar_kind(type_name)),
            Some(ExtendedType::Enum(_)) => self
                .enum_type(type_name)
                .map_or(Comparison::Any, |known| Comparison::Enum(known.clone())),
            Some(ExtendedType::InputObject(input)) if !around.contains(&type_name) => {
                around.push(type_name);
                let members = input.fields.iter().map(|(name, field)| Member {
                    name: name.as_str().into(),
                    keys: names_of(name).into_iter().map(Box::from).collect(),
                    comparison: self.comparison(&field.ty, around),
                });
                let members = members.collect();
                around.pop();
                Comparison::Object(members)
            }
            Some(ExtendedType::Object(_)) => Comparison::Object(Arc::new([])),
            _ => Comparison::Any,
        }
    }
}
