//! The options of a URL, behind its `?`.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Returns the names and the values in their order. A `+` is itself, as in each part of a URL but forms.
pub(crate) fn options(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let decode = |text| percent_decode_str(text).decode_utf8_lossy();
    query
        .split('&')
        .filter(|option| !option.is_empty())
        .map(move |option| {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            (decode(name), decode(value))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plus_is_no_blank() {
        let read: Vec<_> = options("token=a+b==&x=%2B%20&&y").collect();
        let expected = [("token", "a+b=="), ("x", "+ "), ("y", "")];
        assert_eq!(
            read,
            expected.map(|(name, value)| (name.into(), value.into()))
        );
    }
}
