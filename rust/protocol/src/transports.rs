//! The enabled transports: a server may offer only some of them.

use crate::subprotocol::Subprotocol;

/// The protocol of a streamed response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streaming {
    /// GraphQL over SSE.
    Events,
    /// Multipart subscriptions.
    Multipart,
}

/// The enabled transports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is switched by itself")]
pub struct Transports {
    /// WebSockets with graphql-transport-ws.
    pub transport_ws: bool,
    /// WebSockets with the older graphql-ws.
    pub legacy_ws: bool,
    /// Operations by GET.
    pub get: bool,
    /// Operations by POST.
    pub post: bool,
    /// GraphQL over SSE.
    pub sse: bool,
    /// Multipart subscriptions.
    pub multipart: bool,
}

impl Default for Transports {
    fn default() -> Self {
        Self {
            transport_ws: true,
            legacy_ws: true,
            get: true,
            post: true,
            sse: true,
            multipart: true,
        }
    }
}

impl Transports {
    /// Returns the first of the offered subprotocols that is enabled. Each item may be a list, as
    /// in the header.
    pub fn negotiate<'a>(self, offered: impl IntoIterator<Item = &'a str>) -> Option<Subprotocol> {
        let is_open = |picked: &Subprotocol| match picked {
            Subprotocol::TransportWs => self.transport_ws,
            Subprotocol::LegacyWs => self.legacy_ws,
        };
        let names = offered.into_iter().flat_map(|names| names.split(','));
        names
            .filter_map(|name| Subprotocol::negotiate([name]))
            .find(is_open)
    }

    /// Whether this protocol is enabled for subscriptions.
    pub(crate) fn offer(self, streaming: Streaming) -> bool {
        match streaming {
            Streaming::Events => self.sse,
            Streaming::Multipart => self.multipart,
        }
    }

    /// Returns the text that tells a client how to request a subscription.
    pub(crate) fn streaming_advice(self) -> String {
        let mut ways = Vec::new();
        if self.sse {
            ways.push("accept text/event-stream");
        }
        if self.multipart {
            ways.push("accept multipart/mixed");
        }
        if self.transport_ws || self.legacy_ws {
            ways.push("connect with a WebSocket");
        }
        let ways = ways.join(", or ");
        format!("the response to a subscription goes on: {ways}")
    }

    /// Returns the media types of responses.
    pub(crate) fn media_types(self) -> String {
        let mut types = "application/graphql-response+json, application/json".to_owned();
        if self.sse {
            types.push_str(", text/event-stream");
        }
        if self.multipart {
            types.push_str(", multipart/mixed");
        }
        types
    }

    /// Returns the text that tells a client which methods are served.
    pub(crate) fn method_advice(self) -> &'static str {
        match (self.get, self.post) {
            (true, true) => "send GET or POST",
            (true, false) => "send GET",
            (false, true) => "send POST",
            (false, false) => "operations are not served over HTTP here",
        }
    }

    /// Returns the supported methods, in the form of the `Allow` header.
    #[must_use]
    pub fn methods(self) -> String {
        let streams = self.sse;
        let methods = [
            ("GET", self.get || streams),
            ("HEAD", self.get || streams),
            ("POST", self.post || streams),
            ("PUT", streams),
            ("DELETE", streams),
            ("OPTIONS", true),
        ];
        let open = methods.into_iter().filter(|(_, is_open)| *is_open);
        open.map(|(name, _)| name).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_open_subprotocol_is_picked() {
        let offered = ["graphql-ws, graphql-transport-ws"];
        let all = Transports::default();
        assert_eq!(all.negotiate(offered), Some(Subprotocol::LegacyWs));
        let newer = Transports {
            legacy_ws: false,
            ..all
        };
        assert_eq!(newer.negotiate(offered), Some(Subprotocol::TransportWs));
        let none = Transports {
            transport_ws: false,
            ..newer
        };
        assert_eq!(none.negotiate(offered), None);
    }

    #[test]
    fn disabled_transports_are_not_advised() {
        let closed = Transports {
            get: false,
            sse: false,
            ..Transports::default()
        };
        assert_eq!(closed.methods(), "POST, OPTIONS");
        assert!(!closed.streaming_advice().contains("event-stream"));
        assert!(!closed.media_types().contains("event-stream"));
        assert!(
            Transports::default()
                .methods()
                .starts_with("GET, HEAD, POST, PUT")
        );
    }
}
