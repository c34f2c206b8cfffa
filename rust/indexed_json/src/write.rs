//! Writes a value from its parts, with its index.

use serde_json::Value;

use crate::index::{IndexedJson, MAX_TEXT_BYTES, Node};
use crate::scan::plain;
use crate::tree;

/// Writes one value after the other; may be used again after [`Writer::finish`].
///
/// Whoever writes ends each list and object that it has begun, and writes a name before each value of an
/// object.
#[derive(Debug, Default)]
pub struct Writer {
    text: String,
    nodes: Vec<Node>,
    /// Lists and objects that have begun, as places in `nodes`.
    open: Vec<u32>,
    deepest: usize,
}

impl Writer {
    /// Returns the value that was written, and begins anew.
    #[must_use]
    pub fn finish(&mut self) -> IndexedJson {
        let (text, nodes) = (self.text.as_str().into(), self.nodes.as_slice().into());
        let json = IndexedJson::of(text, nodes, self.deepest);
        self.clear();
        json
    }

    /// Whether what was written has, with its index, more than [`MAX_TEXT_BYTES`]: who writes asks
    /// after each value, and stops.
    #[must_use]
    pub fn is_too_long(&self) -> bool {
        self.text.len() + self.nodes.len() * size_of::<Node>() > MAX_TEXT_BYTES
    }

    /// Drops what was written. Memory that one large value has taken is not kept.
    pub fn clear(&mut self) {
        let bytes = self.text.capacity() + self.nodes.capacity() * size_of::<Node>();
        if bytes > KEPT_BYTES {
            *self = Self::default();
            return;
        }
        self.text.clear();
        self.nodes.clear();
        self.open.clear();
        self.deepest = 0;
    }

    /// Begins an object.
    pub fn begin_object(&mut self) {
        self.begin('{');
    }

    /// Begins a list.
    pub fn begin_list(&mut self) {
        self.begin('[');
    }

    /// Ends the object that was begun last.
    pub fn end_object(&mut self) {
        self.end('}');
    }

    /// Ends the list that was begun last.
    pub fn end_list(&mut self) {
        self.end(']');
    }

    /// Writes the name of a member.
    pub fn name(&mut self, name: &str) {
        self.string(name);
        self.text.push(':');
    }

    /// Writes `null`.
    pub fn null(&mut self) {
        self.raw("null");
    }

    /// Writes a boolean.
    pub fn bool(&mut self, value: bool) {
        self.raw(if value { "true" } else { "false" });
    }

    /// Writes an integer.
    pub fn integer(&mut self, value: impl itoa::Integer) {
        self.raw(itoa::Buffer::new().format(value));
    }

    /// Writes a float, which must be finite.
    pub fn float(&mut self, value: f64) {
        self.raw(zmij::Buffer::new().format_finite(value));
    }

    /// Writes a text.
    pub fn string(&mut self, text: &str) {
        self.separate();
        let start = self.text.len();
        self.text.push('"');
        let first = plain(text.as_bytes());
        let has_escapes = first < text.len();
        if has_escapes {
            self.escaped(text, first);
        } else {
            self.text.push_str(text);
        }
        self.text.push('"');
        self.add(start, has_escapes);
    }

    /// Writes a text from its first special byte on, and what is before it.
    fn escaped(&mut self, text: &str, mut next: usize) {
        let bytes = text.as_bytes();
        let mut copied = 0;
        while let Some(&byte) = bytes.get(next) {
            self.text.push_str(&text[copied..next]);
            match byte {
                b'"' => self.text.push_str("\\\""),
                b'\\' => self.text.push_str("\\\\"),
                b'\n' => self.text.push_str("\\n"),
                b'\r' => self.text.push_str("\\r"),
                b'\t' => self.text.push_str("\\t"),
                8 => self.text.push_str("\\b"),
                12 => self.text.push_str("\\f"),
                byte => {
                    self.text.push_str("\\u00");
                    self.text
                        .push(char::from(HEX_DIGITS[usize::from(byte >> 4)]));
                    self.text
                        .push(char::from(HEX_DIGITS[usize::from(byte & 15)]));
                }
            }
            copied = next + 1;
            next = copied + plain(&bytes[copied..]);
        }
        self.text.push_str(&text[copied..]);
    }

    /// Writes a value.
    pub fn value(&mut self, value: &Value) {
        tree::write(value, self);
    }

    fn raw(&mut self, text: &str) {
        self.separate();
        let start = self.text.len();
        self.text.push_str(text);
        self.add(start, false);
    }

    /// Notes what begins at a byte and ends here.
    fn add(&mut self, start: usize, has_escapes: bool) {
        let node = Node::leaf(start, self.text.len(), self.nodes.len(), has_escapes);
        self.nodes.push(node);
    }

    /// Writes a comma after a value.
    fn separate(&mut self) {
        let last = self.text.as_bytes().last();
        if !matches!(last, None | Some(b'{' | b'[' | b':')) {
            self.text.push(',');
        }
    }

    fn begin(&mut self, bracket: char) {
        self.separate();
        self.open.push(self.nodes.len() as u32);
        self.deepest = self.deepest.max(self.open.len());
        self.add(self.text.len(), false);
        self.text.push(bracket);
    }

    fn end(&mut self, bracket: char) {
        self.text.push(bracket);
        if let Some(place) = self.open.pop() {
            let next = self.nodes.len();
            self.nodes[place as usize].close(self.text.len(), next);
        }
    }
}

/// Memory that a writer keeps for the next value (bytes).
const KEPT_BYTES: usize = 64 << 10;

const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";
