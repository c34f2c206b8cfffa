//! Reads JSON without keeping it, so that what a reader of events would refuse is refused.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Any value. Numbers, texts and levels are checked as they are for `serde_json::Value`.
pub(super) struct Checked;

struct Checks;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Checks)
    }
}

impl<'de> Visitor<'de> for Checks {
    type Value = Checked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_unit<E: Error>(self) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Checked, A::Error> {
        while elements.next_element::<Checked>()?.is_some() {}
        Ok(Checked)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Checked, A::Error> {
        while members.next_entry::<Checked, Checked>()?.is_some() {}
        Ok(Checked)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    proptest! {
        #[test]
        fn it_refuses_what_a_value_refuses(text in r#"[\[\]{}:,0-9eE+."\\u-]{0,24}"#) {
            let checked = serde_json::from_str::<Checked>(&text).is_ok();
            prop_assert_eq!(checked, serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
        }
    }

    #[test]
    fn large_numbers_and_many_levels_are_refused() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        for text in ["1e400", &"9".repeat(400), &deep, "", "{\"a\"", "[1,]"] {
            assert!(serde_json::from_str::<Checked>(text).is_err(), "{text}");
        }
        for text in [
            "1e300",
            "[[{\"a\": [null, true, \"b\"]}]]",
            "-1",
            "18446744073709551616",
        ] {
            assert!(serde_json::from_str::<Checked>(text).is_ok(), "{text}");
        }
    }
}
