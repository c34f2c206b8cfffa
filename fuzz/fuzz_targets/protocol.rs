//! Any text, in lines, to a protocol session: no panic, and nothing but the end after a close.

#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::{Action, Session};

fuzz_target!(|text: &str| {
    for is_accepted in [false, true] {
        let mut session = Session::new();
        if is_accepted {
            session.receive_text(r#"{"type":"connection_init"}"#);
            session.accept(None);
        }
        let mut is_closed = false;
        for line in text.lines() {
            let action = session.receive_text(line);
            assert!(!is_closed || action.is_none());
            if let Some(Action::Close(close)) = action {
                assert!(close.reason.len() <= 123);
                is_closed = true;
            }
        }
    }
});
