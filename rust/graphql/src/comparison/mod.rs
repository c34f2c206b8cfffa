//! Compares values by their type, not by their text.
//!
//! Filters, channels and security rules compare published values with those of a client or an
//! identity. Both sides are converted to [`Compared`] by the same [`Comparison`]. Equal values have
//! equal hashes, so they can be looked up. `docs/how-to/filter-events.md` defines which values are
//! equal.

mod canonical;
mod compared;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Number, Value as Json};

use crate::value::EnumType;

pub use compared::DataType;

/// How values of a type are compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// An unknown type: as text, a number as the text of its digits.
    Any,
    /// `String` and `ID`: as [`Self::Any`].
    Text,
    /// `Boolean`: a number is true unless it is 0.
    Boolean,
    /// `Int`, `Decimal` and similar types: by value, also if it is a text.
    Number,
    /// `Float`: as [`Self::Number`].
    Float,
    /// `DateTime`: by the moment, with any offset.
    DateTime,
    /// `Date`.
    Date,
    /// `Time`.
    Time,
    /// `UUID`.
    Uuid,
    /// An enum: by its name, or by the host's value for it.
    Enum(Arc<EnumType>),
    /// A list: item by item, in order.
    List(Arc<Comparison>),
    /// An input object: field by field; null and absent are equal. Without members: an output type,
    /// whose fields are not compared.
    Object(Arc<[Member]>),
}

/// A field of an input object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member {
    pub(crate) name: Box<str>,
    /// Keys of the field in a value, in this order.
    pub(crate) keys: Box<[Box<str>]>,
    pub(crate) comparison: Comparison,
}

/// A value in its compared form.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Compared {
    /// Null, or no value.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// Any other value that is neither a list nor an object.
    Text(Box<str>),
    /// A list or an object, as JSON.
    Json(Box<str>),
}

impl Comparison {
    /// Returns how values of a scalar are compared. Scalars outside the specification are
    /// recognised by their usual names.
    #[must_use]
    pub fn of_scalar(name: &str) -> Self {
        match name {
            "Boolean" => Self::Boolean,
            "Float" => Self::Float,
            "Int" => Self::Number,
            "String" | "ID" => Self::Text,
            _ => match name.to_ascii_lowercase().as_str() {
                "datetime" | "timestamp" => Self::DateTime,
                "date" => Self::Date,
                "time" => Self::Time,
                "uuid" | "guid" => Self::Uuid,
                "decimal" | "bigdecimal" | "bigint" | "long" | "int64" => Self::Number,
                _ => Self::Any,
            },
        }
    }

    /// Converts a value to its compared form. A value that is not of the type is compared as
    /// [`Self::Any`].
    #[must_use]
    pub fn of(&self, value: &Json) -> Compared {
        match (self, value) {
            (Self::Boolean, Json::Number(number)) => {
                Compared::Bool(number.as_f64().is_none_or(|number| number != 0.0))
            }
            (Self::List(item), Json::Array(items)) => {
                let mut out = String::new();
                write_list(&mut out, items, item);
                Compared::Json(out.into())
            }
            (Self::Object(members), Json::Object(_)) => {
                let mut out = String::new();
                write_members(&mut out, members, value);
                Compared::Json(out.into())
            }
            (Self::Any | Self::Text, _) => plain(value),
            _ => self
                .canonical(value)
                .map_or_else(|| plain(value), |text| Compared::Text(text.into())),
        }
    }

