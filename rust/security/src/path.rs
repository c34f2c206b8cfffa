//! Dotted paths into JSON, such as `user.id`.

use indexed_json::{IndexedJson, JsonRef};
use serde_json::Value;

use crate::error::RuleError;

/// A dotted path, split at the dots.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path(Box<[Box<str>]>);

impl Path {
    /// Splits `user.id`.
    ///
    /// # Errors
    ///
    /// [`RuleError::Path`] when a part is empty.
    pub fn parse(dotted: &str) -> Result<Self, RuleError> {
        if dotted.split('.').any(str::is_empty) {
            return Err(RuleError::Path(dotted.to_owned()));
        }
        Ok(Self(dotted.split('.').map(Box::from).collect()))
    }

    /// Returns the parts, at least one.
    #[must_use]
    pub fn parts(&self) -> &[Box<str>] {
        &self.0
    }

    /// Returns the value of an event's data at the path; `None` if there is none.
    #[must_use]
    pub fn find_in<'j>(&self, data: &'j IndexedJson) -> Option<JsonRef<'j>> {
        data.at(&self.0)
    }

    /// Returns the value at the path; `None` if there is none.
    #[must_use]
    pub fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        follow(value, &self.0)
    }
}

/// Follows the members of objects.
pub(crate) fn follow<'v>(value: &'v Value, parts: &[Box<str>]) -> Option<&'v Value> {
    parts
        .iter()
        .try_fold(value, |value, part| value.as_object()?.get(&**part))
}
