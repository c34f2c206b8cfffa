//! Federation isolation: a subgraph serves only its own channels and requests for it.

use crate::channel::ChannelPattern;
use crate::error::{Denied, RuleError};

/// One subgraph, and the patterns of its channels.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Federation {
    subgraph: Box<str>,
    channels: Box<[ChannelPattern]>,
}

impl Federation {
    /// Creates a subgraph with the channels of these patterns; without patterns, `<name>` itself
    /// and all channels that begin with `<name>.` or `<name>:`.
    ///
    /// # Errors
    ///
    /// [`RuleError`] if the name or a pattern is invalid.
    pub fn new<'p>(
        subgraph: &str,
        channels: Option<impl IntoIterator<Item = &'p str>>,
    ) -> Result<Self, RuleError> {
        // A star in the name would match channels of other subgraphs.
        if subgraph.is_empty() || subgraph.contains('*') {
            return Err(RuleError::Subgraph(subgraph.to_owned()));
        }
        let channels = match channels {
            Some(channels) => channels
                .into_iter()
                .map(ChannelPattern::parse)
                .collect::<Result<_, _>>()?,
            None => [
                subgraph.to_owned(),
                format!("{subgraph}.*"),
                format!("{subgraph}:*"),
            ]
            .iter()
            .map(|pattern| ChannelPattern::parse(pattern))
            .collect::<Result<_, _>>()?,
        };
        Ok(Self {
            subgraph: subgraph.into(),
            channels,
        })
    }

    /// Returns the name of the subgraph.
    #[must_use]
    pub fn subgraph(&self) -> &str {
        &self.subgraph
    }

    /// Whether a channel belongs to the subgraph.
    #[must_use]
    pub fn owns(&self, channel: &str) -> bool {
        self.channels.iter().any(|pattern| pattern.covers(channel))
    }

    /// Checks a request: its channel, and the subgraph that it names.
    ///
    /// # Errors
    ///
    /// [`Denied::Subgraph`] if either belongs to another subgraph.
    pub fn check(&self, channel: Option<&str>, asked: Option<&str>) -> Result<(), Denied> {
        let is_own = channel.is_none_or(|channel| self.owns(channel))
            && asked.is_none_or(|name| *name == *self.subgraph);
        if is_own {
            Ok(())
        } else {
            Err(Denied::Subgraph)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subgraph_owns_its_name_and_what_is_below_it() {
        let orders = Federation::new("orders", None::<[&str; 0]>).unwrap();
        for own in ["orders", "orders.7", "orders:eu.7"] {
            assert!(orders.owns(own), "{own}");
        }
        for other in ["orders2", "users", "users.orders", ""] {
            assert!(!orders.owns(other), "{other}");
        }
    }

    #[test]
    fn listed_channels_stand_for_themselves() {
        let orders = Federation::new("orders", Some(["invoices", "o-*"])).unwrap();
        assert!(orders.owns("invoices") && orders.owns("o-1"));
        assert!(!orders.owns("orders"));
    }

    #[test]
    fn a_request_to_another_subgraph_is_refused() {
        let orders = Federation::new("orders", None::<[&str; 0]>).unwrap();
        assert_eq!(orders.check(Some("orders.7"), Some("orders")), Ok(()));
        assert_eq!(orders.check(None, None), Ok(()));
        assert_eq!(orders.check(Some("users"), None), Err(Denied::Subgraph));
        assert_eq!(
            orders.check(Some("orders"), Some("users")),
            Err(Denied::Subgraph)
        );
    }
}
