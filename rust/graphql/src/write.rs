//! Writes JSON into a byte buffer, in the form of `JSON.stringify`.

use std::io::Write;

use indexed_json::{JsonRef, Kind, Number};
use serde_json::Value;

/// Member with the type name of an object, which the host adds to events whose objects have
/// classes. It is not part of the data and is never sent.
pub const TYPE_MEMBER: &str = "__fraiseql_subs_type";

/// Like [`TYPE_MEMBER`]: a list of the members that scalars of the host have already serialised.
pub const SERIALIZED_MEMBER: &str = "__fraiseql_subs_serialized";

/// Whether a member was added by the host and is not data.
#[must_use]
pub fn is_note(key: &str) -> bool {
    key == TYPE_MEMBER || key == SERIALIZED_MEMBER
}

/// For each byte the character after the backslash; 0: the byte is not escaped.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = b'u';
        byte += 1;
    }
    table[0x08] = b'b';
    table[0x09] = b't';
    table[0x0a] = b'n';
    table[0x0c] = b'f';
    table[0x0d] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
};

const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Magnitude below which an integral `f64` is written as its integer digits.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// Writes a JSON string with its quotes.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let escape = ESCAPES[byte as usize];
        if escape == 0 {
            continue;
        }
        out.extend_from_slice(&bytes[copied..at]);
        copied = at + 1;
        if escape == b'u' {
            let digits = [
                HEX_DIGITS[usize::from(byte >> 4)],
                HEX_DIGITS[usize::from(byte & 15)],
            ];
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&digits);
        } else {
            out.extend_from_slice(&[b'\\', escape]);
        }
    }
    out.extend_from_slice(&bytes[copied..]);
    out.push(b'"');
}

/// Writes an integer.
pub fn write_integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Writes a number in the form of JavaScript: `5.0` is `5`, `1e21` is `1e+21`; `null` if not
/// finite.
pub fn write_float(value: f64, out: &mut Vec<u8>) {
    if !value.is_finite() {
        out.extend_from_slice(b"null");
        return;
    }
    let magnitude = value.abs();
    if magnitude <= MAX_SAFE_INTEGER && value.trunc() == value {
        #[allow(clippy::cast_possible_truncation, reason = "integral and below 2^53")]
        write_integer(value as i64, out);
        return;
    }
    if (1e-3..1e15).contains(&magnitude) {
        // Here the shortest form has no exponent, as in JavaScript.
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
        return;
    }
    // JavaScript uses an exponent from 1e21 up and below 1e-6. Writes to a `Vec` do not fail.
    let start = out.len();
    if (1e-6..1e21).contains(&magnitude) {
        let _ = write!(out, "{value}");
        return;
    }
    let _ = write!(out, "{value:e}");
    if let Some(exponent) = out[start..].iter().position(|byte| *byte == b'e') {
        let digits = start + exponent + 1;
        if out.get(digits) != Some(&b'-') {
            out.insert(digits, b'+');
        }
    }
}

/// Writes a JSON value; integers keep all their digits.
pub fn write_json(value: &Value, out: &mut Vec<u8>) {
    write_members(value, &|_| true, out);
}

/// Writes the JSON of an event's data, without the members that the host added.
///
/// Not as it stands in its text: a publisher may have written line breaks between the values, and
/// numbers in another form than those of other results.
pub(crate) fn write_indexed(value: JsonRef<'_>, out: &mut Vec<u8>) {
    match value.kind() {
        Kind::Null | Kind::Bool => out.extend_from_slice(value.text().as_bytes()),
        Kind::Number => match value.as_number() {
            Some(Number::Int(value)) => write_integer(value, out),
            Some(Number::UInt(value)) => write_integer(value, out),
            Some(Number::Float(value)) => write_float(value, out),
            None => out.extend_from_slice(b"null"),
        },
        Kind::String => write_string(&value.as_str().unwrap_or_default(), out),
        Kind::List => {
            out.push(b'[');
            for (index, item) in value.items().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_indexed(item, out);
            }
            out.push(b']');
        }
        Kind::Object => {
            out.push(b'{');
            let members = value.members().filter(|(name, _)| !is_note(name));
            for (index, (name, member)) in members.enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(&name, out);
                out.push(b':');
                write_indexed(member, out);
            }
            out.push(b'}');
        }
    }
}

/// Writes the JSON of an event's data, without the members that the host added.
pub(crate) fn write_data(value: &Value, out: &mut Vec<u8>) {
    write_members(value, &|key| !is_note(key), out);
}

fn write_members(value: &Value, is_written: &impl Fn(&str) -> bool, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => {
            if let Some(integer) = number.as_i64() {
                write_integer(integer, out);
            } else if let Some(integer) = number.as_u64() {
                write_integer(integer, out);
            } else {
                write_float(number.as_f64().unwrap_or(f64::NAN), out);
            }
        }
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_members(item, is_written, out);
            }
            out.push(b']');
        }
        Value::Object(members) => {
            out.push(b'{');
            let members = members.iter().filter(|(key, _)| is_written(key));
            for (index, (key, member)) in members.enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(key, out);
                out.push(b':');
                write_members(member, is_written, out);
            }
            out.push(b'}');
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(value: f64) -> String {
        let mut out = Vec::new();
        write_float(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    // Both values are exact; the forms are shorter.
    #[allow(clippy::excessive_precision)]
    #[test]
    fn of_two_shortest_forms_the_even_one_is_written_as_in_javascript() {
        assert_eq!(written(766_754_176_596_327.25), "766754176596327.2");
        assert_eq!(written(536_870_912.003_906_25), "536870912.0039062");
    }

    proptest! {
        #[test]
        fn floats_have_their_shortest_form(value in prop_oneof![-1e16..1e16, -2.0..2.0, -1e-2..1e-2]) {
            let (text, shortest) = (written(value), format!("{value}"));
            prop_assert_eq!(text.parse::<f64>().unwrap(), value);
            if value.abs() >= 1e-6 {
                prop_assert_eq!(text.len(), shortest.len());
            }
        }
    }
}
