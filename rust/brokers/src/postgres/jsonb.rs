//! What PostgreSQL can store as `jsonb`, and how long its text is.
//!
//! A statement that PostgreSQL refuses ends the transaction of its caller, so an event is checked before.
//! Not here: whether the text is JSON, which its writer has made sure of.

/// The largest envelope that `fraiseql_subs.publish` takes (bytes).
pub const MAX_PUBLISHED_BYTES: usize = 1_048_576;
/// The most digits before the point that a number can have in PostgreSQL (count).
const MAX_WHOLE: i64 = 131_072;
/// The most digits behind the point (count).
const MAX_FRACTION: i64 = 16_383;

/// Why PostgreSQL cannot store a JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonbError {
    /// A text has U+0000.
    #[error("data has the character U+0000, which PostgreSQL cannot store")]
    Nul,
    /// A text has half of a surrogate pair.
    #[error("data has half of a surrogate pair, which PostgreSQL cannot store")]
    Surrogate,
    /// A number is out of range.
    #[error("data has a number with more digits than PostgreSQL can store")]
    Number,
}

/// Returns how many bytes the text of the `jsonb` value has at most.
///
/// `jsonb` writes a blank after each `,` and `:`, and numbers without an exponent.
///
/// # Errors
///
/// [`JsonbError`] says what PostgreSQL cannot store.
pub fn jsonb_bytes(json: &str) -> Result<usize, JsonbError> {
    let bytes = json.as_bytes();
    let mut total = bytes.len();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = string(bytes, at + 1)?,
            b'-' | b'0'..=b'9' => {
                let end = bytes[at..]
                    .iter()
                    .position(|byte| {
                        !matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E' | b'0'..=b'9')
                    })
                    .map_or(bytes.len(), |length| at + length);
                total = total.saturating_add(added_digits(&json[at..end])?);
                at = end;
            }
            b',' | b':' => {
                total = total.saturating_add(1);
                at += 1;
            }
            _ => at += 1,
        }
    }
    Ok(total)
}

/// Checks a string from behind its first quote. Returns the place behind its last one.
fn string(bytes: &[u8], mut at: usize) -> Result<usize, JsonbError> {
    loop {
        match bytes.get(at) {
            None => return Ok(at),
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') if bytes.get(at + 1) == Some(&b'u') => {
                match unit(bytes, at) {
                    Some(0) => return Err(JsonbError::Nul),
                    Some(0xD800..=0xDBFF) => match unit(bytes, at + 6) {
                        Some(0xDC00..=0xDFFF) => at += 6,
                        _ => return Err(JsonbError::Surrogate),
                    },
                    Some(0xDC00..=0xDFFF) => return Err(JsonbError::Surrogate),
                    _ => {}
                }
                at += 6;
            }
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

/// The code unit of an escape such as `\u00e4`.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = std::str::from_utf8(bytes.get(at..at + 6)?).ok()?;
    u16::from_str_radix(escape.strip_prefix("\\u")?, 16).ok()
}

/// How many digits are added when a number is written without an exponent (count).
fn added_digits(number: &str) -> Result<usize, JsonbError> {
    let number = number.trim_start_matches('-');
    let (digits, exponent) = match number.split_once(['e', 'E']) {
        Some((digits, exponent)) => {
            let exponent: i64 = exponent.parse().map_err(|_| JsonbError::Number)?;
            (digits, exponent)
        }
        None => (number, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    if length(whole).saturating_add(exponent) > MAX_WHOLE
        || length(fraction).saturating_sub(exponent) > MAX_FRACTION
    {
        return Err(JsonbError::Number);
    }
    Ok(usize::try_from(exponent.unsigned_abs()).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_blanks_and_no_exponents() {
        for (json, text) in [
            ("7", "7"),
            (r#"{"a":1,"b":[2,3]}"#, r#"{"a": 1, "b": [2, 3]}"#),
            (r#"{"a,b:c":"d,e:f\",:"}"#, r#"{"a,b:c": "d,e:f\",:"}"#),
        ] {
            assert_eq!(jsonb_bytes(json), Ok(text.len()), "{json}");
        }
        assert!(jsonb_bytes("[1e10,-2.5E-7]").unwrap() >= "[10000000000, -0.00000025]".len());
    }

    #[test]
    fn what_cannot_be_stored_is_refused() {
        for (json, expected) in [
            (r#"["\u0000"]"#, JsonbError::Nul),
            (r#"{"\\\u0000":1}"#, JsonbError::Nul),
            (r#""\ud800""#, JsonbError::Surrogate),
            (r#""\uDC00\uD800""#, JsonbError::Surrogate),
            (r#""\ud800\u0041""#, JsonbError::Surrogate),
            ("1e131072", JsonbError::Number),
            ("[-0.1E-99999999999999999999]", JsonbError::Number),
        ] {
            assert_eq!(jsonb_bytes(json), Err(expected), "{json}");
        }
        for json in [
            r#""\\u0000""#,
            r#""\ud83d\ude00""#,
            r#""\u0001""#,
            "1e308",
            "{}",
        ] {
            assert!(jsonb_bytes(json).is_ok(), "{json}");
        }
    }
}
