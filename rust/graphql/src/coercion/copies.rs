//! Bounds the copies that coercion makes of values in a request.

use serde_json::Value as Json;

/// Limit of copied values: variables that are used several times, and defaults of many objects
/// (count; a text counts once for each 64 characters).
pub(super) const MAX_COPIED: usize = 100_000;

/// Returns the number that a value counts when it is copied.
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
