//! Reads a JSON text in one pass: finds values that cannot be decoded, returns the texts of the
//! wanted members, and estimates the memory of their values. Does not decode values.
//!
//! `serde_json` would need several passes: it does not check the values that it skips, and it does
//! not keep the text of values that it decodes.

use std::borrow::Cow;

use super::footprint::{Estimate, Footprint};

/// Levels of nesting that `serde_json` decodes (count).
const MAX_DEPTH: usize = 127;

/// Why a text cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is not JSON.
    #[error("it is not JSON")]
    Syntax,
    /// It has an escape that is not a character.
    #[error("a lone surrogate")]
    Surrogate,
    /// It has a number outside the range of a double.
    #[error("a number out of range")]
    Number,
    /// It is nested too deeply.
    #[error("more than 127 levels")]
    Depth,
    /// It is not an object.
    #[error("it is no object")]
    NoObject,
}

/// A value that was found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JsonSlice<'t> {
    pub(crate) text: &'t str,
    pub(crate) footprint: Footprint,
}

impl JsonSlice<'_> {
    /// Returns the value, unless it is `null`, which counts as absent.
    pub(crate) fn given(self) -> Option<Self> {
        (self.text != "null").then_some(self)
    }

    pub(crate) fn is_object(&self) -> bool {
        self.text.starts_with('{')
    }

    /// Returns the value if it is a string.
    pub(crate) fn string(&self) -> Option<String> {
        serde_json::from_str(self.text).ok()
    }
}

/// Reads a text.
pub(crate) struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
    estimate: Estimate<'t>,
}

impl<'t> Reader<'t> {
    /// Reads a text that is one value with `read`.
    ///
    /// # Errors
    ///
    /// The text cannot be decoded.
    pub(crate) fn read<T>(
        text: &'t str,
        read: impl FnOnce(&mut Self) -> Result<T, Unreadable>,
    ) -> Result<T, Unreadable> {
        let mut reader = Self {
            text,
            at: 0,
            depth: 0,
            estimate: Estimate::default(),
        };
        let result = read(&mut reader)?;
        match reader.peek() {
            None => Ok(result),
            Some(_) => Err(Unreadable::Syntax),
        }
    }

