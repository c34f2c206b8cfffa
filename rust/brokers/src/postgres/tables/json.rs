//! Values of columns as JSON, without loss.
//!
//! Except within `json` and `jsonb`: their numbers become integers of 64 bits or floats, as in each event.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use super::types::Kind;

/// Limit of arrays in arrays; PostgreSQL has 6 at most (count).
const MAX_DEPTH: usize = 6;

/// Returns a value, which PostgreSQL has written as a text. What cannot be another value is a text.
pub(super) fn value(kind: &Kind, text: &str) -> Json {
    converted(kind, text).unwrap_or_else(|| text.into())
}

fn converted(kind: &Kind, text: &str) -> Option<Json> {
    match kind {
        Kind::Bool => match text {
            "t" => Some(true.into()),
            "f" => Some(false.into()),
            _ => None,
        },
        Kind::Integer => text.parse::<i64>().ok().map(Json::from),
        // JSON has no NaN and no infinity: they stay texts.
        Kind::Float => text
            .parse::<f64>()
            .ok()
            .filter(|float| float.is_finite())
            .map(Json::from),
        Kind::Numeric | Kind::Text => None,
        Kind::Json => json(text),
        Kind::Bytes => bytes(text),
        Kind::Timestamp => timestamp(text).map(Json::from),
        Kind::TimestampTz => timestamp(text).map(|text| with_minutes(&text).into()),
        Kind::TimeTz => Some(with_minutes(text).into()),
        Kind::Array { of, separator } => array(of, *separator, text),
    }
}

/// JSON that a reader of events can read. Numbers past the range of a float, and levels past the limit of
/// an event, make it a text.
fn json(text: &str) -> Option<Json> {
    // The levels of the event around it.
    let nested = format!("[[[{text}]]]");
    let mut value: Json = serde_json::from_str(&nested).ok()?;
    for _ in 0..3 {
        value = value.get_mut(0).map(Json::take)?;
    }
    Some(value)
}

fn bytes(text: &str) -> Option<Json> {
    let digits = text.strip_prefix("\\x")?.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some((digit(*high)? << 4 | digit(*low)?) as u8),
        _ => None,
    });
    let bytes = pairs.collect::<Option<Vec<u8>>>()?;
    Some(STANDARD.encode(bytes).into())
}

/// `2026-01-02 03:04:05` as `2026-01-02T03:04:05`. Infinity and years before 1 stay as they are.
fn timestamp(text: &str) -> Option<String> {
    let (date, time) = text.split_once(' ')?;
    (!time.contains(' ')).then(|| format!("{date}T{time}"))
}

/// An offset `+02` as `+02:00`.
fn with_minutes(text: &str) -> String {
    let sign = text
        .len()
        .checked_sub(3)
        .and_then(|at| text.as_bytes().get(at));
    match sign {
        Some(b'+' | b'-') => format!("{text}:00"),
        _ => text.to_owned(),
    }
}

fn array(of: &Kind, separator: char, text: &str) -> Option<Json> {
    // Bounds other than from 1 stand before the elements.
    let elements = match text.strip_prefix('[') {
        Some(rest) => rest.split_once("]=").map(|(_, elements)| elements)?,
        None => text,
    };
    let elements = elements.trim_start_matches(|bound| bound != '{');
    let mut reader = Elements {
        rest: elements,
        separator,
        of,
    };
    let array = reader.array(MAX_DEPTH)?;
    reader.rest.is_empty().then_some(array)
}

/// Reads the elements of an array.
struct Elements<'a> {
    rest: &'a str,
    separator: char,
    of: &'a Kind,
}

