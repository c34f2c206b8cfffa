//! How both subprotocols react to sequences of messages.

use serde_json::json;

use super::*;

const INIT: &str = r#"{"type":"connection_init"}"#;
const SUBPROTOCOLS: [Subprotocol; 2] = [Subprotocol::TransportWs, Subprotocol::LegacyWs];

fn connected(subprotocol: Subprotocol) -> WebSocket {
    WebSocket::new(subprotocol)
}

fn initialising(subprotocol: Subprotocol) -> WebSocket {
    let mut session = connected(subprotocol);
    session.receive_text(INIT);
    session
}

fn acknowledged(subprotocol: Subprotocol) -> WebSocket {
    let mut session = initialising(subprotocol);
    session.accept(None);
    session
}

fn subscribe(session: &mut WebSocket, id: &str) -> Vec<Action> {
    let kind = if session.is_legacy() {
        "start"
    } else {
        "subscribe"
    };
    let message = json!({"type": kind, "id": id, "payload": {"query": "q"}});
    session.receive_text(&message.to_string())
}

fn complete(session: &mut WebSocket, id: &str) -> Vec<Action> {
    let kind = if session.is_legacy() {
        "stop"
    } else {
        "complete"
    };
    session.receive_text(&json!({"type": kind, "id": id}).to_string())
}

fn starts(actions: &[Action], expected: &str) -> bool {
    matches!(actions, [Action::Subscribe { id, .. }] if id.as_str() == expected)
}

fn close(code: u16, reason: &str) -> Vec<Action> {
    vec![Action::Close(Close::new(code, reason))]
}

fn send(message: &'static str) -> Action {
    Action::Send(message.into())
}

