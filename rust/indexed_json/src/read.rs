//! Reads a text once: checks it, and notes where its values are.
//!
//! It accepts what `serde_json` makes a value of.

use crate::index::{IndexedJson, MAX_DEPTH, MAX_TEXT_BYTES, Node};
use crate::problem::{Problem, Unreadable};
use crate::scan::plain;

pub(crate) struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
    deepest: usize,
    nodes: Vec<Node>,
    /// Whether integers past 64 bits are refused.
    is_exact: bool,
}

/// A fault at the current place.
type Read = Result<(), Problem>;

const SYNTAX: Problem = Problem::Syntax(String::new());

impl<'t> Reader<'t> {
    pub(crate) fn read(text: &'t str, is_exact: bool) -> Result<IndexedJson, Unreadable> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(Unreadable {
                at: MAX_TEXT_BYTES,
                problem: Problem::Length,
            });
        }
        let mut reader = Self {
            text,
            at: 0,
            depth: 0,
            deepest: 0,
            nodes: Vec::with_capacity(16 + text.len() / 32),
            is_exact,
        };
        match reader.whole() {
            Ok(()) => Ok(IndexedJson::of(
                text.into(),
                reader.nodes.into(),
                reader.deepest,
            )),
            Err(problem) => Err(reader.explain(problem)),
        }
    }

    fn whole(&mut self) -> Read {
        if self.peek().is_none() {
            return Err(Problem::Empty);
        }
        if self.text.starts_with('\u{feff}') {
            return Err(Problem::ByteOrderMark);
        }
        self.value()?;
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(Problem::Trailing),
        }
    }

    /// Adds the words of `serde_json` about a fault of the syntax.
    fn explain(self, problem: Problem) -> Unreadable {
        let problem = match problem {
            Problem::Syntax(_) => {
                let read = serde_json::from_str::<serde::de::IgnoredAny>(self.text);
                let words = read.err().map(|error| error.to_string());
                Problem::Syntax(words.unwrap_or_else(|| "a value is malformed".to_owned()))
            }
            problem => problem,
        };
        let at = self.at;
        Unreadable { at, problem }
    }

    fn value(&mut self) -> Read {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'{') => self.container(b'}', Self::member),
            Some(b'[') => self.container(b']', Self::value),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.constant("true"),
            Some(b'f') => self.constant("false"),
            Some(b'n') => self.constant("null"),
            _ => Err(SYNTAX),
        }
    }

    fn member(&mut self) -> Read {
        if self.peek() != Some(b'"') {
            return Err(SYNTAX);
        }
        self.string()?;
        self.expect(b':')?;
        self.value()
    }

    /// Reads a list or an object, each part with `part`.
    fn container(&mut self, end: u8, part: fn(&mut Self) -> Read) -> Read {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        if self.depth > MAX_DEPTH {
            return Err(Problem::Depth);
        }
        let place = self.nodes.len();
        self.add(self.at, false);
        self.at += 1;
        if self.peek() == Some(end) {
            self.at += 1;
        } else {
            loop {
                part(self)?;
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(byte) if byte == end => {
                        self.at += 1;
                        break;
                    }
                    _ => return Err(SYNTAX),
                }
            }
        }
        let (at, next) = (self.at, self.nodes.len());
        self.nodes[place].close(at, next);
        self.depth -= 1;
        Ok(())
    }

    /// Notes what begins at a byte and ends here.
    fn add(&mut self, start: usize, has_escapes: bool) {
        let node = Node::leaf(start, self.at, self.nodes.len(), has_escapes);
        self.nodes.push(node);
    }

    fn string(&mut self) -> Read {
        let (bytes, start) = (self.text.as_bytes(), self.at);
        let mut has_escapes = false;
        self.at += 1;
        loop {
            self.at += plain(&bytes[self.at..]);
            match bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    has_escapes = true;
                    self.at += 2;
                    if self.at > bytes.len() {
                        return Err(SYNTAX);
                    }
                }
                _ => return Err(SYNTAX),
            }
        }
        self.at += 1;
        if has_escapes && serde_json::from_str::<String>(&self.text[start..self.at]).is_err() {
            let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&self.text[start..self.at]);
            return Err(is_json.map_or(SYNTAX, |_| Problem::Surrogate));
        }
        self.add(start, has_escapes);
        Ok(())
    }

    fn number(&mut self) -> Read {
        let (bytes, start) = (self.text.as_bytes(), self.at);
        if bytes[self.at] == b'-' {
            self.at += 1;
        }
        let integer = self.digits();
        if integer == 0 || (integer > 1 && bytes[self.at - integer] == b'0') {
            return Err(SYNTAX);
        }
        let mut is_integer = true;
        if bytes.get(self.at) == Some(&b'.') {
            is_integer = false;
            self.at += 1;
            if self.digits() == 0 {
                return Err(SYNTAX);
            }
        }
        let mut has_exponent = false;
        if let Some(b'e' | b'E') = bytes.get(self.at) {
            (is_integer, has_exponent) = (false, true);
            self.at += 1;
            if let Some(b'+' | b'-') = bytes.get(self.at) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(SYNTAX);
            }
        }
        let text = &self.text[start..self.at];
        if is_integer && integer > 18 && self.is_exact && !fits(text) {
            return Err(Problem::Digits);
        }
        // Fewer digits are always in the range of a double.
        if has_exponent || integer > 300 {
            let value = text.parse().unwrap_or(f64::INFINITY);
            if !value.is_finite() {
                return Err(Problem::Number);
            }
        }
        self.add(start, false);
        Ok(())
    }

    /// Passes digits; returns how many (count).
    fn digits(&mut self) -> usize {
        let rest = &self.text.as_bytes()[self.at..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        count
    }

    fn constant(&mut self, name: &str) -> Read {
        let start = self.at;
        if !self.text.as_bytes()[start..].starts_with(name.as_bytes()) {
            return Err(SYNTAX);
        }
        self.at += name.len();
        self.add(start, false);
        Ok(())
    }

    fn expect(&mut self, byte: u8) -> Read {
        if self.peek() != Some(byte) {
            return Err(SYNTAX);
        }
        self.at += 1;
        Ok(())
    }

    /// Returns the next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other.copied(),
            }
        }
    }
}

/// Whether an integer has at most 64 bits.
fn fits(text: &str) -> bool {
    text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok()
}

#[cfg(test)]
mod tests;
