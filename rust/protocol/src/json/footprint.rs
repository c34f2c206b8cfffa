//! Estimates the memory that the decoded values of a JSON text would use.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::Value;

/// Estimated memory of the decoded values of a JSON text; an upper bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Footprint {
    /// Decoded as a [`Value`] (bytes).
    pub tree: usize,
    /// Decoded as objects of the host language, Python (bytes).
    pub objects: usize,
}

/// A reference to a Python object (bytes).
const REFERENCE: usize = 8;

/// A Python number (bytes); those below [`SHARED_INTEGERS`] exist only once.
const NUMBER: usize = 32;
const SHARED_INTEGERS: u64 = 257;

/// Overhead of a Python string in addition to its characters (bytes). Strings of at most one
/// character exist only once.
const STRING: usize = 64;

/// An empty Python list or dict (bytes).
const CONTAINER: usize = 64;

/// Overhead of the first member of a container, in Python and in serde (bytes).
const FIRST_MEMBER: usize = 168;
const FIRST_ENTRY: usize = 448;

/// Overhead of each member in addition to its name and its value (bytes).
const MEMBER: usize = 32;
const ENTRY: usize = 136;

/// Names of members that are shared as one Python string each (count); further names are not
/// shared.
pub const SHARED_NAMES: usize = 256;

impl Footprint {
    /// The footprint of an object without members.
    pub(super) const EMPTY_OBJECT: Self = Self {
        tree: size_of::<Value>(),
        objects: REFERENCE + CONTAINER,
    };

    pub(super) fn add(&mut self, tree: usize, objects: usize) {
        self.tree = self.tree.saturating_add(tree);
        self.objects = self.objects.saturating_add(objects);
    }
}

/// The footprint of the text that was read so far.
#[derive(Default)]
pub(super) struct Estimate<'t> {
    pub(super) footprint: Footprint,
    names: HashSet<Cow<'t, str>>,
}

impl<'t> Estimate<'t> {
    /// Adds `null` or a boolean.
    pub(super) fn add_constant(&mut self) {
        self.add_value(0, 0);
    }

    /// Adds a number; `integer` if it is an integer without a sign.
    pub(super) fn add_number(&mut self, integer: Option<u64>) {
        let is_shared = integer.is_some_and(|integer| integer < SHARED_INTEGERS);
        self.add_value(0, if is_shared { 0 } else { NUMBER });
    }

    pub(super) fn add_string(&mut self, text: &str) {
        let (tree, objects) = string_bytes(text);
        self.add_value(tree, objects);
    }

    /// Adds a list or an object, without its content.
    pub(super) fn add_container(&mut self) {
        self.add_value(0, CONTAINER);
    }

    /// Adds a member of an object, without its value.
    pub(super) fn add_member(&mut self, name: Cow<'t, str>, is_first: bool) {
        if is_first {
            self.footprint.add(FIRST_ENTRY, FIRST_MEMBER);
        }
        let (tree, mut objects) = string_bytes(&name);
        if self.names.contains(&name) {
            objects = 0;
        } else if self.names.len() < SHARED_NAMES {
            self.names.insert(name);
        }
        self.footprint.add(ENTRY + tree, MEMBER + objects);
    }

    fn add_value(&mut self, tree: usize, objects: usize) {
        self.footprint
            .add(size_of::<Value>() + tree, REFERENCE + objects);
    }
}

/// Returns the bytes of the characters of a text, as (tree, objects).
fn string_bytes(text: &str) -> (usize, usize) {
    let objects = match text.len() {
        0 | 1 => 0,
        length if text.is_ascii() => STRING + length,
        _ => {
            let width = match text.chars().max() {
                Some(c) if c > '\u{ffff}' => 4,
                Some(c) if c > '\u{ff}' => 2,
                _ => 1,
            };
            STRING + text.chars().count() * width
        }
    };
    // An allocation has at least 32 bytes.
    (text.len().next_multiple_of(32), objects)
}