#[test]
fn connection_init_asks_the_application_and_the_ack_may_carry_a_payload() {
    let mut session = connected(Subprotocol::TransportWs);
    let actions = session.receive_text(r#"{"type":"connection_init","payload":{"token":"t"}}"#);
    let payload = JsonObject::parse(r#"{"token":"t"}"#.into()).ok();
    let asked = Action::Initialise {
        payload: payload.clone(),
    };
    assert_eq!(actions, [asked]);
    let ack = r#"{"type":"connection_ack","payload":{"token":"t"}}"#;
    assert_eq!(session.accept(payload.as_ref()), [send(ack)]);
}

#[test]
fn the_acknowledgement_of_the_older_subprotocol_is_followed_by_a_sign_of_life_at_once() {
    let mut session = initialising(Subprotocol::LegacyWs);
    assert_eq!(session.heartbeat(), None);
    let expected = [
        send(r#"{"type":"connection_ack"}"#),
        send(r#"{"type":"ka"}"#),
    ];
    assert_eq!(session.accept(None), expected);
    assert_eq!(session.heartbeat(), Some(r#"{"type":"ka"}"#.into()));
}

#[test]
fn no_sign_of_life_comes_before_the_acknowledgement() {
    for subprotocol in SUBPROTOCOLS {
        for session in [connected(subprotocol), initialising(subprotocol)] {
            assert_eq!((session.ping(), session.heartbeat()), (None, None));
        }
    }
    let session = acknowledged(Subprotocol::TransportWs);
    assert_eq!(session.ping(), Some(r#"{"type":"ping"}"#.into()));
}

#[test]
fn nothing_comes_before_the_acknowledgement_in_the_older_subprotocol() {
    let faults = [
        (r#"{"id":"1","type":"start"}"#, "error"),
        (r#"{"id":"1","type":"nonsense"}"#, "error"),
        ("[]", "connection_error"),
    ];
    let mut session = initialising(Subprotocol::LegacyWs);
    for (fault, _) in faults {
        assert_eq!(session.receive_text(fault), []);
    }
    let accepted = session.accept(None);
    assert_eq!(accepted[0], send(r#"{"type":"connection_ack"}"#));
    for (told, (_, kind)) in accepted[2..].iter().zip(faults) {
        let Action::Send(told) = told else {
            panic!("not told");
        };
        let told: Value = serde_json::from_slice(told).unwrap();
        assert_eq!(told["type"], kind);
    }
    assert_eq!(accepted.len(), 2 + faults.len());
}

#[test]
fn before_connection_init_a_fault_is_one_of_the_connection() {
    let mut session = connected(Subprotocol::LegacyWs);
    let actions = session.receive_text(r#"{"id":"1","type":"nonsense"}"#);
    let [Action::Send(told)] = &actions[..] else {
        panic!("not told");
    };
    assert!(told.starts_with(br#"{"type":"connection_error""#));
}

#[test]
fn a_keep_alive_is_sent_only_where_the_next_comes_before_clients_give_up() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    for (interval, is_sent) in [
        (seconds(12), true),
        (seconds(29), true),
        (seconds(30), false),
        (seconds(60), false),
        (None, false),
    ] {
        let mut session = initialising(Subprotocol::LegacyWs);
        session.set_keepalive(interval);
        let messages = if is_sent { 2 } else { 1 };
        assert_eq!(session.accept(None).len(), messages, "{interval:?}");
        assert_eq!(session.heartbeat().is_some(), is_sent, "{interval:?}");
    }
}

#[test]
fn an_unreadable_member_of_an_operation_is_an_error_of_that_operation() {
    for (member, text) in [
        ("query", r#""\ud800""#),
        ("variables", r#"{"a":"\udc00"}"#),
        ("variables", r#"{"\ud800":1}"#),
        ("variables", r#"{"a":1e999}"#),
        ("operationName", r#""\ud800\ud800""#),
        ("extensions", r#"{"a":["\ud800x"]}"#),
        (
            "variables",
            &format!("{}1{}", "[".repeat(500), "]".repeat(500)),
        ),
    ] {
        let payload = format!(r#"{{"query":"q","{member}":{text}}}"#);
        for (subprotocol, kind) in SUBPROTOCOLS.into_iter().zip(["subscribe", "start"]) {
            let mut session = acknowledged(subprotocol);
            let message = format!(r#"{{"id":"1","type":"{kind}","payload":{payload}}}"#);
            let actions = session.receive_text(&message);
            let [Action::Send(told)] = &actions[..] else {
                panic!("{actions:?} to {message}");
            };
            let told: Value = serde_json::from_slice(told).unwrap();
            assert_eq!((&told["type"], &told["id"]), (&json!("error"), &json!("1")));
            // The connection stays open, and the id may be used again.
            assert!(starts(&subscribe(&mut session, "1"), "1"));
        }
    }
}

#[test]
fn other_messages_of_which_not_all_can_be_read_are_what_they_are() {
    let mut session = acknowledged(Subprotocol::TransportWs);
    let bad = r#""payload":{"a":"\ud800"}"#;
    let pong = [send(r#"{"type":"pong"}"#)];
    assert_eq!(
        session.receive_text(&format!(r#"{{"type":"ping",{bad}}}"#)),
        pong
    );
    assert_eq!(
        session.receive_text(&format!(r#"{{"type":"pong",{bad}}}"#)),
        [Action::Answered]
    );
    for (subprotocol, kind) in SUBPROTOCOLS.into_iter().zip(["complete", "stop"]) {
        let mut session = acknowledged(subprotocol);
        subscribe(&mut session, "1");
        let actions = session.receive_text(&format!(r#"{{"type":"{kind}","id":"1",{bad}}}"#));
        assert_eq!(actions[0], Action::Complete { id: "1".into() });
    }
    // No answer could name such an id.
    let id = r#"{"type":"subscribe","id":"\ud800","payload":{"query":"q"}}"#;
    assert!(matches!(&session.receive_text(id)[..], [Action::Close(close)] if close.code == 4400));
    let mut session = connected(Subprotocol::TransportWs);
    let init = format!(r#"{{"type":"connection_init",{bad}}}"#);
    assert!(
        matches!(&session.receive_text(&init)[..], [Action::Close(close)] if close.code == 4400)
    );
}

#[test]
fn an_operation_that_cannot_be_read_has_the_place_of_any_other() {
    let message = r#"{"type":"subscribe","id":"1","payload":{"query":"\ud800"}}"#;
    let mut session = initialising(Subprotocol::TransportWs);
    assert_eq!(session.receive_text(message), close(4401, "Unauthorized"));
    let mut session = acknowledged(Subprotocol::TransportWs);
    subscribe(&mut session, "1");
    let expected = close(4409, "Subscriber for 1 already exists");
    assert_eq!(session.receive_text(message), expected);
}

#[test]
fn subscribe_before_connection_init_closes_with_4401() {
    for subprotocol in SUBPROTOCOLS {
        let actions = subscribe(&mut connected(subprotocol), "1");
        assert_eq!(actions, close(4401, "Unauthorized"));
    }
}

#[test]
fn subscribe_while_the_application_decides_closes_with_4401() {
    let mut session = initialising(Subprotocol::TransportWs);
    assert_eq!(subscribe(&mut session, "1"), close(4401, "Unauthorized"));
    assert_eq!(session.accept(None), []);
}

#[test]
fn in_the_older_subprotocol_early_operations_start_with_the_acknowledgement() {
    let mut session = initialising(Subprotocol::LegacyWs);
    assert_eq!(subscribe(&mut session, "1"), []);
    assert_eq!(subscribe(&mut session, "2"), []);
    // It is answered after the acknowledgement was sent.
    assert_eq!(complete(&mut session, "1"), []);
    let accepted = session.accept(None);
    assert!(starts(&accepted[2..3], "2"));
    assert_eq!(accepted[3..], [send(r#"{"id":"1","type":"complete"}"#)]);
}

#[test]
fn early_operations_are_bounded() {
    let mut session = initialising(Subprotocol::LegacyWs);
    for n in 0..MAX_EARLY {
        assert_eq!(subscribe(&mut session, &n.to_string()), []);
    }
    assert_eq!(subscribe(&mut session, "0"), []);
    assert!(
        matches!(&subscribe(&mut session, "x")[..], [Action::Close(close)] if close.code == 4400)
    );
}

#[test]
fn a_second_connection_init_closes_with_4429_acknowledged_or_not() {
    for subprotocol in SUBPROTOCOLS {
        for mut session in [initialising(subprotocol), acknowledged(subprotocol)] {
            let expected = close(4429, "Too many initialisation requests");
            assert_eq!(session.receive_text(INIT), expected);
        }
    }
}

#[test]
fn no_acknowledgement_in_time_closes_with_4408() {
    for subprotocol in SUBPROTOCOLS {
        for mut session in [connected(subprotocol), initialising(subprotocol)] {
            let action = session.initialisation_timed_out();
            let expected = close(4408, "Connection initialisation timeout");
            assert_eq!(action.into_iter().collect::<Vec<_>>(), expected);
        }
        let mut session = acknowledged(subprotocol);
        assert_eq!(session.initialisation_timed_out(), None);
    }
}

#[test]
fn a_payload_of_many_small_values_closes_with_4400() {
    let reason = "Invalid message: the payload of connection_init has too many small values";
    for subprotocol in SUBPROTOCOLS {
        let init = |item: &str, count: usize| {
            let items = vec![item; count].join(",");
            let text = format!(r#"{{"type":"connection_init","payload":{{"a":[{items}]}}}}"#);
            connected(subprotocol).receive_text(&text)
        };
        for item in ["{}", "[]", r#"{"aa":0}"#, "\"ab\"", "0.5"] {
            assert_eq!(init(item, 100_000), close(4400, reason), "{item}");
            let accepted = init(item, 200);
            assert!(
                matches!(accepted[..], [Action::Initialise { .. }]),
                "{item}"
            );
        }
        let text = format!("\"{}\"", "x".repeat(1_000_000));
        assert!(matches!(init(&text, 1)[..], [Action::Initialise { .. }]));
    }
}

#[test]
fn operations_before_the_acknowledgement_are_bounded_in_bytes() {
    let reason = "Invalid message: more than 1000 bytes of operations before the acknowledgement";
    let start = |id: u32, variables: &str| {
        let payload = format!(r#"{{"query":"q","variables":{variables}}}"#);
        format!(r#"{{"type":"start","id":"{id}","payload":{payload}}}"#)
    };
    let variables = format!(r#"{{"a":"{}"}}"#, "x".repeat(400));
    let starts = |id: u32| start(id, &variables);
    let answered = |id: u32| format!(r#"{{"type":"{}","id":"{id}"}}"#, "x".repeat(400));
    let named = |id: u32| {
        format!(
            r#"{{"type":"start","id":"{id}{}","payload":{{"query":"q"}}}}"#,
            "x".repeat(400)
        )
    };
    for message in [&starts as &dyn Fn(u32) -> String, &answered, &named] {
        let mut session = initialising(Subprotocol::LegacyWs);
        session.set_early_bytes(1000);
        assert_eq!(session.receive_text(&message(1)), []);
        assert_eq!(session.receive_text(&message(2)), []);
        assert_eq!(session.receive_text(&message(3)), close(4400, reason));
    }
    // An operation that replaces another one is counted once.
    let mut session = initialising(Subprotocol::LegacyWs);
    session.set_early_bytes(1000);
    for _ in 0..10 {
        assert_eq!(session.receive_text(&starts(1)), []);
    }
}

#[test]
fn an_id_in_use_closes_with_4409_or_starts_again_in_the_older_subprotocol() {
    let mut session = acknowledged(Subprotocol::TransportWs);
    subscribe(&mut session, "1");
    let expected = close(4409, "Subscriber for 1 already exists");
    assert_eq!(subscribe(&mut session, "1"), expected);
    let mut session = acknowledged(Subprotocol::LegacyWs);
    for _ in 0..2 {
        assert!(starts(&subscribe(&mut session, "1"), "1"));
    }
    assert!(session.complete(&"1".into()).is_some());
    assert_eq!(session.complete(&"1".into()), None);
}

#[test]
fn an_id_may_be_used_again_after_its_end_from_either_side() {
    let id = OperationId::from("1");
    for subprotocol in SUBPROTOCOLS {
        let mut session = acknowledged(subprotocol);
        subscribe(&mut session, "1");
        assert!(session.complete(&id).is_some());
        assert!(starts(&subscribe(&mut session, "1"), "1"));
        assert!(session.error(&id, b"[]").is_some());
        assert!(starts(&subscribe(&mut session, "1"), "1"));
        let ended = Action::Complete { id: id.clone() };
        assert_eq!(complete(&mut session, "1").first(), Some(&ended));
        assert!(starts(&subscribe(&mut session, "1"), "1"));
    }
}

#[test]
fn the_older_subprotocol_answers_the_end_of_an_operation() {
    let mut session = acknowledged(Subprotocol::LegacyWs);
    subscribe(&mut session, "1");
    let ended = Action::Complete { id: "1".into() };
    let expected = [ended, send(r#"{"id":"1","type":"complete"}"#)];
    assert_eq!(complete(&mut session, "1"), expected);
}

#[test]
fn the_end_of_an_unknown_id_is_ignored() {
    for subprotocol in SUBPROTOCOLS {
        assert_eq!(complete(&mut acknowledged(subprotocol), "7"), []);
    }
}

#[test]
fn an_operation_ends_once() {
    for subprotocol in SUBPROTOCOLS {
        let mut session = acknowledged(subprotocol);
        subscribe(&mut session, "1");
        complete(&mut session, "1");
        assert_eq!(session.complete(&"1".into()), None);
        assert_eq!(session.error(&"1".into(), b"[]"), None);
    }
}

#[test]
fn ping_is_answered_before_connection_init_with_its_payload() {
    let mut session = connected(Subprotocol::TransportWs);
    let plain = session.receive_text(r#"{"type":"ping"}"#);
    assert_eq!(plain, [send(r#"{"type":"pong"}"#)]);
    let loaded = session.receive_text(r#"{"type":"ping","payload":{"n":1}}"#);
    assert_eq!(loaded, [send(r#"{"type":"pong","payload":{"n":1}}"#)]);
}

#[test]
fn an_unrequested_pong_needs_no_answer() {
    let mut session = connected(Subprotocol::TransportWs);
    let actions = session.receive_text(r#"{"type":"pong","payload":{"n":1}}"#);
    assert_eq!(actions, [Action::Answered]);
}

#[test]
fn a_fault_closes_or_is_answered_in_the_older_subprotocol() {
    let mut session = acknowledged(Subprotocol::TransportWs);
    let expected = close(4400, "Invalid message: it is no JSON object");
    assert_eq!(session.receive_text("[]"), expected);
    let mut session = acknowledged(Subprotocol::LegacyWs);
    assert!(matches!(session.receive_text("[]")[..], [Action::Send(_)]));
    assert!(starts(&subscribe(&mut session, "1"), "1"));
}

#[test]
fn connection_terminate_closes_with_1000() {
    let mut session = acknowledged(Subprotocol::LegacyWs);
    let actions = session.receive_text(r#"{"type":"connection_terminate"}"#);
    assert_eq!(actions, close(1000, ""));
}

#[test]
fn a_binary_message_closes_with_4400_and_after_a_close_every_message_is_ignored() {
    for subprotocol in SUBPROTOCOLS {
        let mut session = acknowledged(subprotocol);
        let action = session.receive_binary();
        let expected = close(4400, "Invalid message: it is binary: send text");
        assert_eq!(action.into_iter().collect::<Vec<_>>(), expected);
        assert_eq!(session.receive_text("nonsense"), []);
        assert_eq!(session.receive_text(INIT), []);
        assert_eq!(session.receive_binary(), None);
    }
}
