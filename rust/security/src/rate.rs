//! Configured rates. Not here: counting, which needs a clock (`runtime::client::rates`).

use std::num::NonZeroU32;
use std::time::Duration;

use crate::error::RuleError;

/// A number of actions in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Actions allowed at once, and in each period (count).
    pub count: NonZeroU32,
    /// The period.
    pub period: Duration,
}

impl Rate {
    /// Parses `10/s`, `600/m` or `1000/h`.
    ///
    /// # Errors
    ///
    /// [`RuleError::Rate`] if it is not in this form.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let refuse = || RuleError::Rate(text.to_owned());
        let (count, unit) = text.split_once('/').ok_or_else(refuse)?;
        let seconds = match unit.trim() {
            "s" | "second" => 1,
            "m" | "min" | "minute" => 60,
            "h" | "hour" => 3600,
            _ => return Err(refuse()),
        };
        Ok(Self {
            count: count.trim().parse().map_err(|_| refuse())?,
            period: Duration::from_secs(seconds),
        })
    }
}

/// Which actions are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RateBy {
    /// All connections of a user.
    #[default]
    Identity,
    /// Each connection.
    Connection,
    /// All connections from one address.
    Address,
}

/// The rates of one manager; `None`: unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// Operations started.
    pub subscribes: Option<Rate>,
    /// Messages received.
    pub messages: Option<Rate>,
    /// Results of subscriptions sent.
    pub events: Option<Rate>,
    /// Clients of one address refused before they are authenticated; `None`: the rate of
    /// `messages`.
    pub refusals: Option<Rate>,
    /// Which actions are counted together.
    pub by: RateBy,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_count_and_a_unit() {
        for (text, count, seconds) in [("10/s", 10, 1), ("600 / m", 600, 60), ("1/hour", 1, 3600)] {
            let rate = Rate::parse(text).unwrap();
            assert_eq!(rate.count.get(), count);
            assert_eq!(rate.period, Duration::from_secs(seconds));
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_text() {
        for text in [
            "",
            "10",
            "0/s",
            "-1/s",
            "10/d",
            "1.5/s",
            "ten/s",
            "99999999999/s",
        ] {
            let error = Rate::parse(text).unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }
}
