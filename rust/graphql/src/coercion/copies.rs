//! What coercion may copy of values that a request has once.

use serde_json::Value as Json;

/// What may be copied of values that stand in a request once: variables that are used again, and
/// defaults that are put into many objects (values, and each 64 characters of their texts).
pub(super) const MAX_COPIED: usize = 100_000;

/// What a value counts for where it is copied.
pub(super) fn units(value: &Json) -> usize {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => 1,
        Json::String(text) => 1 + text.len() / 64,
        Json::Array(items) => 1 + items.iter().map(units).sum::<usize>(),
        Json::Object(members) => {
            1 + members
                .values()
                .map(|value| 1 + units(value))
                .sum::<usize>()
        }
    }
}