impl Elements<'_> {
    fn array(&mut self, depth: usize) -> Option<Json> {
        let depth = depth.checked_sub(1)?;
        self.rest = self.rest.strip_prefix('{')?;
        let mut elements = Vec::new();
        if let Some(rest) = self.rest.strip_prefix('}') {
            self.rest = rest;
            return Some(elements.into());
        }
        loop {
            elements.push(if self.rest.starts_with('{') {
                self.array(depth)?
            } else {
                self.element()?
            });
            let next = self.rest.chars().next()?;
            self.rest = &self.rest[next.len_utf8()..];
            match next {
                '}' => return Some(elements.into()),
                separator if separator == self.separator => {}
                _ => return None,
            }
        }
    }

    fn element(&mut self) -> Option<Json> {
        let Some(quoted) = self.rest.strip_prefix('"') else {
            let end = self.rest.find([self.separator, '}'])?;
            let (text, rest) = self.rest.split_at(end);
            self.rest = rest;
            return Some(if text == "NULL" {
                Json::Null
            } else {
                value(self.of, text)
            });
        };
        let mut text = String::new();
        let mut characters = quoted.char_indices();
        loop {
            match characters.next()? {
                (_, '\\') => text.push(characters.next()?.1),
                (at, '"') => {
                    self.rest = &quoted[at + 1..];
                    return Some(value(self.of, &text));
                }
                (_, character) => text.push(character),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn of(kind: Kind) -> Kind {
        Kind::Array {
            of: Box::new(kind),
            separator: ',',
        }
    }

    #[test]
    fn values_become_json() {
        for (kind, text, expected) in [
            (Kind::Bool, "t", json!(true)),
            (Kind::Integer, "-9223372036854775808", json!(i64::MIN)),
            (Kind::Float, "0.1", json!(0.1)),
            (Kind::Float, "NaN", json!("NaN")),
            (Kind::Float, "-Infinity", json!("-Infinity")),
            (
                Kind::Numeric,
                "12345678901234567890.10",
                json!("12345678901234567890.10"),
            ),
            (Kind::Json, r#"{"a": [1, null]}"#, json!({"a": [1, null]})),
            (Kind::Json, "1e999", json!("1e999")),
            (Kind::Bytes, "\\x00ff10", json!("AP8Q")),
            (
                Kind::Timestamp,
                "2026-01-02 03:04:05.5",
                json!("2026-01-02T03:04:05.5"),
            ),
            (
                Kind::TimestampTz,
                "2026-01-02 03:04:05+00",
                json!("2026-01-02T03:04:05+00:00"),
            ),
            (Kind::TimestampTz, "infinity", json!("infinity")),
            (
                Kind::Timestamp,
                "0044-03-15 00:00:00 BC",
                json!("0044-03-15 00:00:00 BC"),
            ),
            (Kind::TimeTz, "03:04:05-08", json!("03:04:05-08:00")),
            (Kind::TimeTz, "03:04:05+05:30", json!("03:04:05+05:30")),
            (of(Kind::Integer), "{1,NULL,3}", json!([1, null, 3])),
            (of(Kind::Integer), "{{1,2},{3,4}}", json!([[1, 2], [3, 4]])),
            (of(Kind::Integer), "[0:1]={1,2}", json!([1, 2])),
            (of(Kind::Integer), "[0:1][2:2]={{1},{2}}", json!([[1], [2]])),
            (of(Kind::Integer), "{}", json!([])),
            (
                of(Kind::Text),
                r#"{a,"b,c","NULL","d\"e\\",""}"#,
                json!(["a", "b,c", "NULL", "d\"e\\", ""]),
            ),
            (of(Kind::Json), r#"{"{\"a\": 1}"}"#, json!([{"a": 1}])),
            (of(Kind::Integer), "{1,2", json!("{1,2")),
        ] {
            assert_eq!(value(&kind, text), expected, "{kind:?} {text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in r#"[{}\[\]=",\\0-9a-zé: +-]{0,20}"#) {
            for kind in [Kind::Bytes, Kind::TimestampTz, Kind::TimeTz, Kind::Json, of(of(Kind::Integer))] {
                value(&kind, &text);
            }
        }
    }
}
