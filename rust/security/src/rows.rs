//! Row filtering: which events of a channel an identity may see.

use graphql::Comparison;
use serde_json::Value;

use crate::channel::ChannelPattern;
use crate::error::RuleError;
use crate::identity::Identity;
use crate::path::Path;
use crate::value::{Allowed, Wanted};

/// What events of some channels must have in common with the identity.
#[derive(Debug, Clone)]
pub struct RowFilter {
    channel: ChannelPattern,
    /// What the pattern was read from.
    text: String,
    conditions: Vec<(Path, Wanted)>,
    unless: Vec<String>,
}

impl RowFilter {
    /// A filter for the channels of a pattern, or of the template of a subscription; every
    /// condition has to hold. Identities with one
    /// of the roles `unless` see everything.
    ///
    /// # Errors
    ///
    /// [`RuleError`] when pattern, path or value cannot be read.
    pub fn new<'v>(
        channel: &str,
        conditions: impl IntoIterator<Item = (&'v str, &'v Value)>,
        unless: Vec<String>,
    ) -> Result<Self, RuleError> {
        let conditions = conditions
            .into_iter()
            .map(|(path, value)| Ok((Path::parse(path)?, Wanted::parse(value)?)))
            .collect::<Result<_, RuleError>>()?;
        Ok(Self {
            channel: ChannelPattern::parse_template(channel)?,
            text: channel.to_owned(),
            conditions,
            unless,
        })
    }

    /// What must hold for each event of the channel; `None` when the filter does not apply.
    /// `comparison` says how what stands at a path of the data is compared.
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

    /// The channels that it is about.
    #[must_use]
    pub fn channel(&self) -> &ChannelPattern {
        &self.channel
    }

    /// The channels that it is about, as they were written.
    #[must_use]
    pub fn channel_text(&self) -> &str {
        &self.text
    }

    /// Whether the filter is about this channel.
    #[must_use]
    pub fn covers(&self, channel: &str) -> bool {
        self.channel.covers(channel)
    }
}

/// A row filter as it holds for one identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RowRule(Box<[(Path, Allowed)]>);

impl RowRule {
    /// Whether an event with this data may be seen. A missing field denies.
    #[must_use]
    pub fn admits(&self, data: &Value) -> bool {
        self.0
            .iter()
            .all(|(path, allowed)| path.find(data).is_some_and(|value| allowed.accepts(value)))
    }
}
