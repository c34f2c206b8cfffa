//! Patterns of channel names: `orders`, `orders*`, `*.audit`.

use crate::error::RuleError;

/// A channel name in which `*` matches any number of characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChannelPattern(Box<[Box<str>]>);

/// One position of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Any,
    Char(char),
}

impl ChannelPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// [`RuleError::Channel`] when it is empty.
    pub fn parse(pattern: &str) -> Result<Self, RuleError> {
        if pattern.is_empty() {
            return Err(RuleError::Channel);
        }
        Ok(Self(pattern.split('*').map(Box::from).collect()))
    }

    /// Parses a pattern in which `{name}` also matches any characters, as in the template of a
    /// subscription's channel; `{{` and `}}` are literal braces.
    ///
    /// # Errors
    ///
    /// [`RuleError::Channel`] when it is empty.
    pub fn parse_template(template: &str) -> Result<Self, RuleError> {
        let mut pattern = String::with_capacity(template.len());
        let mut left = template;
        while let Some(at) = left.find(['{', '}']) {
            let (text, brace) = left.split_at(at);
            pattern.push_str(text);
            let doubled = brace.starts_with("{{") || brace.starts_with("}}");
            let argument = brace.strip_prefix('{').and_then(|rest| rest.find('}'));
            left = match argument {
                Some(end) if !doubled => {
                    pattern.push('*');
                    &brace[end + 2..]
                }
                _ => {
                    pattern.push_str(&brace[..1]);
                    &brace[1 + usize::from(doubled)..]
                }
            };
        }
        pattern.push_str(left);
        Self::parse(&pattern)
    }

    /// Whether both patterns match a common channel.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.tokens(), other.tokens());
        // For each pair of positions, from the end: whether the rests of both patterns match a
        // common text.
        let mut below = vec![false; theirs.len() + 1];
        for i in (0..=ours.len()).rev() {
            let mut row = vec![false; theirs.len() + 1];
            for j in (0..=theirs.len()).rev() {
                row[j] = match (ours.get(i), theirs.get(j)) {
                    (None, None) => true,
                    (Some(Token::Any), _) => below[j] || (j < theirs.len() && row[j + 1]),
                    (_, Some(Token::Any)) => row[j + 1] || (i < ours.len() && below[j]),
                    (Some(our), Some(their)) => our == their && below[j + 1],
                    (None, Some(_)) | (Some(_), None) => false,
                };
            }
            below = row;
        }
        below[0]
    }

    fn tokens(&self) -> Vec<Token> {
        let mut tokens = Vec::new();
        for (place, part) in self.0.iter().enumerate() {
            if place > 0 {
                tokens.push(Token::Any);
            }
            tokens.extend(part.chars().map(Token::Char));
        }
        tokens
    }

    /// Creates the pattern that matches these texts with any characters between them.
    pub fn between(texts: impl IntoIterator<Item = Box<str>>) -> Self {
        Self(texts.into_iter().collect())
    }

    /// Whether the pattern matches a whole channel name.
    #[must_use]
    pub fn covers(&self, channel: &str) -> bool {
        let [first, rest @ ..] = &*self.0 else {
            return false;
        };
        let Some(mut left) = channel.strip_prefix(&**first) else {
            return false;
        };
        let [middle @ .., last] = rest else {
            // Without a star, the whole name has to match.
            return left.is_empty();
        };
        for part in middle {
            let Some(at) = left.find(&**part) else {
                return false;
            };
            left = &left[at + part.len()..];
        }
        left.ends_with(&**last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, covered, not) in [
            ("orders", vec!["orders"], vec!["orders.1", "order", ""]),
            ("orders*", vec!["orders", "orders.1"], vec!["my.orders"]),
            ("*.audit", vec![".audit", "a.audit"], vec!["a.audit.b"]),
            ("a*b*c", vec!["abc", "a.b.b.c"], vec!["ac", "acb", "ab"]),
            ("aa*aa", vec!["aaaa", "aa.aa"], vec!["aaa", "aa"]),
            ("*", vec!["", "anything"], vec![]),
        ] {
            let parsed = ChannelPattern::parse(pattern).unwrap();
            for channel in covered {
                assert!(parsed.covers(channel), "{pattern} {channel}");
            }
            for channel in not {
                assert!(!parsed.covers(channel), "{pattern} {channel}");
            }
        }
    }

    #[test]
    fn an_argument_of_a_template_stands_for_any_characters() {
        for (template, pattern) in [
            ("orders.{userId}", "orders.*"),
            ("{region}.sales.{day}", "*.sales.*"),
            ("a{{b}}", "a{b}"),
            ("{{x}}.{y}", "{x}.*"),
            ("a{b", "a{b"),
            ("a}b", "a}b"),
            ("orders*", "orders*"),
        ] {
            assert_eq!(
                ChannelPattern::parse_template(template),
                ChannelPattern::parse(pattern),
                "{template}"
            );
        }
    }

    #[test]
    fn two_patterns_meet_where_both_cover_a_channel() {
        for (one, other, meets) in [
            ("orders", "orders", true),
            ("orders", "order", false),
            ("orders*", "orders.*", true),
            ("orders.7", "orders.*", true),
            ("orders", "orders.*", false),
            ("*.audit", "orders.*", true),
            ("*.audit", "orders.*.x", false),
            ("a*", "b*", false),
            ("*", "anything", true),
            ("*", "*", true),
            ("a*c", "ab*c*", true),
            ("é*", "é", true),
        ] {
            let (first, second) = (ChannelPattern::parse(one), ChannelPattern::parse(other));
            let (first, second) = (first.unwrap(), second.unwrap());
            assert_eq!(first.meets(&second), meets, "{one} {other}");
            assert_eq!(second.meets(&first), meets, "{other} {one}");
        }
    }

    #[test]
    fn an_empty_pattern_is_refused() {
        assert_eq!(ChannelPattern::parse(""), Err(RuleError::Channel));
    }
}
