//! One value in a text, found by the index.

use std::borrow::Cow;

use serde_json::Value;

use crate::index::Node;

/// A value in the text of an [`IndexedJson`](crate::IndexedJson).
#[derive(Clone, Copy)]
pub struct JsonRef<'j> {
    text: &'j str,
    nodes: &'j [Node],
    at: usize,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// A number.
    Number,
    /// A text.
    String,
    /// A list.
    List,
    /// An object.
    Object,
}

/// A decoded number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// An integer.
    Int(i64),
    /// An integer beyond `i64`.
    UInt(u64),
    /// A number with a fraction or an exponent, or an integer past 64 bits.
    Float(f64),
}

impl<'j> JsonRef<'j> {
    pub(crate) fn new(text: &'j str, nodes: &'j [Node], at: usize) -> Self {
        Self { text, nodes, at }
    }

    fn of(self, at: usize) -> Self {
        Self { at, ..self }
    }

    fn node(self) -> Node {
        self.nodes[self.at]
    }

    fn bytes(self) -> &'j [u8] {
        let node = self.node();
        &self.text.as_bytes()[node.start()..node.end()]
    }

    /// Returns its text.
    #[must_use]
    pub fn text(self) -> &'j str {
        let node = self.node();
        &self.text[node.start()..node.end()]
    }

    /// Returns what it is.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self.text.as_bytes()[self.node().start()] {
            b'"' => Kind::String,
            b'{' => Kind::Object,
            b'[' => Kind::List,
            b'n' => Kind::Null,
            b't' | b'f' => Kind::Bool,
            _ => Kind::Number,
        }
    }

    /// Returns the member of a name; `None` if there is none, or if this is no object.
    #[must_use]
    pub fn member(self, name: &str) -> Option<Self> {
        if self.kind() != Kind::Object {
            return None;
        }
        let (end, mut at, mut found) = (self.node().next(), self.at + 1, None);
        while at < end {
            if self.of(at).is_text(name) {
                found = Some(at + 1);
            }
            at = self.nodes[at + 1].next();
        }
        found.map(|at| self.of(at))
    }

    /// Whether this text is equal to `name`.
    fn is_text(self, name: &str) -> bool {
        let node = self.node();
        if node.has_escapes() {
            return self.decoded() == name;
        }
        node.end() - node.start() == name.len() + 2
            && self.text.as_bytes()[node.start() + 1..node.end() - 1] == *name.as_bytes()
    }

    /// Returns the names and values of an object, in the order of the text, also those whose name is
    /// repeated later.
    pub fn members(self) -> impl Iterator<Item = (Cow<'j, str>, Self)> {
        let is_object = self.kind() == Kind::Object;
        let end = if is_object { self.node().next() } else { 0 };
        let mut at = self.at + 1;
        std::iter::from_fn(move || {
            (at < end).then(|| {
                let member = (self.of(at).decoded(), self.of(at + 1));
                at = self.nodes[at + 1].next();
                member
            })
        })
    }

    /// Returns the items of a list.
    pub fn items(self) -> impl Iterator<Item = Self> {
        let is_list = self.kind() == Kind::List;
        let end = if is_list { self.node().next() } else { 0 };
        let mut at = self.at + 1;
        std::iter::from_fn(move || {
            (at < end).then(|| {
                let item = self.of(at);
                at = self.nodes[at].next();
                item
            })
        })
    }

    /// Returns the text, if it is one.
    #[must_use]
    pub fn as_str(self) -> Option<Cow<'j, str>> {
        (self.kind() == Kind::String).then(|| self.decoded())
    }

    /// Returns the boolean, if it is one.
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        match self.bytes()[0] {
            b't' => Some(true),
            b'f' => Some(false),
            _ => None,
        }
    }

    /// Returns the number, if it is one.
    #[must_use]
    pub fn as_number(self) -> Option<Number> {
        if self.kind() != Kind::Number {
            return None;
        }
        let text = self.text();
        if let Ok(value) = text.parse() {
            return Some(Number::Int(value));
        }
        let is_float = |byte: &u8| matches!(byte, b'.' | b'e' | b'E');
        if !self.bytes().iter().any(is_float)
            && let Ok(value) = text.parse()
        {
            return Some(Number::UInt(value));
        }
        // The text was read before, so it is a number.
        Some(Number::Float(text.parse().unwrap_or_default()))
    }

    /// Returns the characters of a text or a name.
    fn decoded(self) -> Cow<'j, str> {
        let text = self.text();
        if self.node().has_escapes() {
            // The text was read before, so nothing is wrong with it.
            return Cow::Owned(serde_json::from_str(text).unwrap_or_default());
        }
        Cow::Borrowed(&text[1..text.len() - 1])
    }

    /// Decodes it.
    #[must_use]
    pub fn to_value(self) -> Value {
        match self.kind() {
            Kind::Null => Value::Null,
            Kind::Bool => Value::Bool(self.as_bool() == Some(true)),
            Kind::Number => match self.as_number() {
                Some(Number::Int(value)) => value.into(),
                Some(Number::UInt(value)) => value.into(),
                Some(Number::Float(value)) => value.into(),
                None => Value::Null,
            },
            Kind::String => Value::String(self.decoded().into_owned()),
            Kind::List => Value::Array(self.items().map(Self::to_value).collect()),
            Kind::Object => {
                let members = self.members();
                let members = members.map(|(name, value)| (name.into_owned(), value.to_value()));
                Value::Object(members.collect())
            }
        }
    }
}
