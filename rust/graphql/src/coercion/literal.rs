//! Evaluates literals in documents and schemas: inserts variables and applies defaults.

use apollo_compiler::Node;
use apollo_compiler::ast::{Type, Value as Literal};
use apollo_compiler::schema::ExtendedType;
use serde_json::Value as Json;

use super::scalar::scalar;
use crate::JsonMap;
use crate::schema::Schema;

/// `valueFromAST` of graphql-js: the value of a literal; `None` if it does not fit the type.
pub(crate) fn literal(
    schema: &Schema,
    ty: &Type,
    value: &Literal,
    variables: Option<&JsonMap>,
) -> Option<Json> {
    if let Literal::Variable(name) = value {
        let value = variables?.get(name.as_str())?;
        return (!(value.is_null() && ty.is_non_null())).then(|| value.clone());
    }
    if value.is_null() {
        return (!ty.is_non_null()).then_some(Json::Null);
    }
    match ty {
        Type::List(item) | Type::NonNullList(item) => {
            let Literal::List(items) = value else {
                return Some(Json::Array(vec![literal(schema, item, value, variables)?]));
            };
            let item = |value: &Node<Literal>| {
                let is_absent = value.as_variable().is_some_and(|name| {
                    !variables.is_some_and(|known| known.contains_key(name.as_str()))
                });
                if is_absent {
                    return (!item.is_non_null()).then_some(Json::Null);
                }
                literal(schema, item, value, variables)
            };
            items
                .iter()
                .map(item)
                .collect::<Option<Vec<_>>>()
                .map(Json::Array)
        }
        Type::Named(name) | Type::NonNullNamed(name) => {
            named_literal(schema, name, value, variables)
        }
    }
}

fn named_literal(
    schema: &Schema,
    type_name: &str,
    value: &Literal,
    variables: Option<&JsonMap>,
) -> Option<Json> {
    match schema.compiled().types.get(type_name)? {
        ExtendedType::InputObject(definition) => {
            let members = value.as_object()?;
            let mut coerced = JsonMap::new();
            for (name, field) in &definition.fields {
                let given = members
                    .iter()
                    .find(|(given, _)| given == name)
                    .map(|(_, value)| value);
                let given = given.filter(|given| match given.as_variable() {
                    Some(name) => variables.is_some_and(|known| known.contains_key(name.as_str())),
                    None => true,
                });
                let member = match (given, &field.default_value) {
                    (Some(given), _) => literal(schema, &field.ty, given, variables)?,
                    (None, Some(default)) => literal(schema, &field.ty, default, None)?,
                    (None, None) if field.ty.is_non_null() => return None,
                    (None, None) => continue,
                };
                coerced.insert(name.to_string(), member);
            }
            Some(Json::Object(coerced))
        }
        ExtendedType::Enum(_) => schema.enum_type(type_name)?.internal(value.as_enum()?),
        ExtendedType::Scalar(_) => {
            let json = untyped(value, variables)?;
            match (type_name, value) {
                ("ID", Literal::Int(digits)) => Some(digits.as_str().into()),
                ("Int" | "Float" | "String" | "Boolean" | "ID", _) => {
                    let coerced = scalar(type_name, &json).ok()?;
                    Some(coerced.unwrap_or(json))
                }
                _ => Some(json),
            }
        }
        _ => None,
    }
}

/// `valueFromASTUntyped` of graphql-js, for custom scalars.
fn untyped(value: &Literal, variables: Option<&JsonMap>) -> Option<Json> {
    Some(match value {
        Literal::Null => Json::Null,
        Literal::Boolean(value) => Json::Bool(*value),
        Literal::String(text) => Json::from(text.as_str()),
        Literal::Enum(name) => Json::from(name.as_str()),
        Literal::Int(digits) => Json::Number(digits.as_str().parse().ok()?),
        Literal::Float(digits) => Json::Number(digits.as_str().parse().ok()?),
        Literal::Variable(name) => variables
            .and_then(|known| known.get(name.as_str()))
            .cloned()
            .unwrap_or(Json::Null),
        Literal::List(items) => {
            let items = items.iter().map(|item| untyped(item, variables));
            Json::Array(items.collect::<Option<Vec<_>>>()?)
        }
        Literal::Object(members) => {
            // A variable without a value adds no member.
            let is_given = |value: &Literal| {
                value.as_variable().is_none_or(|name| {
                    variables.is_some_and(|known| known.contains_key(name.as_str()))
                })
            };
            let members = members
                .iter()
                .filter(|(_, value)| is_given(value))
                .map(|(name, value)| Some((name.to_string(), untyped(value, variables)?)));
            Json::Object(members.collect::<Option<JsonMap>>()?)
        }
    })
}
