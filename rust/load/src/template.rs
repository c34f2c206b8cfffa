//! JSON with placeholders, `{"key": {subscription}}`, rendered for each subscription or event.

use serde::de::IgnoredAny;

/// A text, split at its placeholders.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    /// The text before each placeholder, and the number of its name.
    parts: Vec<(String, usize)>,
    tail: String,
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// An unknown name in braces.
    #[error(
        "`{{{name}}}` is not a placeholder here, there are {known}; in a string write a brace as `\\u007b`"
    )]
    Unknown {
        /// The name in the braces.
        name: String,
        /// The known placeholders.
        known: String,
    },
    /// The text is not JSON.
    #[error("it is not JSON with numbers in place of the placeholders: {0}")]
    Json(String),
}

impl Template {
    /// Parses `text`, whose placeholders are `names` in braces.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] for an unknown placeholder, or if the text with numbers instead of
    /// placeholders is not JSON.
    pub(crate) fn parse(text: &str, names: &[&str]) -> Result<Self, TemplateError> {
        let (mut parts, mut before, mut rest) = (Vec::new(), String::new(), text);
        while let Some(brace) = rest.find('{') {
            let name = rest[brace + 1..]
                .find('}')
                .map(|end| &rest[brace + 1..brace + 1 + end])
                .filter(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphabetic()));
            before.push_str(&rest[..brace]);
            let Some(name) = name else {
                before.push('{');
                rest = &rest[brace + 1..];
                continue;
            };
            let Some(number) = names.iter().position(|known| *known == name) else {
                return Err(TemplateError::Unknown {
                    name: name.to_owned(),
                    known: listed(names),
                });
            };
            parts.push((std::mem::take(&mut before), number));
            rest = &rest[brace + name.len() + 2..];
        }
        before.push_str(rest);
        let template = Self {
            parts,
            tail: before,
        };
        let mut sample = Vec::new();
        template.render(&vec![1; names.len()], &mut sample);
        serde_json::from_slice::<IgnoredAny>(&sample)
            .map_err(|error| TemplateError::Json(error.to_string()))?;
        Ok(template)
    }

    /// Whether the placeholder with this number occurs.
    #[must_use]
    pub(crate) fn has(&self, number: usize) -> bool {
        self.parts.iter().any(|(_, name)| *name == number)
    }

    /// Appends the text with `values` instead of the placeholders, in the order of their names.
    pub(crate) fn render(&self, values: &[u64], out: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        for (before, number) in &self.parts {
            out.extend_from_slice(before.as_bytes());
            out.extend_from_slice(digits.format(values[*number]).as_bytes());
        }
        out.extend_from_slice(self.tail.as_bytes());
    }
}

fn listed(names: &[&str]) -> String {
    let braced: Vec<String> = names.iter().map(|name| format!("`{{{name}}}`")).collect();
    braced.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str, values: &[u64]) -> String {
        let mut out = Vec::new();
        Template::parse(text, &["connection", "subscription", "index"])
            .unwrap()
            .render(values, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn placeholders_are_replaced_and_other_braces_stay() {
        let text = r#"{"a": {"key": {subscription}, "of": [{connection}, {index}]}, "b": {}}"#;
        let expected = r#"{"a": {"key": 22, "of": [11, 0]}, "b": {}}"#;
        assert_eq!(rendered(text, &[11, 22, 0]), expected);
    }

    #[test]
    fn a_placeholder_may_stand_in_a_string_and_more_than_once() {
        let text = r#"{"user": "u-{index}", "again": {index}}"#;
        assert_eq!(rendered(text, &[1, 2, 3]), r#"{"user": "u-3", "again": 3}"#);
    }

    #[test]
    fn an_unknown_placeholder_is_named_with_those_there_are() {
        let error = Template::parse(r#"{"key": {conection}}"#, &["connection", "index"]);
        let message = error.unwrap_err().to_string();
        assert!(message.contains("`{conection}`"), "{message}");
        assert!(message.contains("`{connection}`, `{index}`"), "{message}");
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let error = Template::parse(r#"{"key": {index}"#, &["index"]).unwrap_err();
        assert!(matches!(error, TemplateError::Json(_)), "{error}");
    }
}