    /// Converts a coerced argument to the form in which the host publishes it: replaces the host's
    /// value of an enum member by its published value.
    #[must_use]
    pub fn published<'v>(&self, argument: &'v Json) -> Cow<'v, Json> {
        match (self, argument) {
            (Self::Enum(known), _) => known
                .name_of_argument(argument)
                .and_then(|name| known.published(name))
                .map_or(Cow::Borrowed(argument), Cow::Owned),
            (Self::List(item), Json::Array(items)) => {
                let items = items.iter().map(|value| item.published(value).into_owned());
                Cow::Owned(items.collect())
            }
            (Self::Object(members), Json::Object(values)) => {
                let mut values = values.clone();
                for member in &**members {
                    if let Some(value) = values.get_mut(&*member.name) {
                        *value = member.comparison.published(value).into_owned();
                    }
                }
                Cow::Owned(Json::Object(values))
            }
            _ => Cow::Borrowed(argument),
        }
    }

    /// Whether the compared form of `value` is `text`. Avoids an allocation if the value is already
    /// that text.
    #[must_use]
    pub fn is_text(&self, value: &Json, text: &str) -> bool {
        match (self, value) {
            (Self::Any | Self::Text, Json::String(value)) => *value == *text,
            (Self::Any | Self::Text, Json::Number(number)) => spell(number, |value| value == text),
            _ => matches!(self.of(value), Compared::Text(value) if *value == *text),
        }
    }

    /// Returns the text of an argument in the name of a channel, equal to the text that `publish`
    /// writes: an enum's value, a moment in UTC. `None` for null, lists and objects.
    #[must_use]
    pub fn channel_text(&self, value: &Json) -> Option<String> {
        let text = match (self, value) {
            (_, Json::Null | Json::Array(_) | Json::Object(_)) => return None,
            (Self::Enum(known), _) => {
                let name = known.name_of_argument(value)?;
                return match known.published(name) {
                    Some(value @ (Json::String(_) | Json::Number(_) | Json::Bool(_))) => {
                        Self::Any.channel_text(&value)
                    }
                    _ => Some(name.to_owned()),
                };
            }
            (Self::Float, Json::Number(number)) => number.as_f64().map(canonical::float),
            _ => self.canonical(value),
        };
        text.or_else(|| match value {
            Json::String(text) => Some(text.clone()),
            Json::Number(_) | Json::Bool(_) => Some(value.to_string()),
            Json::Null | Json::Array(_) | Json::Object(_) => None,
        })
    }

    /// Whether a client can choose any text as the value of [`Self::channel_text`].
    #[must_use]
    pub fn is_free_text(&self, value: &Json) -> bool {
        match self {
            Self::Any | Self::Text => value.is_string(),
            Self::Enum(_) => false,
            _ => value.is_string() && self.canonical(value).is_none(),
        }
    }

    /// Whether the value can be of the type; null can be of any type.
    #[must_use]
    pub fn admits(&self, value: &Json) -> bool {
        match (self, value) {
            (_, Json::Null) | (Self::Any, _) => true,
            (Self::Text, _) => value.is_string() || value.is_number(),
            (Self::Boolean, _) => value.is_boolean() || value.is_number(),
            (Self::List(item), Json::Array(items)) => items.iter().all(|value| item.admits(value)),
            (Self::Object(_), _) => value.is_object(),
            _ => self.canonical(value).is_some(),
        }
    }

    /// Returns how the value at a path inside such a value is compared.
    #[must_use]
    pub fn at(&self, path: &[Box<str>]) -> &Self {
        match (self, path) {
            (_, []) => self,
            (Self::Object(members), [name, rest @ ..]) => members
                .iter()
                .find(|member| member.name == *name)
                .map_or(&Self::Any, |member| member.comparison.at(rest)),
            _ => &Self::Any,
        }
    }

    /// Returns how a value of the type, or each item of a list, is compared.
    #[must_use]
    pub fn innermost(&self) -> &Self {
        match self {
            Self::List(item) => item.innermost(),
            other => other,
        }
    }

    /// Returns how values of two types are compared with each other; `None` if no value of one can
    /// equal a value of the other.
    #[must_use]
    pub fn with(&self, other: &Self) -> Option<Self> {
        use Comparison::{Any, Boolean, Date, DateTime, Enum, Float, List, Number, Object, Text};
        match (self, other) {
            (one, other) if one == other => Some(one.clone()),
            // The members of an output type are unknown, only that it is an object.
            (Any, Object(members)) | (Object(members), Any) if members.is_empty() => Some(Any),
            (Any, other) | (other, Any) => Some(other.clone()),
            (List(one), List(other)) => one.with(other).map(|item| List(item.into())),
            (Object(one), Object(other)) => {
                let known = if one.is_empty() { other } else { one };
                Some(Object(known.clone()))
            }
            (List(_) | Object(_), _) | (_, List(_) | Object(_)) => None,
            (Text, Boolean) | (Boolean, Text) => None,
            (Text, other) | (other, Text) => Some(other.clone()),
            (Number | Float, Number | Float) => Some(Number),
            (Boolean, Number | Float) | (Number | Float, Boolean) => Some(Boolean),
            (DateTime, Date) | (Date, DateTime) => Some(DateTime),
            (Enum(one), Enum(other)) => other
                .names()
                .any(|name| one.names().any(|known| known == name))
                .then(|| Enum(other.clone())),
            (Enum(known), other) | (other, Enum(known)) => known
                .names()
                .filter_map(|name| known.published(name))
                .any(|value| other.admits(&value))
                .then(|| Enum(known.clone())),
            _ => None,
        }
    }

    /// Returns a description of such a value for errors: `a DateTime`.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Any => "any JSON".to_owned(),
            Self::Text => "a String or ID".to_owned(),
            Self::Boolean => "a Boolean".to_owned(),
            Self::Number | Self::Float => "a number".to_owned(),
            Self::DateTime => "a DateTime".to_owned(),
            Self::Date => "a Date".to_owned(),
            Self::Time => "a Time".to_owned(),
            Self::Uuid => "a UUID".to_owned(),
            Self::Enum(known) => format!("a value of the enum {}", known.name()),
            Self::List(_) => "a list".to_owned(),
            Self::Object(_) => "an object".to_owned(),
        }
    }

    /// Returns the canonical text; `None` if the value is not of the type.
    fn canonical(&self, value: &Json) -> Option<String> {
        if let (Self::Number | Self::Float, Json::Number(number)) = (self, value) {
            return match number.as_i64() {
                Some(integer) => Some(integer.to_string()),
                None => canonical::number(&number.to_string()),
            };
        }
        if let Self::Enum(known) = self {
            return known.name_of_json(value).map(str::to_owned);
        }
        let text = value.as_str()?;
        match self {
            Self::Number | Self::Float => canonical::number(text),
            Self::DateTime => canonical::date_time(text),
            Self::Date => canonical::date(text),
            Self::Time => canonical::time(text),
            Self::Uuid => canonical::uuid(text),
            Self::Any
            | Self::Text
            | Self::Boolean
            | Self::Enum(_)
            | Self::List(_)
            | Self::Object(_) => None,
        }
    }
}

