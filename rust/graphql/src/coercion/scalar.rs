//! Input coercion of built-in scalars: the specification, section 3.5.

use serde_json::Value as Json;

use crate::write::write_float;

/// Coerces a scalar from JSON: returns the coerced value, `None` if it is unchanged. The error says
/// what the type cannot represent.
pub(super) fn scalar(type_name: &str, value: &Json) -> Result<Option<Json>, &'static str> {
    match type_name {
        "Int" => match value.as_number().and_then(whole) {
            Some(number) => i32::try_from(number)
                .map(|number| Some(Json::from(number)))
                .map_err(|_| "Int cannot represent non 32-bit signed integer value."),
            None if value.is_number() && value.as_f64().is_some_and(|n| n.trunc() == n) => {
                Err("Int cannot represent non 32-bit signed integer value.")
            }
            None => Err("Int cannot represent non-integer value."),
        },
        "Float" if value.is_number() => Ok(None),
        "Float" => Err("Float cannot represent non numeric value."),
        "String" if value.is_string() => Ok(None),
        "String" => Err("String cannot represent a non string value."),
        "Boolean" if value.is_boolean() => Ok(None),
        "Boolean" => Err("Boolean cannot represent a non boolean value."),
        "ID" => match value {
            Json::String(_) => Ok(None),
            Json::Number(number) => match (whole(number), number.as_f64()) {
                (Some(number), _) => Ok(Some(number.to_string().into())),
                // A whole number beyond 64 bits, in the form that JavaScript writes.
                (None, Some(number)) if number.trunc() == number => {
                    let mut digits = Vec::new();
                    write_float(number, &mut digits);
                    Ok(Some(String::from_utf8_lossy(&digits).into()))
                }
                _ => Err("ID cannot represent this value."),
            },
            _ => Err("ID cannot represent this value."),
        },
        _ => Ok(None),
    }
}

/// Returns a number without a fraction as an integer, also if it is written as `5.0`.
fn whole(number: &serde_json::Number) -> Option<i128> {
    let integer = number.as_i64().map(i128::from);
    integer
        .or_else(|| number.as_u64().map(i128::from))
        .or_else(|| {
            let float = number.as_f64()?;
            #[allow(clippy::cast_possible_truncation, reason = "integral and below 2^53")]
            (float.trunc() == float && float.abs() < 9e15).then_some(float as i128)
        })
}
