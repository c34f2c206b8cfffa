//! What the values of a JSON text would take in memory.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::Value;

/// What the values of a JSON text take in memory: estimated, rather too much than too little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Footprint {
    /// As a [`Value`] (bytes).
    pub tree: usize,
    /// As objects of the host language, which is Python (bytes).
    pub objects: usize,
}

/// A reference to a Python object (bytes).
const REFERENCE: usize = 8;

/// A Python number (bytes); those below [`SHARED_INTEGERS`] exist once.
const NUMBER: usize = 32;
const SHARED_INTEGERS: u64 = 257;

/// What a Python string has beside its characters (bytes). Those of at most one exist once.
const STRING: usize = 64;

/// A Python list or dict without anything in it (bytes).
const CONTAINER: usize = 64;

/// What the first member adds to a container, of Python and of serde (bytes).
const FIRST_MEMBER: usize = 168;
const FIRST_ENTRY: usize = 448;

/// What each member adds beside its name and its value (bytes).
const MEMBER: usize = 32;
const ENTRY: usize = 136;

/// Names of members that exist once as Python strings (count); those after them, each time.
pub const SHARED_NAMES: usize = 256;

impl Footprint {
    /// That of an object without members.
    pub(super) const EMPTY_OBJECT: Self = Self {
        tree: size_of::<Value>(),
        objects: REFERENCE + CONTAINER,
    };

    pub(super) fn add(&mut self, tree: usize, objects: usize) {
        self.tree = self.tree.saturating_add(tree);
        self.objects = self.objects.saturating_add(objects);
    }
}

/// The footprint of what was read so far.
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

    /// Adds a number; `integer` if it is one without a sign.
    pub(super) fn add_number(&mut self, integer: Option<u64>) {
        let is_shared = integer.is_some_and(|integer| integer < SHARED_INTEGERS);
        self.add_value(0, if is_shared { 0 } else { NUMBER });
    }

    pub(super) fn add_string(&mut self, text: &str) {
        let (tree, objects) = string_bytes(text);
        self.add_value(tree, objects);
    }

    /// Adds a list or an object, without what is in it.
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

/// What the characters of a text take.
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
