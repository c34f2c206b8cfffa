//! Enum types: their GraphQL names, and what the host uses for them.

use std::collections::HashMap;
use std::sync::Arc;

use apollo_compiler::Schema as CompiledSchema;
use serde_json::Value as Json;

use crate::error::SchemaError;
use crate::schema::SchemaOptions;
use crate::value::Scalar;

/// An enum type: its GraphQL names and the values the host uses for them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EnumType {
    name: Arc<str>,
    values: Vec<EnumValue>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct EnumValue {
    name: Arc<str>,
    /// What an argument is; `None`: the name.
    internal: Option<Json>,
    /// The JSON in which the host publishes it; `None`: as `internal`.
    published: Option<Json>,
}

impl EnumValue {
    fn published(&self) -> Option<&Json> {
        self.published.as_ref().or(self.internal.as_ref())
    }

    fn is(&self, same: impl Fn(&Json) -> bool) -> bool {
        self.internal.as_ref().is_some_and(&same) || self.published.as_ref().is_some_and(same)
    }
}

impl EnumType {
    /// An enum of the host that no schema has: names with the JSON in which each is published.
    #[must_use]
    pub fn new(name: &str, values: impl IntoIterator<Item = (String, Json)>) -> Self {
        let value = |(name, published): (String, Json)| EnumValue {
            name: name.into(),
            internal: None,
            published: Some(published),
        };
        Self {
            name: name.into(),
            values: values.into_iter().map(value).collect(),
        }
    }

    /// The name of the type.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// GraphQL names in the order of the schema.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|value| &*value.name)
    }

    /// The GraphQL name of a host's value; a GraphQL name stands for itself.
    #[must_use]
    pub fn name_of(&self, scalar: &Scalar<'_>) -> Option<&str> {
        let same = |value: &Json| match (scalar, value) {
            (Scalar::Bool(a), Json::Bool(b)) => a == b,
            (Scalar::Int(a), Json::Number(b)) => b.as_i64() == Some(*a),
            (Scalar::UInt(a), Json::Number(b)) => b.as_u64() == Some(*a),
            (Scalar::Float(a), Json::Number(b)) => b.as_f64() == Some(*a),
            (Scalar::String(a), Json::String(b)) => *a == *b,
            _ => false,
        };
        let found = self.values.iter().find(|value| value.is(same));
        let found = found.or_else(|| match scalar {
            Scalar::String(text) => self.values.iter().find(|value| *value.name == **text),
            _ => None,
        })?;
        Some(&found.name)
    }

    /// The GraphQL name of what the host published: its own JSON, or the name.
    #[must_use]
    pub fn name_of_json(&self, json: &Json) -> Option<&str> {
        let found = self
            .values
            .iter()
            .find(|value| value.is(|known| known == json));
        let found = found.or_else(|| {
            let text = json.as_str()?;
            self.values.iter().find(|value| *value.name == *text)
        })?;
        Some(&found.name)
    }

    /// The GraphQL name of a coerced argument: the host's value, or the name where there is none.
    #[must_use]
    pub fn name_of_argument(&self, json: &Json) -> Option<&str> {
        let found = self.values.iter().find(|value| match &value.internal {
            Some(internal) => internal == json,
            None => json.as_str() == Some(&*value.name),
        });
        found.map(|value| &*value.name)
    }

    /// The JSON in which the host publishes the value of a name: the name itself unless it is
    /// known.
    #[must_use]
    pub fn published(&self, name: &str) -> Option<Json> {
        let value = self.values.iter().find(|value| *value.name == *name)?;
        Some(value.published().cloned().unwrap_or_else(|| name.into()))
    }

    /// The host's value of a GraphQL name: the name itself unless another was given.
    pub(crate) fn internal(&self, name: &str) -> Option<Json> {
        let value = self.values.iter().find(|value| *value.name == *name)?;
        Some(value.internal.clone().unwrap_or_else(|| Json::from(name)))
    }
}

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
        let names: Vec<&str> = definition.values.keys().map(|name| name.as_str()).collect();
        let given = options.enum_values.get(type_name.as_str());
        let published = published(&options.published_enums, type_name, &names);
        let value = |name: &&str| EnumValue {
            name: (*name).into(),
            internal: given.and_then(|given| value_of(given, name)),
            published: published.and_then(|published| value_of(published, name)),
        };
        let name = Arc::<str>::from(type_name.as_str());
        let enum_type = EnumType {
            name: name.clone(),
            values: names.iter().map(value).collect(),
        };
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
    let found = values.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.clone())
}

/// The host's enum behind a type: that of the same name, or else the only one with its values.
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
