//! Result coercion of the built-in scalars, with the details of graphql-js 16.

use std::borrow::Cow;

use super::BuiltInScalar;
use crate::error::ResolverError;
use crate::value::{Scalar, Value};
use crate::write::{write_float, write_integer, write_string};

type Written = Result<(), ResolverError>;

/// Writes `value` as the JSON of a built-in scalar.
pub(crate) fn write_built_in<V: Value>(
    scalar: BuiltInScalar,
    value: &V,
    out: &mut Vec<u8>,
) -> Written {
    match scalar {
        BuiltInScalar::Int => write_int(value, out),
        BuiltInScalar::Float => write_number(value, out),
        BuiltInScalar::String => write_text(value, out),
        BuiltInScalar::Boolean => write_boolean(value, out),
        BuiltInScalar::Id => write_id(value, out),
    }
}

fn refuse<V: Value>(scalar: &str, problem: &str, value: &V) -> ResolverError {
    value.misfit(
        format!("{scalar} cannot represent {problem}"),
        value.describe(),
    )
}

fn write_int<V: Value>(value: &V, out: &mut Vec<u8>) -> Written {
    let out_of_range = || refuse("Int", "a non 32-bit signed integer value", value);
    let number = match value.scalar() {
        Scalar::Int(number) => {
            let number = i32::try_from(number).map_err(|_| out_of_range())?;
            write_integer(number, out);
            return Ok(());
        }
        Scalar::UInt(_) => return Err(out_of_range()),
        Scalar::Bool(value) => f64::from(u8::from(value)),
        Scalar::Float(number) => number,
        Scalar::String(text) if !text.is_empty() => parse_number(&text),
        Scalar::String(_) | Scalar::Other => f64::NAN,
    };
    if !number.is_finite() || number.trunc() != number {
        return Err(refuse("Int", "a non-integer value", value));
    }
    if !(f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number) {
        return Err(out_of_range());
    }
    write_float(number, out);
    Ok(())
}

fn write_number<V: Value>(value: &V, out: &mut Vec<u8>) -> Written {
    #[allow(clippy::cast_precision_loss, reason = "a GraphQL Float is a double")]
    let number = match value.scalar() {
        Scalar::Int(number) => number as f64,
        Scalar::UInt(number) => number as f64,
        Scalar::Bool(value) => f64::from(u8::from(value)),
        Scalar::Float(number) => number,
        Scalar::String(text) if !text.is_empty() => parse_number(&text),
        Scalar::String(_) | Scalar::Other => f64::NAN,
    };
    if !number.is_finite() {
        return Err(refuse("Float", "a non numeric value", value));
    }
    write_float(number, out);
    Ok(())
}

fn write_text<V: Value>(value: &V, out: &mut Vec<u8>) -> Written {
    match value.scalar() {
        Scalar::String(text) => write_string(&text, out),
        Scalar::Bool(true) => out.extend_from_slice(b"\"true\""),
        Scalar::Bool(false) => out.extend_from_slice(b"\"false\""),
        Scalar::Int(number) => quoted(out, |out| write_integer(number, out)),
        Scalar::UInt(number) => quoted(out, |out| write_integer(number, out)),
        Scalar::Float(number) if number.is_finite() => {
            quoted(out, |out| write_float(number, out));
        }
        Scalar::Float(_) | Scalar::Other => {
            return Err(refuse("String", "a non string value", value));
        }
    }
    Ok(())
}

fn write_boolean<V: Value>(value: &V, out: &mut Vec<u8>) -> Written {
    let is_true = match value.scalar() {
        Scalar::Bool(value) => value,
        Scalar::Int(number) => number != 0,
        Scalar::UInt(number) => number != 0,
        Scalar::Float(number) if number.is_finite() => number != 0.0,
        Scalar::Float(_) | Scalar::String(_) | Scalar::Other => {
            return Err(refuse("Boolean", "a non boolean value", value));
        }
    };
    out.extend_from_slice(if is_true { b"true" } else { b"false" });
    Ok(())
}

fn write_id<V: Value>(value: &V, out: &mut Vec<u8>) -> Written {
    match value.scalar() {
        Scalar::String(text) => write_string(&text, out),
        Scalar::Int(number) => quoted(out, |out| write_integer(number, out)),
        Scalar::UInt(number) => quoted(out, |out| write_integer(number, out)),
        Scalar::Float(number) if number.trunc() == number && number.is_finite() => {
            quoted(out, |out| write_float(number, out));
        }
        Scalar::Float(_) | Scalar::Bool(_) | Scalar::Other => {
            return Err(refuse("ID", "this value", value));
        }
    }
    Ok(())
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

/// `Number(text)` of JavaScript; NaN if the text is not a number.
fn parse_number(text: &str) -> f64 {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    if text.is_empty() {
        return 0.0;
    }
    let lower = if text.len() > 2 {
        text[..].to_ascii_lowercase().into()
    } else {
        Cow::Borrowed(text)
    };
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = lower.strip_prefix(prefix) {
            return parse_digits(digits, radix);
        }
    }
    // Rust also reads `inf` and `nan`, which JavaScript does not.
    let is_decimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    if text.bytes().all(is_decimal) {
        text.parse().unwrap_or(f64::NAN)
    } else {
        f64::NAN
    }
}

fn parse_digits(digits: &str, radix: u32) -> f64 {
    digits
        .chars()
        .try_fold(0.0, |number, digit| {
            Some(number * f64::from(radix) + f64::from(digit.to_digit(radix)?))
        })
        .unwrap_or(f64::NAN)
}
