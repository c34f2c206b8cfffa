//! Channels with columns, such as `orders.{customer_id}`.

use std::fmt;

/// A channel with columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// The name of a column.
    Column(String),
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Column(name) => write!(f, "{{{name}}}"),
        })
    }
}

impl Template {
    /// Reads a template.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            Err(format!(
                "the channel {text:?} {why}: write one such as \"orders.{{customer_id}}\""
            ))
        };
        if text.is_empty() {
            return wrong("is empty");
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (before, after) = rest.split_once('{').unwrap_or((rest, ""));
            if before.contains('}') {
                return wrong("has a brace that nothing opens");
            }
            let is_column = before.len() < rest.len();
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            rest = after;
            if is_column {
                let Some((column, after)) = after.split_once('}') else {
                    return wrong("has a brace that nothing closes");
                };
                if column.is_empty() || column.contains('{') {
                    return wrong("has braces without the name of a column");
                }
                parts.push(Part::Column(column.to_owned()));
                rest = after;
            }
        }
        Ok(Self { parts })
    }

    /// The columns it needs.
    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Column(name) => Some(&**name),
            Part::Text(_) => None,
        })
    }

    /// Returns the channel of a row, whose columns `value` returns.
    pub(super) fn render<E>(&self, value: impl Fn(&str) -> Result<String, E>) -> Result<String, E> {
        let mut channel = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => channel += text,
                Part::Column(name) => channel += &value(name)?,
            }
        }
        Ok(channel)
    }

    /// Whether two rows may have the same channel by this template and another one.
    pub(super) fn may_meet(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.bytes(), other.bytes());
        // What is true of the texts after a byte of ours, for each byte of theirs; from the last one on.
        let mut after: Vec<bool> = Vec::new();
        for ours in std::iter::once(None).chain(ours.iter().rev().map(Some)) {
            let mut now = vec![false; theirs.len() + 1];
            for index in (0..=theirs.len()).rev() {
                let of_after = |index: usize| after.get(index).copied().unwrap_or_default();
                now[index] = match (ours, theirs.get(index)) {
                    (None, None) => true,
                    (Some(None), None) => of_after(index),
                    (Some(None), Some(_)) => of_after(index) || now[index + 1],
                    (None, Some(None)) => now[index + 1],
                    (Some(_), Some(None)) => now[index + 1] || of_after(index),
                    (Some(ours), Some(theirs)) => ours == theirs && of_after(index + 1),
                    (Some(_), None) | (None, Some(_)) => false,
                };
            }
            after = now;
        }
        after.first().copied().unwrap_or_default()
    }

    /// The bytes of its texts; `None`: a column, which may be any text.
    fn bytes(&self) -> Vec<Option<u8>> {
        let mut bytes = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => bytes.extend(text.bytes().map(Some)),
                Part::Column(_) => bytes.push(None),
            }
        }
        bytes
    }

    /// Whether some row may have this channel.
    pub(super) fn may_be(&self, channel: &str) -> bool {
        let texts: Vec<&str> = self
            .parts
            .iter()
            .filter_map(|part| match part {
                Part::Text(text) => Some(&**text),
                Part::Column(_) => None,
            })
            .collect();
        let starts = matches!(self.parts.first(), Some(Part::Text(_)));
        let ends = matches!(self.parts.last(), Some(Part::Text(_)));
        if starts && ends && self.parts.len() == 1 {
            return texts.first() == Some(&channel);
        }
        let mut rest = channel;
        for (index, text) in texts.iter().enumerate() {
            let is_first = starts && index == 0;
            let is_last = ends && index + 1 == texts.len();
            let found = match (is_first, is_last) {
                (true, _) => rest.strip_prefix(text),
                (_, true) => rest.strip_suffix(text),
                _ => rest.split_once(text).map(|(_, after)| after),
            };
            match found {
                Some(after) => rest = after,
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_put_in() {
        let template = Template::parse("a.{b}.c{d}").unwrap();
        assert_eq!(template.columns().collect::<Vec<_>>(), ["b", "d"]);
        let value = |column: &str| Ok::<_, ()>(column.to_uppercase());
        assert_eq!(template.render(value), Ok("a.B.cD".to_owned()));
    }

    #[test]
    fn a_channel_that_a_row_may_have_is_recognized() {
        for (template, channel, expected) in [
            ("orders", "orders", true),
            ("orders", "orders.1", false),
            ("orders.{a}", "orders.1", true),
            ("orders.{a}", "order.1", false),
            ("{a}.orders", "1.orders", true),
            ("{a}.orders", "1.order", false),
            ("a.{b}.c.{d}", "a.1.c.2", true),
            ("a.{b}.c.{d}", "a.1.d.2", false),
            ("a{b}c", "a.c", true),
            ("a{b}c", "a.c.", false),
            ("{a}", "anything", true),
        ] {
            let template = Template::parse(template).unwrap();
            assert_eq!(template.may_be(channel), expected, "{template:?} {channel}");
        }
    }

    #[test]
    fn templates_that_can_have_the_same_channel_are_recognized() {
        for (one, other, expected) in [
            ("orders", "orders", true),
            ("orders", "orders.{a}", false),
            ("o.{a}", "o.{b}", true),
            ("o.{a}", "o.{a}", true),
            ("o.{a}", "p.{a}", false),
            ("o.{a}.x", "o.{b}.y", false),
            ("o.{a}.x", "o.{b}", true),
            ("{a}", "anything", true),
            ("a{b}c", "ac", true),
            ("a{b}c", "a", false),
            ("{a}.{b}", "o.{a}", true),
            ("o{a}", "{b}p", true),
            ("all", "one.{a}", false),
        ] {
            let [first, second] = [one, other].map(|text| Template::parse(text).unwrap());
            assert_eq!(first.may_meet(&second), expected, "{one} {other}");
            assert_eq!(second.may_meet(&first), expected, "{other} {one}");
            assert_eq!(first.to_string(), one);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for wrong in ["", "a.{b", "a.b}", "a.{}", "a.{{b}}"] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }
}
