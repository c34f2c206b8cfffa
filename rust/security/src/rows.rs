//! Row filters: the events of a channel that an identity may see.

use graphql::Comparison;
use indexed_json::IndexedJson;
use serde_json::Value;

use crate::channel::ChannelPattern;
use crate::error::RuleError;
use crate::identity::Identity;
use crate::path::Path;
use crate::value::{Allowed, RuleValue};

/// Conditions that compare events of some channels with the identity.
#[derive(Debug, Clone)]
pub struct RowFilter {
    channel: ChannelPattern,
    /// The text of the pattern.
    text: String,
    conditions: Vec<(Path, RuleValue)>,
    unless: Vec<String>,
}

impl RowFilter {
    /// Creates a filter for the channels of a pattern, or of the template of a subscription; every
    /// condition has to hold. Identities with one of the roles `unless` see all events.
    ///
    /// # Errors
    ///
    /// [`RuleError`] if the pattern, a path or a value is invalid.
    pub fn new<'v>(
        channel: &str,
        conditions: impl IntoIterator<Item = (&'v str, &'v Value)>,
        unless: Vec<String>,
    ) -> Result<Self, RuleError> {
        let conditions = conditions
            .into_iter()
            .map(|(path, value)| Ok((Path::parse(path)?, RuleValue::parse(value)?)))
            .collect::<Result<_, RuleError>>()?;
        Ok(Self {
            channel: ChannelPattern::parse_template(channel)?,
            text: channel.to_owned(),
            conditions,
            unless,
        })
    }

    /// Returns the rule for each event of the channel; `None` if the filter does not apply.
    /// `comparison` returns how the value at a path is compared.
    #[must_use]
    pub fn rule(
        &self,
        channel: &str,
        identity: &Identity,
        comparison: impl Fn(&[Box<str>]) -> Comparison,
    ) -> Option<RowRule> {
        if !self.covers(channel) || identity.has_role(&self.unless) {
            return None;
        }
        let conditions = self.conditions.iter().map(|(path, wanted)| {
            let comparison = comparison(path.parts());
            (path.clone(), wanted.resolve(identity, comparison))
        });
        Some(RowRule(conditions.collect()))
    }

    /// Returns the pattern of its channels.
    #[must_use]
    pub fn channel(&self) -> &ChannelPattern {
        &self.channel
    }

    /// Returns the pattern of its channels as text.
    #[must_use]
    pub fn channel_text(&self) -> &str {
        &self.text
    }

    /// Whether the filter covers this channel.
    #[must_use]
    pub fn covers(&self, channel: &str) -> bool {
        self.channel.covers(channel)
    }
}

/// A row filter with the values of one identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RowRule(Box<[(Path, Allowed)]>);

impl RowRule {
    /// Whether the identity may see an event with this data. A missing field denies.
    #[must_use]
    pub fn admits(&self, data: &IndexedJson) -> bool {
        self.0.iter().all(|(path, allowed)| {
            let value = path.find_in(data);
            value.is_some_and(|value| allowed.accepts(&value.to_value()))
        })
    }
}
