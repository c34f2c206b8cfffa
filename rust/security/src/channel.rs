//! Patterns of channel names: `orders`, `orders*`, `*.audit`.

use crate::error::RuleError;

/// A channel name in which `*` stands for any characters, also none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChannelPattern(Box<[Box<str>]>);

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

    /// Texts with any characters between each two, also none.
    pub fn between(texts: impl IntoIterator<Item = Box<str>>) -> Self {
        Self(texts.into_iter().collect())
    }

    /// Whether the pattern covers a channel, whole.
    #[must_use]
    pub fn covers(&self, channel: &str) -> bool {
        let [first, rest @ ..] = &*self.0 else {
            return false;
        };
        let Some(mut left) = channel.strip_prefix(&**first) else {
            return false;
        };
        let [middle @ .., last] = rest else {
            // No star: the whole name.
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
    fn an_empty_pattern_is_refused() {
        assert_eq!(ChannelPattern::parse(""), Err(RuleError::Channel));
    }
}