/// Returns the compared form of a value of unknown type.
fn plain(value: &Json) -> Compared {
    match value {
        Json::Null => Compared::Null,
        Json::Bool(value) => Compared::Bool(*value),
        Json::String(text) => Compared::Text(text.as_str().into()),
        Json::Number(number) => Compared::Text(spell(number, |text| text.into())),
        Json::Array(items) => {
            let mut out = String::new();
            write_list(&mut out, items, &Comparison::Any);
            Compared::Json(out.into())
        }
        Json::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            let mut out = String::from("{");
            for (name, value) in sorted {
                write_member(&mut out, name, &plain(value));
            }
            out.push('}');
            Compared::Json(out.into())
        }
    }
}

fn write_list(out: &mut String, items: &[Json], item: &Comparison) {
    out.push('[');
    for value in items {
        write_compared(out, &item.of(value));
        out.push(',');
    }
    out.push(']');
}

fn write_members(out: &mut String, members: &[Member], value: &Json) {
    out.push('{');
    for member in members {
        let field = member.keys.iter().find_map(|key| value.get(&**key));
        match field.map(|field| member.comparison.of(field)) {
            None | Some(Compared::Null) => {}
            Some(compared) => write_member(out, &member.name, &compared),
        }
    }
    out.push('}');
}

fn write_member(out: &mut String, name: &str, compared: &Compared) {
    // Writing to a string does not fail.
    write!(out, "{name:?}:").ok();
    write_compared(out, compared);
    out.push(',');
}

fn write_compared(out: &mut String, compared: &Compared) {
    // Writing to a string does not fail.
    match compared {
        Compared::Null => out.push_str("null"),
        Compared::Bool(value) => write!(out, "{value}").unwrap_or_default(),
        Compared::Text(text) => write!(out, "{text:?}").unwrap_or_default(),
        Compared::Json(text) => out.push_str(text),
    }
}

