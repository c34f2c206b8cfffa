//! Reads the enum types of a schema, with the host's values for them.

use std::collections::HashMap;
use std::sync::Arc;

use apollo_compiler::Schema as CompiledSchema;
use serde_json::Value as Json;

use super::options::SchemaOptions;
use crate::error::SchemaError;
use crate::value::{EnumType, EnumValue};

/// Reads the enum types of a schema.
pub(crate) fn enums(
    schema: &CompiledSchema,
    options: &SchemaOptions,
) -> Result<HashMap<Arc<str>, Arc<EnumType>>, SchemaError> {
    let mut enums = HashMap::new();
    for (type_name, definition) in &schema.types {
        let Some(definition) = definition.as_enum() else {
            continue;
        };
        let names: Vec<&str> = definition
            .values
            .keys()
            .map(apollo_compiler::Name::as_str)
            .collect();
        let given = options.enum_values.get(type_name.as_str());
        let published = published(&options.published_enums, type_name, &names);
        let value = |name: &&str| EnumValue {
            name: (*name).into(),
            internal: given.and_then(|given| value_of(given, name)),
            published: published.and_then(|published| value_of(published, name)),
        };
        let name = Arc::<str>::from(type_name.as_str());
        let enum_type = EnumType::of_schema(name.clone(), names.iter().map(value).collect());
        enums.insert(name, Arc::new(enum_type));
    }
    for (type_name, values) in &options.enum_values {
        let known = enums.get(type_name.as_str());
        for (value, _) in values {
            let is_known = |known: &Arc<EnumType>| known.names().any(|name| name == value);
            if !known.is_some_and(is_known) {
                return Err(SchemaError::UnknownEnumValue {
                    type_name: type_name.clone(),
                    value: value.clone(),
                });
            }
        }
    }
    Ok(enums)
}

fn value_of(values: &[(String, Json)], name: &str) -> Option<Json> {
    let entry = values.iter().find(|(known, _)| known == name);
    entry.map(|(_, value)| value.clone())
}

/// Returns the host's enum for a type: the one with the same name, otherwise the only one with the
/// same values.
fn published<'o>(
    enums: &'o [(String, Vec<(String, Json)>)],
    type_name: &str,
    names: &[&str],
) -> Option<&'o [(String, Json)]> {
    let of_name = enums.iter().find(|(name, values)| {
        name == type_name
            && values
                .iter()
                .any(|(value, _)| names.contains(&value.as_str()))
    });
    if let Some((_, values)) = of_name {
        return Some(values);
    }
    let mut equal = enums.iter().filter(|(_, values)| {
        values.len() == names.len()
            && values
                .iter()
                .all(|(name, _)| names.contains(&name.as_str()))
    });
    let (_, values) = equal.next()?;
    equal.next().is_none().then_some(values)
}
