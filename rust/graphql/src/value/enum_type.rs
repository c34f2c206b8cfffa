//! An enum type: its GraphQL names, and the host's values for them.

use std::sync::Arc;

use serde_json::Value as Json;

use super::Scalar;

/// An enum type: its GraphQL names and the values the host uses for them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EnumType {
    name: Arc<str>,
    values: Vec<EnumValue>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct EnumValue {
    pub(crate) name: Arc<str>,
    /// The host's value for an argument; `None`: the name.
    pub(crate) internal: Option<Json>,
    /// The JSON in which the host publishes it; `None`: as `internal`.
    pub(crate) published: Option<Json>,
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
    /// Creates an enum of the host that is not in a schema: names with the JSON in which each is
    /// published.
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

    /// Creates an enum of a schema.
    pub(crate) fn of_schema(name: Arc<str>, values: Vec<EnumValue>) -> Self {
        Self { name, values }
    }

    /// Returns the name of the type.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the GraphQL names in the order of the schema.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|value| &*value.name)
    }

    /// Returns the GraphQL name of a host's value, or the value itself if it is a GraphQL name.
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
        let value = self.values.iter().find(|value| value.is(same));
        let value = value.or_else(|| match scalar {
            Scalar::String(text) => self.values.iter().find(|value| *value.name == **text),
            _ => None,
        })?;
        Some(&value.name)
    }

    /// Returns the GraphQL name of a published value: the host's JSON, or the name.
    #[must_use]
    pub fn name_of_json(&self, json: &Json) -> Option<&str> {
        let value = self
            .values
            .iter()
            .find(|value| value.is(|known| known == json));
        let value = value.or_else(|| {
            let text = json.as_str()?;
            self.values.iter().find(|value| *value.name == *text)
        })?;
        Some(&value.name)
    }

    /// Returns the GraphQL name of a coerced argument: a host's value, or the name if there is
    /// none.
    #[must_use]
    pub fn name_of_argument(&self, json: &Json) -> Option<&str> {
        let value = self.values.iter().find(|value| match &value.internal {
            Some(internal) => internal == json,
            None => json.as_str() == Some(&*value.name),
        });
        value.map(|value| &*value.name)
    }

    /// Returns the JSON in which the host publishes the value of a name: the name itself if it is
    /// unknown.
    #[must_use]
    pub fn published(&self, name: &str) -> Option<Json> {
        let value = self.values.iter().find(|value| *value.name == *name)?;
        Some(value.published().cloned().unwrap_or_else(|| name.into()))
    }

    /// Returns the host's value for a GraphQL name: the name itself if there is no other.
    pub(crate) fn internal(&self, name: &str) -> Option<Json> {
        let value = self.values.iter().find(|value| *value.name == *name)?;
        Some(value.internal.clone().unwrap_or_else(|| Json::from(name)))
    }
}
