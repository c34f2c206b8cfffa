//! Any text, in lines, to a protocol session: no panic, and nothing but the end after a close.

#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::{Action, Session, Subprotocol};

fuzz_target!(|text: &str| {
    for (subprotocol, is_accepted) in [
        (Subprotocol::TransportWs, false),
        (Subprotocol::TransportWs, true),
        (Subprotocol::LegacyWs, false),
        (Subprotocol::LegacyWs, true),
    ] {
        let mut session = Session::websocket(subprotocol);
        if is_accepted {
            session.receive_text(r#"{"type":"connection_init"}"#);
            session.accept(None);
        }
        let mut is_closed = false;
        for line in text.lines() {
            let actions = session.receive_text(line);
            assert!(!is_closed || actions.is_empty());
            if let Some(Action::Close(close)) = actions.last() {
                assert!(close.reason.len() <= 123);
                is_closed = true;
            }
        }
    }
});