/// Passes the text of a number to `read`: an integral float has the text of the integer.
pub fn spell<R>(number: &Number, read: impl FnOnce(&str) -> R) -> R {
    if let Some(integer) = number.as_i64() {
        return read(itoa::Buffer::new().format(integer));
    }
    match number.as_f64() {
        // Past 2^53 a float cannot distinguish neighbouring integers.
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 9e15 => {
            #[expect(clippy::cast_possible_truncation, reason = "integral and below 2^53")]
            let integer = float as i64;
            read(itoa::Buffer::new().format(integer))
        }
        _ => read(&number.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn colours() -> Comparison {
        let values = [
            ("RED", json!("r")),
            ("GREEN", json!(2)),
            ("PAIR", json!([1, 2])),
        ];
        let values = values.map(|(name, value)| (name.to_owned(), value));
        Comparison::Enum(Arc::new(EnumType::new("Colour", values)))
    }

    #[track_caller]
    fn check(comparison: &Comparison, equal: &[Json], others: &[Json]) {
        let first = comparison.of(&equal[0]);
        for value in equal {
            assert_eq!(comparison.of(value), first, "{value}");
            if let Compared::Text(text) = &first {
                assert!(comparison.is_text(value, text), "{value}");
            }
        }
        for value in others {
            assert_ne!(comparison.of(value), first, "{value}");
        }
    }

    #[test]
    fn spellings_of_one_value_are_equal() {
        let others = [json!(null), json!(""), json!({}), json!([]), json!(true)];
        check(
            &Comparison::Text,
            &[json!("7"), json!(7), json!(7.0)],
            &[json!("07"), json!("7.0")],
        );
        check(
            &Comparison::Number,
            &[json!(7), json!("7.00"), json!(7.0)],
            &[json!(7.5)],
        );
        check(&Comparison::Float, &[json!(1.5), json!("1.50")], &others);
        check(
            &Comparison::Boolean,
            &[json!(true), json!(1)],
            &[json!("true"), json!(0)],
        );
        check(
            &Comparison::DateTime,
            &[
                json!("2024-01-31T12:00:00Z"),
                json!("2024-01-31T14:00:00.000+02:00"),
            ],
            &[json!("2024-01-31T12:00:00"), json!(0)],
        );
        check(
            &colours(),
            &[json!("RED"), json!("r")],
            &[json!("GREEN"), json!("red")],
        );
        check(
            &colours(),
            &[json!("GREEN"), json!(2)],
            &[json!("2"), json!("RED")],
        );
        check(&colours(), &[json!("PAIR"), json!([1, 2])], &others);
    }

    #[test]
    fn lists_and_objects_are_compared_by_what_they_hold() {
        let list = Comparison::List(Arc::new(Comparison::Number));
        check(
            &list,
            &[json!([1, 2]), json!(["1.0", 2.0])],
            &[json!([2, 1]), json!(1), json!([])],
        );
        let member = |name: &str, keys: &[&str], comparison| Member {
            name: name.into(),
            keys: keys.iter().map(|key| Box::from(*key)).collect(),
            comparison,
        };
        let object = Comparison::Object(Arc::new([
            member("userId", &["userId", "user_id"], Comparison::Text),
            member("at", &["at"], Comparison::Date),
        ]));
        check(
            &object,
            &[
                json!({"userId": "7"}),
                json!({"at": null, "user_id": 7, "more": 1}),
            ],
            &[
                json!({"userId": 8}),
                json!({"userId": 7, "at": "2024-01-31"}),
                json!(7),
            ],
        );
        check(
            &Comparison::Any,
            &[json!({"a": 1, "b": [true]}), json!({"b": [true], "a": 1.0})],
            &[json!({"a": 1}), json!({"a": 1, "b": true})],
        );
    }

    #[test]
    fn types_that_have_no_value_in_common_are_not_compared() {
        use Comparison::{Any, Boolean, Date, DateTime, Float, List, Number, Text, Uuid};
        for (one, other, expected) in [
            (Any, Uuid, Some(Uuid)),
            (Text, Uuid, Some(Uuid)),
            (Number, Float, Some(Number)),
            (Date, DateTime, Some(DateTime)),
            (colours(), Text, Some(colours())),
            (colours(), Number, Some(colours())),
            (colours(), Uuid, None),
            (Boolean, Text, None),
            (Number, DateTime, None),
            (List(Arc::new(Any)), Text, None),
        ] {
            assert_eq!(one.with(&other), expected, "{one:?} {other:?}");
            assert_eq!(other.with(&one), expected, "{other:?} {one:?}");
        }
    }

    #[test]
    fn a_channel_has_the_text_that_publish_makes_of_a_value() {
        for (comparison, value, text) in [
            (Comparison::Text, json!("7"), Some("7")),
            (Comparison::Number, json!(7), Some("7")),
            (Comparison::Number, json!("1.50"), Some("1.5")),
            (Comparison::Float, json!(1), Some("1.0")),
            (Comparison::Boolean, json!(true), Some("true")),
            (colours(), json!("RED"), Some("r")),
            (colours(), json!("GREEN"), Some("2")),
            (colours(), json!("PAIR"), Some("PAIR")),
            (
                Comparison::DateTime,
                json!("2024-01-31T12:00Z"),
                Some("2024-01-31T12:00:00+00:00"),
            ),
            (Comparison::Text, json!(null), None),
            (Comparison::Any, json!([1]), None),
        ] {
            assert_eq!(comparison.channel_text(&value).as_deref(), text, "{value}");
        }
    }
}
