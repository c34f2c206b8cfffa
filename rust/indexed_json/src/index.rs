//! The text of a JSON value, and where its values are.

use std::fmt;

use crate::problem::Unreadable;
use crate::read::Reader;
use crate::value::JsonRef;

/// Levels of nested lists and objects that readers accept (count).
pub const MAX_DEPTH: usize = 127;

/// Limit of a text that is read (bytes).
pub const MAX_TEXT_BYTES: usize = 1 << 30;

/// One JSON value: its text, and an index of the values in it.
///
/// Of two members with the same name the last one counts, as for `json.loads`.
#[derive(Clone)]
pub struct IndexedJson {
    text: Box<str>,
    /// In the order of the text; the name of a member stands before its value.
    nodes: Box<[Node]>,
    /// Levels of nested lists and objects (count).
    depth: usize,
}

/// Where a value or a name is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    /// Its first byte. The highest bit is set for a text with escapes.
    start: u32,
    /// The byte after its last one.
    end: u32,
    /// The node after it and all that it contains.
    next: u32,
}

const ESCAPED: u32 = 1 << 31;

impl Node {
    /// A value without further values inside, or the name of a member.
    pub(crate) fn leaf(start: usize, end: usize, place: usize, has_escapes: bool) -> Self {
        let flag = if has_escapes { ESCAPED } else { 0 };
        Self {
            start: start as u32 | flag,
            end: end as u32,
            next: place as u32 + 1,
        }
    }

    /// Sets the end of a list or an object. `next`: the number of nodes up to there.
    pub(crate) fn close(&mut self, end: usize, next: usize) {
        self.end = end as u32;
        self.next = next as u32;
    }

    pub(crate) fn start(self) -> usize {
        (self.start & !ESCAPED) as usize
    }

    pub(crate) fn end(self) -> usize {
        self.end as usize
    }

    pub(crate) fn next(self) -> usize {
        self.next as usize
    }

    pub(crate) fn has_escapes(self) -> bool {
        self.start & ESCAPED != 0
    }
}

impl IndexedJson {
    /// Reads a text that is one JSON value. An integer past 64 bits is read as a float.
    ///
    /// # Errors
    ///
    /// It is not JSON, is nested deeper than [`MAX_DEPTH`] levels, is longer than [`MAX_TEXT_BYTES`], or
    /// has a lone surrogate or a number that is too large for a float.
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        Reader::read(text, false)
    }

    /// As [`Self::read`], and refuses integers past 64 bits, which would lose digits.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn read_exact(text: &str) -> Result<Self, Unreadable> {
        Reader::read(text, true)
    }

    pub(crate) fn of(text: Box<str>, nodes: Box<[Node]>, depth: usize) -> Self {
        Self { text, nodes, depth }
    }

    /// Returns its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the levels of nested lists and objects (count).
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Returns the memory that it keeps, without itself (bytes).
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.text.len() + size_of_val(&*self.nodes)
    }

    /// Returns the whole value.
    #[must_use]
    pub fn root(&self) -> JsonRef<'_> {
        JsonRef::new(&self.text, &self.nodes, 0)
    }

    /// Returns the value at a path of members; `None` if there is none.
    #[must_use]
    pub fn at(&self, path: &[Box<str>]) -> Option<JsonRef<'_>> {
        path.iter()
            .try_fold(self.root(), |value, name| value.member(name))
    }
}

impl PartialEq for IndexedJson {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text || self.root().to_value() == other.root().to_value()
    }
}

impl fmt::Display for IndexedJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for IndexedJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
