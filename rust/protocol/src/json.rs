//! JSON that is kept as its text, and what its values would take in memory.
//!
//! A tree of small values has up to sixty times the size of its text, so what clients send is kept
//! as text, and only what is asked for is made into values.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// A JSON object as its text. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct JsonObject(
    /// `None`: an object without members.
    Option<Arc<str>>,
);

impl JsonObject {
    /// Takes the text of a JSON object.
    ///
    /// # Errors
    ///
    /// It is none, or one that cannot be read: nested deeper than 127 levels, a lone surrogate, a
    /// number past a double.
    pub fn parse(text: String) -> Result<Self, serde_json::Error> {
        Footprint::of(&text)?;
        each_member(&text, |_, _| {})?;
        Ok(Self(Some(text.into())))
    }

    /// Takes an object that has passed [`Footprint::of`].
    pub(crate) fn of(checked: &RawValue) -> Self {
        Self(Some(checked.get().into()))
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.as_deref().unwrap_or("{}")
    }

    /// What it keeps (bytes).
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |text| text.len())
    }

    /// What its values would take.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        Footprint::of(self.text()).unwrap_or_default()
    }

    /// What the values of the members that are wanted would take.
    #[must_use]
    pub fn footprint_of(&self, is_wanted: impl Fn(&str) -> bool) -> Footprint {
        let mut footprint = Footprint::default();
        self.each(|name, text| {
            if is_wanted(name)
                && let Ok(Footprint { tree, objects }) = Footprint::of(text)
            {
                footprint.add(tree, objects);
            }
        });
        footprint
    }

    /// The members that are wanted, as values.
    #[must_use]
    pub fn select(&self, is_wanted: impl Fn(&str) -> bool) -> Map<String, Value> {
        let mut selected = Map::new();
        self.each(|name, text| {
            if is_wanted(name)
                && let Ok(value) = serde_json::from_str(text)
            {
                selected.insert(name.to_owned(), value);
            }
        });
        selected
    }

    /// The text of a member.
    #[must_use]
    pub fn member(&self, wanted: &str) -> Option<&str> {
        let mut found = None;
        self.each(|name, text| {
            if name == wanted {
                found = Some(text);
            }
        });
        found
    }

    /// A member that is a string.
    #[must_use]
    pub fn string(&self, wanted: &str) -> Option<String> {
        serde_json::from_str(self.member(wanted)?).ok()
    }

    /// A member that is an object.
    #[must_use]
    pub fn object(&self, wanted: &str) -> Option<Self> {
        let text = self.member(wanted)?;
        text.starts_with('{').then(|| Self(Some(text.into())))
    }

    fn each<'t>(&'t self, mut visit: impl FnMut(&str, &'t str)) {
        // The text was read before, so nothing is wrong with it.
        each_member(self.text(), |name, value| visit(name, value.get())).ok();
    }
}

impl From<&Map<String, Value>> for JsonObject {
    fn from(map: &Map<String, Value>) -> Self {
        // Writing to a string does not fail.
        let text = serde_json::to_string(map).unwrap_or_default();
        Self((!map.is_empty()).then(|| text.into()))
    }
}

impl fmt::Display for JsonObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Takes the members of these names from the text of an object; of several of one name the last.
pub(crate) fn pick<'t, const N: usize>(
    text: &'t str,
    names: [&str; N],
) -> Result<[Option<&'t RawValue>; N], serde_json::Error> {
    let mut picked = [None; N];
    each_member(text, |name, value| {
        if let Some(place) = names.iter().position(|known| *known == name) {
            picked[place] = Some(value);
        }
    })?;
    Ok(picked)
}

fn each_member<'t>(
    text: &'t str,
    visit: impl FnMut(&str, &'t RawValue),
) -> Result<(), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.deserialize_map(Members(visit))?;
    reader.end()
}

struct Members<F>(F);

impl<'t, F: FnMut(&str, &'t RawValue)> Visitor<'t> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key_seed(Name)? {
            (self.0)(&name, members.next_value()?);
        }
        Ok(())
    }
}

