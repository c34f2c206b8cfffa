//! Literals: `ValuesOfCorrectType` and `UniqueInputFieldNames`.

use apollo_compiler::ast::{Type, Value};
use apollo_compiler::schema::{ExtendedType, InputObjectType};
use apollo_compiler::{Name, Node};
use hashbrown::HashMap;

use super::Rules;

type LiteralMembers = [(Name, Node<Value>)];

impl<'d> Rules<'d> {
    /// Checks a literal against a type; without a type, applies only the rules that need none.
    pub(super) fn value(&mut self, value: &'d Node<Value>, ty: Option<&'d Type>) {
        self.field_names(value);
        if let Some(ty) = ty {
            self.typed(value, ty);
        }
    }

    fn field_names(&mut self, value: &'d Value) {
        match value {
            Value::List(items) => items.iter().for_each(|item| self.field_names(item)),
            Value::Object(members) => {
                let mut known = HashMap::new();
                for (name, member) in members {
                    let first = *known.entry(name.as_str()).or_insert(name);
                    if !std::ptr::eq(first, name) {
                        self.report(
                            format!("There can be only one input field named \"{name}\"."),
                            [first.location(), name.location()],
                        );
                    }
                    self.field_names(member);
                }
            }
            _ => {}
        }
    }

    fn typed(&mut self, value: &'d Node<Value>, ty: &'d Type) {
        let named = self.type_named(ty.inner_named_type());
        match (&**value, named) {
            (Value::Variable(_), _) => {}
            (Value::Null, _) => {
                if ty.is_non_null() {
                    self.unfit(value, ty);
                }
            }
            (Value::List(items), _) if ty.is_list() => {
                for item in items {
                    self.typed(item, ty.item_type());
                }
            }
            (Value::Object(members), Some(ExtendedType::InputObject(definition))) => {
                self.members(value, members, definition);
            }
            (_, Some(named)) => {
                if !fits(value, named) {
                    self.unfit(value, ty);
                }
            }
            (_, None) => {}
        }
    }

    fn members(
        &mut self,
        value: &'d Node<Value>,
        members: &'d LiteralMembers,
        definition: &'d InputObjectType,
    ) {
        let type_name = &definition.name;
        for (name, field) in &definition.fields {
            let is_given = members.iter().any(|(given, _)| given == name);
            if field.is_required() && !is_given {
                self.report(
                    format!(
                        "Field \"{type_name}.{name}\" of required type \"{}\" was not provided.",
                        field.ty
                    ),
                    [value.location()],
                );
            }
        }
        for (name, member) in members {
            match definition.fields.get(name) {
                Some(field) => self.typed(member, &field.ty),
                None => self.report(
                    format!("Field \"{name}\" is not defined by type \"{type_name}\"."),
                    [name.location()],
                ),
            }
        }
    }

    fn unfit(&mut self, value: &Node<Value>, ty: &Type) {
        self.report(
            format!("Expected value of type \"{ty}\", found {value}."),
            [value.location()],
        );
    }
}

/// Whether a literal fits a leaf type.
fn fits(value: &Value, named: &ExtendedType) -> bool {
    match named {
        ExtendedType::Enum(definition) => value
            .as_enum()
            .is_some_and(|name| definition.values.contains_key(name)),
        ExtendedType::Scalar(scalar) => match (scalar.name.as_str(), value) {
            ("Int", Value::Int(digits)) => digits.try_to_i32().is_ok(),
            ("Float", Value::Int(_) | Value::Float(_))
            | ("String", Value::String(_))
            | ("Boolean", Value::Boolean(_))
            | ("ID", Value::String(_) | Value::Int(_)) => true,
            ("Int" | "Float" | "String" | "Boolean" | "ID", _) => false,
            _ => true,
        },
        _ => false,
    }
}
