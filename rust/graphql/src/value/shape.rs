//! Determines the object type of a value without a type name, by its members.

use std::sync::Arc;

use serde_json::Value as Json;

use super::{Key, Scalar, Value};

/// The fields of values of one object type.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) members: Box<[ShapeMember]>,
}

/// One field of the type.
#[derive(Debug)]
pub(crate) struct ShapeMember {
    /// Keys of the field in the value, in this order.
    pub(crate) keys: Arc<[Key]>,
    /// Whether it is non-null.
    pub(crate) is_required: bool,
    /// The allowed values; empty: any.
    pub(crate) tags: Box<[Json]>,
}

/// How well a value fits; a greater one fits better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Fit {
    tags: usize,
    is_whole: bool,
    members: usize,
}

impl Shape {
    /// Returns how well a value fits; `None`: it is not of this type.
    fn fit<V: Value>(&self, value: &V) -> Option<Fit> {
        let mut fit = Fit {
            tags: 0,
            is_whole: true,
            members: 0,
        };
        for member in &self.members {
            let field = member
                .keys
                .iter()
                .find_map(|key| value.field(key).ok().flatten());
            match field {
                Some(field) if !field.is_null() => {
                    if !member.tags.is_empty() {
                        let scalar = field.scalar();
                        if !member.tags.iter().any(|tag| is_same(&scalar, tag)) {
                            return None;
                        }
                        fit.tags += 1;
                    }
                    fit.members += 1;
                }
                Some(_) if !member.is_required => fit.members += 1,
                _ if member.is_required => fit.is_whole = false,
                _ => {}
            }
        }
        // A tag decides, also for a value that lacks a member, which is then a field error.
        (fit.is_whole || fit.tags > 0).then_some(fit)
    }
}

/// Returns the index of the shape that fits the value best; `None`: none fits, or several fit
/// equally.
pub(crate) fn best_fit<V: Value>(shapes: &[Arc<Shape>], value: &V) -> Option<usize> {
    let mut best: Option<(Fit, usize)> = None;
    let mut is_alone = true;
    for (place, shape) in shapes.iter().enumerate() {
        let Some(fit) = shape.fit(value) else {
            continue;
        };
        match best {
            Some((known, _)) if fit < known => {}
            Some((known, _)) if fit == known => is_alone = false,
            _ => {
                best = Some((fit, place));
                is_alone = true;
            }
        }
    }
    best.filter(|_| is_alone).map(|(_, place)| place)
}

/// Whether a leaf of the host equals this JSON value.
fn is_same(scalar: &Scalar<'_>, value: &Json) -> bool {
    match (scalar, value) {
        (Scalar::Bool(a), Json::Bool(b)) => a == b,
        (Scalar::Int(a), Json::Number(b)) => b.as_i64() == Some(*a),
        (Scalar::UInt(a), Json::Number(b)) => b.as_u64() == Some(*a),
        (Scalar::String(a), Json::String(b)) => *a == *b,
        _ => false,
    }
}