/// A name, borrowed from the text where it stands there as it is.
struct Name;

impl<'t> DeserializeSeed<'t> for Name {
    type Value = Cow<'t, str>;

    fn deserialize<D: Deserializer<'t>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'t> Visitor<'t> for Name {
    type Value = Cow<'t, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'t str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// What the values of a JSON text take in memory: estimated, rather too much than too little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
    /// Reads a text as a value would be made of it, and makes none.
    ///
    /// # Errors
    ///
    /// As making a [`Value`] of it.
    pub fn of(text: &str) -> Result<Self, serde_json::Error> {
        let mut estimate = Estimate::default();
        let mut reader = serde_json::Deserializer::from_str(text);
        estimate.deserialize(&mut reader)?;
        reader.end()?;
        Ok(estimate.footprint)
    }

    fn add(&mut self, tree: usize, objects: usize) {
        self.tree = self.tree.saturating_add(tree);
        self.objects = self.objects.saturating_add(objects);
    }
}

/// A text that is being read.
#[derive(Default)]
struct Estimate<'t> {
    footprint: Footprint,
    names: HashSet<Cow<'t, str>>,
}

impl<'t> Estimate<'t> {
    fn add_value(&mut self, tree: usize, objects: usize) {
        self.footprint
            .add(size_of::<Value>() + tree, REFERENCE + objects);
    }

    fn add_name(&mut self, name: Cow<'t, str>) {
        let (tree, mut objects) = string_bytes(&name);
        if self.names.contains(&name) {
            objects = 0;
        } else if self.names.len() < SHARED_NAMES {
            self.names.insert(name);
        }
        self.footprint.add(ENTRY + tree, MEMBER + objects);
    }
}

/// What the characters of a text take.
fn string_bytes(text: &str) -> (usize, usize) {
    let width = match text.chars().max() {
        Some(c) if c > '\u{ffff}' => 4,
        Some(c) if c > '\u{ff}' => 2,
        _ => 1,
    };
    let objects = match text.len() {
        0 | 1 => 0,
        _ => STRING + text.chars().count() * width,
    };
    // An allocation has at least 32 bytes.
    (text.len().next_multiple_of(32), objects)
}

impl<'t> DeserializeSeed<'t> for &mut Estimate<'t> {
    type Value = ();

    fn deserialize<D: Deserializer<'t>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'t> Visitor<'t> for &mut Estimate<'t> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.add_value(0, 0);
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.add_value(0, 0);
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        let is_shared = number < SHARED_INTEGERS;
        self.add_value(0, if is_shared { 0 } else { NUMBER });
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.add_value(0, NUMBER);
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.add_value(0, NUMBER);
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let (tree, objects) = string_bytes(text);
        self.add_value(tree, objects);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut items: A) -> Result<(), A::Error> {
        self.add_value(0, CONTAINER);
        while items.next_element_seed(&mut *self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'t>>(self, mut members: A) -> Result<(), A::Error> {
        self.add_value(0, CONTAINER);
        let mut is_first = true;
        while let Some(name) = members.next_key_seed(Name)? {
            if std::mem::take(&mut is_first) {
                self.footprint.add(FIRST_ENTRY, FIRST_MEMBER);
            }
            self.add_name(name);
            members.next_value_seed(&mut *self)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> JsonObject {
        JsonObject::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn of_several_members_of_one_name_the_last_counts() {
        let found = object(r#"{"a":1,"b":{"c":[2]},"\u0061":"x"}"#);
        assert_eq!(found.string("a").as_deref(), Some("x"));
        assert_eq!(found.object("b").unwrap().member("c"), Some("[2]"));
        assert_eq!(found.select(|name| name == "a").len(), 1);
        assert_eq!(found.member("d"), None);
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
            let Footprint { tree, objects } = Footprint::of(&text).unwrap();
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
        let narrow = Footprint::of(&format!("\"{}\"", "x".repeat(1000))).unwrap();
        let wide = Footprint::of(&format!("\"{}\u{1f600}\"", "x".repeat(1000))).unwrap();
        assert!(wide.objects > 3 * narrow.objects);
    }
}