    /// Reads the next value.
    pub(crate) fn value(&mut self) -> Result<JsonSlice<'t>, Unreadable> {
        self.slice(Self::pass)
    }

    /// Reads the next value; reads each member of an object with `member`, which receives its name.
    pub(crate) fn object(
        &mut self,
        member: impl FnMut(&mut Self, &str) -> Result<(), Unreadable>,
    ) -> Result<JsonSlice<'t>, Unreadable> {
        self.slice(|reader| match reader.peek() {
            Some(b'{') => reader.members(member),
            _ => reader.pass(),
        })
    }

    /// Reads the next value; reads each item of a list with `item`.
    pub(crate) fn list(
        &mut self,
        item: impl FnMut(&mut Self) -> Result<(), Unreadable>,
    ) -> Result<JsonSlice<'t>, Unreadable> {
        self.slice(|reader| match reader.peek() {
            Some(b'[') => reader.items(item),
            _ => reader.pass(),
        })
    }

    fn slice(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<(), Unreadable>,
    ) -> Result<JsonSlice<'t>, Unreadable> {
        self.peek();
        let from = self.at;
        // Names are shared among values that are decoded together.
        let around = std::mem::take(&mut self.estimate);
        read(self)?;
        let footprint = std::mem::replace(&mut self.estimate, around).footprint;
        self.estimate
            .footprint
            .add(footprint.tree, footprint.objects);
        let text = &self.text[from..self.at];
        Ok(JsonSlice { text, footprint })
    }

    /// Skips the next value.
    pub(crate) fn pass(&mut self) -> Result<(), Unreadable> {
        match self.peek() {
            Some(b'{') => self.members(|reader, _| reader.pass()),
            Some(b'[') => self.items(Self::pass),
            Some(b'"') => {
                let text = self.string()?;
                self.estimate.add_string(&text);
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                let rest = &self.text.as_bytes()[self.at..];
                let mut constants = ["null", "true", "false"].into_iter();
                let constant = constants.find(|known| rest.starts_with(known.as_bytes()));
                self.at += constant.ok_or(Unreadable::Syntax)?.len();
                self.estimate.add_constant();
                Ok(())
            }
        }
    }

    fn members(
        &mut self,
        mut member: impl FnMut(&mut Self, &str) -> Result<(), Unreadable>,
    ) -> Result<(), Unreadable> {
        self.enter()?;
        let mut is_first = true;
        while self.has_next(b'}', is_first)? {
            if self.peek() != Some(b'"') {
                return Err(Unreadable::Syntax);
            }
            let name = self.string()?;
            self.expect(b':')?;
            member(self, &name)?;
            self.estimate.add_member(name, is_first);
            is_first = false;
        }
        self.depth -= 1;
        Ok(())
    }

    fn items(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), Unreadable>,
    ) -> Result<(), Unreadable> {
        self.enter()?;
        let mut is_first = true;
        while self.has_next(b']', is_first)? {
            item(self)?;
            is_first = false;
        }
        self.depth -= 1;
        Ok(())
    }

    /// Skips the opening bracket of a list or an object.
    fn enter(&mut self) -> Result<(), Unreadable> {
        self.estimate.add_container();
        self.at += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Unreadable::Depth);
        }
        Ok(())
    }

    /// Whether another item follows; skips the comma before it, or the closing bracket.
    fn has_next(&mut self, end: u8, is_first: bool) -> Result<bool, Unreadable> {
        if self.peek() == Some(end) {
            self.at += 1;
            return Ok(false);
        }
        if !is_first {
            self.expect(b',')?;
        }
        Ok(true)
    }

    fn expect(&mut self, byte: u8) -> Result<(), Unreadable> {
        if self.peek() != Some(byte) {
            return Err(Unreadable::Syntax);
        }
        self.at += 1;
        Ok(())
    }

    /// Returns the next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Reads a string that begins here.
    fn string(&mut self) -> Result<Cow<'t, str>, Unreadable> {
        let (bytes, from) = (self.text.as_bytes(), self.at);
        let mut has_escapes = false;
        self.at += 1;
        loop {
            let rest = bytes.get(self.at..).ok_or(Unreadable::Syntax)?;
            let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | ..b' ');
            let next = rest.iter().position(is_special);
            let next = next.ok_or(Unreadable::Syntax)?;
            self.at += next;
            match rest[next] {
                b'"' => break,
                b'\\' => {
                    has_escapes = true;
                    self.at += 2;
                }
                _ => return Err(Unreadable::Syntax),
            }
        }
        self.at += 1;
        let quoted = &self.text[from..self.at];
        if has_escapes {
            let text = serde_json::from_str(quoted);
            return text.map(Cow::Owned).map_err(|_| Unreadable::Surrogate);
        }
        Ok(Cow::Borrowed(&quoted[1..quoted.len() - 1]))
    }

    fn number(&mut self) -> Result<(), Unreadable> {
        let rest = &self.text[self.at..];
        let is_end = |c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E');
        let number = &rest[..rest.find(is_end).unwrap_or(rest.len())];
        self.at += number.len();
        let integer = number.parse().ok();
        let has_form = integer.is_some() && (number == "0" || !number.starts_with(['0', '+']));
        if !has_form {
            let value: Result<f64, _> = serde_json::from_str(number);
            value.map_err(|_| Unreadable::Number)?;
        }
        self.estimate.add_number(integer);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn read(text: &str) -> Result<JsonSlice<'_>, Unreadable> {
        Reader::read(text, Reader::value)
    }

    #[test]
    fn what_no_value_can_be_made_of_is_found() {
        let deep = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        for (expected, text) in [
            (Unreadable::Surrogate, r#""\ud800""#),
            (Unreadable::Surrogate, r#"{"\udc00":1}"#),
            (Unreadable::Number, "[1e400]"),
            (Unreadable::Depth, &deep(128)),
            (Unreadable::Syntax, ""),
            (Unreadable::Syntax, "[1,]"),
            (Unreadable::Syntax, "{} {}"),
            (Unreadable::Syntax, "\"\u{1}\""),
            (Unreadable::Syntax, r#""\"#),
            (Unreadable::Syntax, r#"{"a",1}"#),
        ] {
            assert_eq!(read(text).err(), Some(expected), "{text}");
        }
        assert!(read(&deep(127)).is_ok());
    }

    #[test]
    fn members_are_cut_out_while_the_whole_is_read() {
        let text = r#" { "a" : [1, "x"] , "b" : {"c":"\u0041"}, "a": 2 } "#;
        let (mut first, mut last, mut nested) = (None, None, None);
        let whole = Reader::read(text, |reader| {
            reader.object(|reader, name| {
                if name == "b" {
                    reader.object(|reader, _| {
                        nested = reader.value()?.string();
                        Ok(())
                    })?;
                } else {
                    last = Some(reader.value()?.text);
                    first = first.or(last);
                }
                Ok(())
            })
        });
        assert_eq!(whole.unwrap().text, text.trim());
        assert_eq!(first, Some(r#"[1, "x"]"#));
        assert_eq!(last, Some("2"));
        assert_eq!(nested.as_deref(), Some("A"));
    }

    /// Pieces of JSON; most of their sequences are not JSON.
    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            " ",
            "\n",
            "\"",
            "\"a\"",
            "\"b\":",
            "\\",
            "\\u00e9",
            "\\ud83d",
            "\\ude00",
            "\\x",
            "é",
            "null",
            "true",
            "nul",
            "0",
            "00",
            "-",
            "-0",
            "1.5",
            "1.",
            ".5",
            "1e5",
            "1e400",
            "1e-400",
            "E",
            "+1",
            "18446744073709551616",
            "\u{1}",
        ]);
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((".*", inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_text_is_read_exactly_if_a_value_can_be_made_of_it(text in pieces()) {
            let value = serde_json::from_str::<Value>(&text);
            prop_assert_eq!(read(&text).is_ok(), value.is_ok(), "{}", text);
        }

        #[test]
        fn every_value_is_read(value in values()) {
            for text in [value.to_string(), format!("{value:#}")] {
                let slice = read(&text).unwrap();
                prop_assert_eq!(slice.text, &text);
                // A container uses at least the memory of its content.
                prop_assert!(slice.footprint.tree >= size_of::<Value>());
            }
        }
    }
}
