//! Canonical texts of values: numbers, UUIDs, dates and times.
//!
//! A text that is not such a value has no canonical text. A canonical text is its own canonical
//! text.

use std::fmt::Write as _;

use time::format_description::well_known::Iso8601;
use time::{Date, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

/// Zeros that are written before or after the digits of a number (count). Past it an exponent is
/// used.
const MAX_ZEROS: i64 = 40;

/// Longest text that may be a date, a time or both (bytes). Longer texts are not parsed.
const MAX_MOMENT: usize = 48;

/// Returns a decimal number without unnecessary zeros: `1.50`, `1.5` and `15e-1` are `1.5`.
pub(crate) fn number(text: &str) -> Option<String> {
    let (is_negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], unsigned[at + 1..].parse::<i64>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let digits = [whole, fraction].concat();
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    // The power of ten of the last significant digit.
    let zeros = digits.len() - digits.trim_end_matches('0').len();
    let shift = i64::try_from(zeros).ok()? - i64::try_from(fraction.len()).ok()?;
    let exponent = exponent.checked_add(shift)?;
    let mut written = String::from(if is_negative { "-" } else { "" });
    write_digits(&mut written, significant, exponent);
    Some(written)
}

fn write_digits(out: &mut String, digits: &str, exponent: i64) {
    // The digits before the point.
    let whole = exponent.saturating_add(i64::try_from(digits.len()).unwrap_or(i64::MAX));
    if exponent > MAX_ZEROS || whole < -MAX_ZEROS {
        // Writing to a string does not fail.
        write!(out, "{digits}e{exponent}").ok();
        return;
    }
    if let Ok(zeros) = usize::try_from(exponent) {
        out.push_str(digits);
        out.extend(std::iter::repeat_n('0', zeros));
    } else if let Ok(whole @ 1..) = usize::try_from(whole) {
        out.extend([&digits[..whole], ".", &digits[whole..]]);
    } else {
        let zeros = usize::try_from(-whole).unwrap_or_default();
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', zeros));
        out.push_str(digits);
    }
}

/// Returns a double in the form that Python writes: `1.0`, `1e+16`.
pub(crate) fn float(number: f64) -> String {
    let text = format!("{number:?}");
    let Some((digits, exponent)) = text.split_once('e') else {
        return text;
    };
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

/// Returns a UUID in lower case with hyphens. Accepts upper case, braces, URNs, and no hyphens.
pub(crate) fn uuid(text: &str) -> Option<String> {
    let text = text.strip_prefix("urn:").unwrap_or(text);
    let text = text.strip_prefix("uuid:").unwrap_or(text);
    let digits = text.trim_start_matches('{').trim_end_matches('}');
    let mut written = String::with_capacity(36);
    let mut count = 0;
    for byte in digits.bytes().filter(|byte| *byte != b'-') {
        if !byte.is_ascii_hexdigit() || count == 32 {
            return None;
        }
        if matches!(count, 8 | 12 | 16 | 20) {
            written.push('-');
        }
        written.push(char::from(byte.to_ascii_lowercase()));
        count += 1;
    }
    (count == 32).then_some(written)
}

/// Returns a moment in UTC in the form of Python's `isoformat`, so that all offsets of one moment
/// have the same text; a moment without an offset is not converted.
pub(crate) fn date_time(text: &str) -> Option<String> {
    let mut text = moment(text)?;
    if text.as_bytes().get(10) == Some(&b' ') {
        text.replace_range(10..11, "T");
    }
    if let Ok(moment) = OffsetDateTime::parse(&text, &Iso8601::PARSING) {
        let moment = moment.checked_to_offset(UtcOffset::UTC)?;
        return Some(write_moment(moment.date(), moment.time(), true));
    }
    // A parser for a shorter format would ignore the rest of the text.
    match text.split_once('T') {
        Some((_, time)) if time.contains(['+', '-', 'Z']) => None,
        Some(_) => {
            let moment = PrimitiveDateTime::parse(&text, &Iso8601::PARSING).ok()?;
            Some(write_moment(moment.date(), moment.time(), false))
        }
        None => {
            let date = Date::parse(&text, &Iso8601::PARSING).ok()?;
            Some(write_moment(date, Time::MIDNIGHT, false))
        }
    }
}

/// Returns a day: `2024-01-31`.
pub(crate) fn date(text: &str) -> Option<String> {
    let text = moment(text).filter(|text| !text.contains('T'))?;
    let date = Date::parse(&text, &Iso8601::PARSING).ok()?;
    let mut written = String::new();
    write_date(&mut written, date);
    Some(written)
}

/// Returns a time of day, in UTC if it has an offset.
pub(crate) fn time(text: &str) -> Option<String> {
    let text = moment(text).filter(|text| !text.contains('T'))?;
    let mut written = String::new();
    if !text.contains(['+', '-', 'Z']) {
        write_time(&mut written, Time::parse(&text, &Iso8601::PARSING).ok()?);
        return Some(written);
    }
    // An offset can be parsed only together with a day.
    let moment = format!("2000-01-01T{text}");
    let moment = OffsetDateTime::parse(&moment, &Iso8601::PARSING).ok()?;
    write_time(
        &mut written,
        moment.checked_to_offset(UtcOffset::UTC)?.time(),
    );
    written.push_str("+00:00");
    Some(written)
}

fn moment(text: &str) -> Option<String> {
    let is_short = text.len() <= MAX_MOMENT && text.is_ascii();
    is_short.then(|| text.to_ascii_uppercase())
}

fn write_moment(date: Date, time: Time, is_utc: bool) -> String {
    let mut written = String::with_capacity(32);
    write_date(&mut written, date);
    written.push('T');
    write_time(&mut written, time);
    if is_utc {
        written.push_str("+00:00");
    }
    written
}

fn write_date(out: &mut String, date: Date) {
    let (year, month, day) = date.to_calendar_date();
    // Writing to a string does not fail.
    write!(out, "{year:04}-{:02}-{day:02}", u8::from(month)).ok();
}

fn write_time(out: &mut String, time: Time) {
    let (hour, minute, second, nanos) = time.as_hms_nano();
    write!(out, "{hour:02}:{minute:02}:{second:02}").ok();
    if nanos % 1000 != 0 {
        write!(out, ".{nanos:09}").ok();
    } else if nanos != 0 {
        write!(out, ".{:06}", nanos / 1000).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Canonical = fn(&str) -> Option<String>;

    #[track_caller]
    fn check(canonical: Canonical, expected: &str, spellings: &[&str]) {
        for spelling in spellings.iter().chain([&expected]) {
            assert_eq!(canonical(spelling).as_deref(), Some(expected), "{spelling}");
        }
    }

    #[track_caller]
    fn refuse(canonical: Canonical, texts: &[&str]) {
        for text in texts {
            assert_eq!(canonical(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_have_no_needless_zeros() {
        check(number, "1.5", &["1.50", "01.5", "+1.5", "15e-1", "0.15E1"]);
        check(number, "100", &["1e2", "100.0", "1E+2", "0100"]);
        check(number, "0", &["-0", "0.00", "0e9", ".0", "0."]);
        check(number, "-0.05", &["-.05", "-5e-2"]);
        check(number, "1e50", &["10e49"]);
        check(number, "1e-50", &["0.1e-49"]);
        check(
            number,
            "123456789012345678901234567890",
            &["123456789012345678901234567890.0"],
        );
        refuse(
            number,
            &[
                "",
                "-",
                ".",
                "e1",
                "1e",
                "1e99999999999999999999",
                "0x1",
                "1 ",
                "NaN",
                "१",
            ],
        );
    }

    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (value, text) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (1.5e-7, "1.5e-07"),
            (0.0001, "0.0001"),
            (1e-5, "1e-05"),
            (1e100, "1e+100"),
        ] {
            assert_eq!(float(value), text);
        }
    }

    #[test]
    fn uuids_are_written_in_small_letters_with_hyphens() {
        check(
            uuid,
            "123e4567-e89b-12d3-a456-426614174000",
            &[
                "123E4567-E89B-12D3-A456-426614174000",
                "123e4567e89b12d3a456426614174000",
                "{123e4567-e89b-12d3-a456-426614174000}",
                "urn:uuid:123e4567-e89b-12d3-a456-426614174000",
            ],
        );
        refuse(
            uuid,
            &["", "123e4567", "123e4567-e89b-12d3-a456-42661417400g"],
        );
        refuse(uuid, &["123e4567-e89b-12d3-a456-4266141740000"]);
    }

    #[test]
    fn moments_are_written_in_utc() {
        check(
            date_time,
            "2024-01-31T12:00:00+00:00",
            &[
                "2024-01-31T12:00:00Z",
                "2024-01-31t12:00:00z",
                "2024-01-31 12:00:00+00:00",
                "2024-01-31T12:00:00.000Z",
                "2024-01-31T14:00:00+02:00",
                "2024-01-31T14:00+0200",
                "2024-01-31T07:30:00-04:30",
                "20240131T120000Z",
            ],
        );
        check(
            date_time,
            "2024-01-31T12:00:00.500000+00:00",
            &["2024-01-31T12:00:00.5Z"],
        );
        check(date_time, "2024-01-31T12:00:00.000000001", &[]);
        check(
            date_time,
            "2024-01-31T00:00:00",
            &["2024-01-31", "2024-01-31T00:00"],
        );
        refuse(
            date_time,
            &[
                "",
                "now",
                "2024-13-01T00:00:00Z",
                "9999-12-31T23:00:00-23:00x",
            ],
        );
    }

    #[test]
    fn days_and_times_of_day() {
        check(date, "2024-01-31", &["20240131"]);
        refuse(date, &["", "2024-02-31", "2024-01-31T00:00:00"]);
        check(time, "12:00:00", &["12:00", "12:00:00.000", "120000"]);
        check(time, "12:00:00+00:00", &["12:00Z", "14:00:00+02:00"]);
        refuse(
            time,
            &[
                "",
                "25:00",
                "noon",
                "2024-01-31T12:00:00",
                "12:00+99:00",
                "2024-01-31",
            ],
        );
    }
}
