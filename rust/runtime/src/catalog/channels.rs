//! The channels of declared subscriptions, to find misspelt channels of publishers.

use std::sync::Arc;

use hashbrown::HashSet;
use security::ChannelPattern;

use super::definition::{ChannelTemplate, Definition};

/// Channels that are logged (count). Past it no further one is.
pub(crate) const MAX_TOLD: usize = 256;

/// The channels that were logged, each once.
#[derive(Debug, Default)]
pub(crate) struct ToldChannels(HashSet<Arc<str>>);

impl ToldChannels {
    /// Whether this is the channel's first time, and there is room to remember it.
    pub(crate) fn is_first(&mut self, channel: &Arc<str>) -> bool {
        self.0.len() < MAX_TOLD && self.0.insert(channel.clone())
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The declared channels of one manager.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    names: HashSet<String>,
    patterns: Vec<ChannelPattern>,
}

impl Channels {
    /// Creates the set of the channels of these definitions.
    pub(crate) fn new<'d>(definitions: impl Iterator<Item = &'d Arc<Definition>>) -> Self {
        let mut channels = Self::default();
        for template in definitions.filter_map(|definition| definition.channel.as_ref()) {
            channels.add(template);
        }
        channels
    }

    fn add(&mut self, template: &ChannelTemplate) {
        match template.text() {
            Some(name) => {
                self.names.insert(name.to_owned());
            }
            None => self.patterns.push(template.pattern()),
        }
    }

    fn declare(&self, channel: &str) -> bool {
        self.names.contains(channel) || self.patterns.iter().any(|known| known.covers(channel))
    }
}

/// Logs, once each, the channels of published events without a declared subscription.
#[derive(Debug)]
pub(crate) struct Undeclared {
    channels: Channels,
    told: ToldChannels,
}

impl Undeclared {
    pub(crate) fn new(channels: Channels) -> Self {
        Self {
            channels,
            told: ToldChannels::default(),
        }
    }

    /// Checks the channel of an event.
    pub(crate) fn look_at(&mut self, channel: &Arc<str>) {
        if !self.channels.declare(channel) && self.told.is_first(channel) {
            tracing::debug!(
                name: "event.undeclared_channel",
                target: "fraiseql_subs",
                channel = &**channel,
                "published on a channel that no subscription is declared for"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(templates: &[&str]) -> Channels {
        let mut channels = Channels::default();
        for template in templates {
            channels.add(&ChannelTemplate::parse(template).unwrap());
        }
        channels
    }

    #[test]
    fn a_template_declares_what_arguments_can_make_of_it() {
        let channels = channels(&["news", "orders.{userId}", "{region}.sales.{day}", "a{{*}}"]);
        for declared in ["news", "orders.7", "orders.7.x", "eu.sales.1", "a{*}"] {
            assert!(channels.declare(declared), "{declared}");
        }
        for undeclared in ["new", "newss", "orders", "ordres.7", "eu.sale.1", "a{b}"] {
            assert!(!channels.declare(undeclared), "{undeclared}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut undeclared = Undeclared::new(channels(&["news"]));
        for number in 0..2 * MAX_TOLD {
            undeclared.look_at(&format!("other.{number}").into());
            undeclared.look_at(&"news".into());
        }
        assert_eq!(undeclared.told.len(), MAX_TOLD);
        assert!(!undeclared.told.0.contains("news"));
    }
}
