//! Properties of a session that hold for any messages in any order.

use proptest::prelude::*;
use protocol::{Action, OperationId, Session, Subprotocol};
use serde_json::json;
use std::collections::HashSet;

/// One action of the client or the server.
#[derive(Debug, Clone)]
enum Step {
    Subscribe(u8),
    ClientCompletes(u8),
    ServerCompletes(u8),
    ServerFails(u8),
    Ping,
    Pong,
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0..4u8;
    prop_oneof![
        id.clone().prop_map(Step::Subscribe),
        id.clone().prop_map(Step::ClientCompletes),
        id.clone().prop_map(Step::ServerCompletes),
        id.prop_map(Step::ServerFails),
        Just(Step::Ping),
        Just(Step::Pong),
    ]
}

fn acknowledged() -> Session {
    let mut session = Session::websocket(Subprotocol::TransportWs);
    session.receive_text(r#"{"type":"connection_init"}"#);
    session.accept(None);
    session
}

proptest! {
    #[test]
    fn any_text_is_survived_and_reasons_fit_a_close_frame(text in ".{0,300}") {
        for mut session in [Session::websocket(Subprotocol::TransportWs), acknowledged()] {
            if let [Action::Close(close)] = &session.receive_text(&text)[..] {
                prop_assert!(close.reason.len() <= 123);
            }
        }
    }

    #[test]
    fn any_type_and_id_give_a_reason_that_fits(kind in ".*", id in ".*") {
        let mut session = acknowledged();
        let message = json!({"type": kind, "id": id, "payload": {"query": "q"}}).to_string();
        for _ in 0..2 {
            if let [Action::Close(close)] = &session.receive_text(&message)[..] {
                prop_assert!(close.reason.len() <= 123);
            }
        }
    }

    /// The session agrees with a set of running ids, also when messages of client and server cross.
    #[test]
    fn an_operation_ends_exactly_once(steps in prop::collection::vec(step(), 0..60)) {
        let mut session = acknowledged();
        let mut running = HashSet::new();
        for step in steps {
            match step {
                Step::Subscribe(n) => {
                    let message = json!({"type": "subscribe", "id": n.to_string(), "payload": {"query": "q"}});
                    let actions = session.receive_text(&message.to_string());
                    if running.insert(n) {
                        let started = matches!(actions[..], [Action::Subscribe { .. }]);
                        prop_assert!(started);
                    } else {
                        let closed = matches!(&actions[..], [Action::Close(close)] if close.code == 4409);
                        prop_assert!(closed);
                        return Ok(());
                    }
                }
                Step::ClientCompletes(n) => {
                    let message = json!({"type": "complete", "id": n.to_string()});
                    let actions = session.receive_text(&message.to_string());
                    prop_assert_eq!(!actions.is_empty(), running.remove(&n));
                }
                Step::ServerCompletes(n) => {
                    let message = session.complete(&OperationId::from(n.to_string().as_str()));
                    prop_assert_eq!(!message.is_empty(), running.remove(&n));
                }
                Step::ServerFails(n) => {
                    let message = session.error(&OperationId::from(n.to_string().as_str()), b"[]");
                    prop_assert_eq!(!message.is_empty(), running.remove(&n));
                }
                Step::Ping => {
                    let answered = matches!(session.receive_text(r#"{"type":"ping"}"#)[..], [Action::Send(_)]);
                    prop_assert!(answered);
                }
                Step::Pong => prop_assert_eq!(session.receive_text(r#"{"type":"pong"}"#), [Action::Answered]),
            }
        }
    }
}
