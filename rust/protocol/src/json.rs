//! JSON that is kept as text, with an estimate of the memory of its decoded values.
//!
//! A tree of small values has up to sixty times the size of its text. So JSON of clients is kept as
//! text, and only the members that are needed are decoded.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

mod footprint;
mod reader;

pub use footprint::{Footprint, SHARED_NAMES};
pub use reader::Unreadable;
pub(crate) use reader::{JsonSlice, Reader};

/// A JSON object as its text. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JsonObject {
    /// `None`: an object without members.
    text: Option<Arc<str>>,
    footprint: Footprint,
}

impl JsonObject {
    /// Parses the text of a JSON object.
    ///
    /// # Errors
    ///
    /// The text is not a JSON object, is nested deeper than 127 levels, or has a lone surrogate or
    /// a number outside the range of a double.
    pub fn parse(text: String) -> Result<Self, Unreadable> {
        let object = Reader::read(&text, Reader::value)?;
        if !object.is_object() {
            return Err(Unreadable::NoObject);
        }
        let footprint = object.footprint;
        Ok(Self {
            text: Some(text.into()),
            footprint,
        })
    }

    /// Creates it from a parsed object.
    pub(crate) fn of(object: &JsonSlice<'_>) -> Self {
        Self {
            text: Some(object.text.into()),
            footprint: object.footprint,
        }
    }

    /// Returns its text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or("{}")
    }

    /// Returns the memory that it keeps (bytes).
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.text.as_ref().map_or(0, |text| text.len())
    }

    /// Returns the memory that its decoded values would use.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        self.footprint
    }

    /// Returns the memory that the decoded values of the wanted members would use.
    #[must_use]
    pub fn footprint_of(&self, is_wanted: impl Fn(&str) -> bool) -> Footprint {
        let mut wanted = Footprint::default();
        let read = Reader::read(self.text(), |reader| {
            reader.object(|reader, name| {
                let Footprint { tree, objects } = reader.value()?.footprint;
                if is_wanted(name) {
                    wanted.add(tree, objects);
                }
                Ok(())
            })
        });
        // The text was read before, so nothing is wrong with it.
        read.map_or_else(|_| self.footprint, |_| wanted)
    }

    /// Returns the first member of these names, in their order, that is a string.
    #[must_use]
    pub fn first_string(&self, names: &[String]) -> Option<String> {
        let mut values = vec![None; names.len()];
        let read = Reader::read(self.text(), |reader| {
            reader.object(|reader, name| {
                match names.iter().position(|known| known == name) {
                    Some(place) => values[place] = Some(reader.value()?),
                    None => reader.pass()?,
                }
                Ok(())
            })
        });
        // The text was read before, so nothing is wrong with it.
        read.ok()?;
        values
            .into_iter()
            .flatten()
            .find_map(|value| value.string())
    }

    /// Decodes the wanted members; of several with the same name, the last.
    #[must_use]
    pub fn select(&self, is_wanted: impl Fn(&str) -> bool) -> Map<String, Value> {
        let mut reader = serde_json::Deserializer::from_str(self.text());
        // The text was read before, so nothing is wrong with it.
        reader
            .deserialize_map(Select(is_wanted))
            .unwrap_or_default()
    }
}

impl Default for JsonObject {
    fn default() -> Self {
        Self {
            text: None,
            footprint: Footprint::EMPTY_OBJECT,
        }
    }
}

impl From<&Map<String, Value>> for JsonObject {
    fn from(map: &Map<String, Value>) -> Self {
        if map.is_empty() {
            return Self::default();
        }
        // Serialising to a string does not fail, and the text of a value can be parsed.
        let text = serde_json::to_string(map).unwrap_or_default();
        Self::parse(text).unwrap_or_default()
    }
}

impl fmt::Display for JsonObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

struct Select<F>(F);

impl<'t, F: Fn(&str) -> bool> Visitor<'t> for Select<F> {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut selected = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if (self.0)(&name) {
                selected.insert(name, members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(selected)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(text: &str) -> JsonObject {
        JsonObject::parse(text.to_owned()).unwrap()
    }

    fn footprint(text: &str) -> Footprint {
        Reader::read(text, Reader::value).unwrap().footprint
    }

    #[test]
    fn what_some_members_take_is_less_than_what_all_take() {
        let all = object(r#"{"a":[1,2,3],"b":"x"}"#);
        assert_eq!(all.footprint_of(|name| name == "a"), footprint("[1,2,3]"));
        assert!(all.footprint_of(|_| true).tree < all.footprint().tree);
        assert_eq!(object("{}").footprint(), JsonObject::default().footprint());
    }

    #[test]
    fn of_several_members_of_one_name_the_last_counts() {
        let parsed = object(r#"{"a":1,"b":{"c":[2]},"\u0061":"x"}"#);
        let selected = parsed.select(|name| name == "a");
        assert_eq!(Value::Object(selected), json!({"a": "x"}));
        assert!(parsed.select(|name| name == "d").is_empty());
        let names = ["d", "b", "a"].map(str::to_owned);
        assert_eq!(parsed.first_string(&names).as_deref(), Some("x"));
        assert_eq!(JsonObject::default().text(), "{}");
    }

    #[test]
    fn what_no_value_can_be_made_of_is_no_object() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(127), "]".repeat(127));
        for text in [
            "",
            "[]",
            "{",
            "{} {}",
            r#"{"a":"\ud800"}"#,
            r#"{"a":1e400}"#,
            &deep,
        ] {
            assert!(JsonObject::parse(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn small_values_take_many_times_their_text() {
        let of = |item: &str| {
            let text = format!("[{}null]", format!("{item},").repeat(1000));
            let Footprint { tree, objects } = footprint(&text);
            (tree / text.len(), objects / text.len())
        };
        assert_eq!(of("0"), (35, 4));
        assert_eq!(of("{}"), (24, 23));
        assert_eq!(of("[]"), (24, 23));
        assert!(of(r#"{"aa":0}"#).0 >= 60);
        assert_eq!(of(&format!("\"{}\"", "x".repeat(1000))), (1, 1));
    }

    #[test]
    fn a_wide_character_makes_a_text_wide() {
        let narrow = footprint(&format!("\"{}\"", "x".repeat(1000)));
        let wide = footprint(&format!("\"{}\u{1f600}\"", "x".repeat(1000)));
        assert!(wide.objects > 3 * narrow.objects);
    }
}
