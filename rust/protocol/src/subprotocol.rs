//! The WebSocket subprotocols, and their negotiation.

/// A supported WebSocket subprotocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subprotocol {
    /// `graphql-transport-ws`.
    TransportWs,
    /// `graphql-ws`, the older protocol of subscriptions-transport-ws.
    LegacyWs,
}

impl Subprotocol {
    /// Returns its name in `Sec-WebSocket-Protocol`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TransportWs => "graphql-transport-ws",
            Self::LegacyWs => "graphql-ws",
        }
    }

    /// Returns the first of the offered subprotocols that is supported. Each item may be a list, as
    /// in the header.
    pub fn negotiate<'a>(offered: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        offered
            .into_iter()
            .flat_map(|names| names.split(','))
            .find_map(|name| {
                let known = [Self::TransportWs, Self::LegacyWs];
                known.into_iter().find(|known| known.name() == name.trim())
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_subprotocol_is_picked() {
        let picked = |offered: &[&str]| Subprotocol::negotiate(offered.iter().copied());
        assert_eq!(
            picked(&["graphql-ws, graphql-transport-ws"]),
            Some(Subprotocol::LegacyWs)
        );
        assert_eq!(
            picked(&["chat", "graphql-transport-ws"]),
            Some(Subprotocol::TransportWs)
        );
        assert_eq!(picked(&["soap"]), None);
        assert_eq!(picked(&[]), None);
    }
}
