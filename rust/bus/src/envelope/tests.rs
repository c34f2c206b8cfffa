//! Tests of the envelope: reading returns what was written, any bytes are read or refused with a
//! reason, and the example in the document is right.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::Draft;

const DOCUMENT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../docs/reference/envelope.md"
);

fn draft() -> Draft {
    Draft {
        channel: "orders".into(),
        event_type: Some("created".into()),
        tenant_id: Some("acme".into()),
        id: Some("o-1".into()),
        data: json!({"total": 12.5}).into(),
        trace: None,
    }
}

fn written(draft: &Draft) -> Bytes {
    Envelope::write(draft, 1_764_100_000_000, 7).unwrap()
}

fn read(bytes: &Bytes) -> Result<Envelope<'_>, EnvelopeError> {
    Envelope::read(bytes, false)
}

/// Returns [`draft`] as an envelope with bytes added at the end of its head.
fn with_trailing(added: &[u8]) -> Vec<u8> {
    let mut bytes = written(&draft()).to_vec();
    let length = u16::from_le_bytes([bytes[2], bytes[3]]);
    let end = PREFIX + usize::from(length);
    bytes.splice(end..end, added.iter().copied());
    bytes[2..4].copy_from_slice(&(length + added.len() as u16).to_le_bytes());
    bytes
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |value, level| match level % 2 {
        0 => json!([value]),
        _ => json!({ "a": value }),
    })
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => Just(String::new()),
        4 => "\\PC{1,40}",
        1 => ".{1,60}",
        1 => Just("x".repeat(MAX_FIELD_BYTES)),
    ]
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((".{0,8}", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn drafts() -> impl Strategy<Value = Draft> {
    let optional = || prop::option::of(texts().prop_map(Arc::<str>::from));
    let channel = texts().prop_filter("a channel has a character", |text| !text.is_empty());
    let texts = (channel, optional(), optional(), optional());
    (texts, values(), traces()).prop_map(|((channel, event_type, tenant_id, id), data, trace)| {
        Draft {
            channel: channel.into(),
            event_type,
            tenant_id,
            id,
            data: data.into(),
            trace,
        }
    })
}

fn traces() -> impl Strategy<Value = Option<Box<TraceContext>>> {
    let state = prop::option::of("[a-z=,]{0,300}");
    (any::<[u8; 16]>(), any::<[u8; 8]>(), any::<u8>(), state).prop_map(
        |(trace_id, span_id, flags, state)| {
            TraceContext::new(trace_id, span_id, flags, state.as_deref()).map(Box::new)
        },
    )
}

proptest! {
    #[test]
    fn a_written_envelope_is_read_unchanged(draft in drafts(), published_at: u64, node: u32) {
        let bytes = Envelope::write(&draft, published_at, node).unwrap();
        let envelope = read(&bytes).unwrap();
        prop_assert_eq!(envelope.id, draft.id.as_deref());
        prop_assert_eq!(envelope.event_type, draft.event_type.as_deref());
        prop_assert_eq!(envelope.tenant, draft.tenant_id.as_deref());
        prop_assert_eq!(envelope.channel, Some(&*draft.channel));
        prop_assert_eq!(envelope.published_at, published_at);
        prop_assert_eq!(envelope.node, node);
        prop_assert_eq!(envelope.trace.as_ref(), draft.trace.as_deref());
        let data = envelope.json().unwrap();
        // As text: the order of members counts, and 1.0 is not 1.
        prop_assert_eq!(data.to_string(), draft.data.to_string());
        prop_assert_eq!(data, draft.data);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>, accept_raw: bool) {
        let bytes = Bytes::from(bytes);
        if let Ok(envelope) = Envelope::read(&bytes, accept_raw) {
            let _ = envelope.json();
        }
    }

    #[test]
    fn damaged_envelopes_are_read_or_refused(
        draft in drafts(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut bytes = written(&draft).to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let bytes = Bytes::from(bytes);
        if let Ok(envelope) = Envelope::read(&bytes, true) {
            let _ = envelope.json();
        }
    }
}

#[test]
fn an_envelope_that_ends_early_is_refused_at_every_byte() {
    let whole = written(&draft());
    for end in 0..whole.len() {
        let bytes = whole.slice(..end);
        let data = read(&bytes).and_then(|envelope| envelope.json());
        assert!(data.is_err(), "{end} bytes: {data:?}");
    }
}

#[test]
fn a_head_that_ends_early_names_the_field() {
    let whole = written(&draft());
    let length = u16::from_le_bytes([whole[2], whole[3]]);
    let mut named = Vec::new();
    for head in 0..length {
        let mut bytes = whole.to_vec();
        bytes[2..4].copy_from_slice(&head.to_le_bytes());
        match read(&Bytes::from(bytes)) {
            Err(EnvelopeError::Truncated { field }) => named.push(field),
            other => panic!("{head} bytes of the head: {other:?}"),
        }
    }
    named.dedup();
    assert_eq!(
        named,
        ["id", "type", "tenant", "channel", "published_at", "node"]
    );
}

#[test]
fn data_are_a_part_of_the_bytes_that_were_read() {
    let bytes = written(&draft());
    let data = read(&bytes).unwrap().data();
    assert_eq!(data, r#"{"total":12.5}"#);
    assert_eq!(data.as_ptr_range().end, bytes.as_ptr_range().end);
}

#[test]
fn data_that_are_no_json_are_refused_when_they_are_asked_for() {
    let mut bytes = written(&draft()).to_vec();
    bytes.pop();
    let bytes = Bytes::from(bytes);
    let envelope = read(&bytes).unwrap();
    assert_eq!(envelope.channel, Some("orders"));
    assert!(matches!(envelope.json(), Err(EnvelopeError::Json(_))));
}

#[test]
fn numbers_are_read_as_elsewhere() {
    let data = |text: &str| {
        let bytes = Bytes::from(text.to_owned());
        let envelope = Envelope::read(&bytes, true).unwrap();
        envelope
            .json()
            .map(|value| value.root().to_value()["n"].clone())
    };
    assert_eq!(data(r#"{"n":18446744073709551615}"#), Ok(json!(u64::MAX)));
    assert_eq!(
        data(r#"{"n":18446744073709551616}"#),
        Ok(json!(18_446_744_073_709_551_616_f64))
    );
    assert_eq!(data(r#"{"n":0.1,"n":2}"#), Ok(json!(2)));
    assert!(data(r#"{"n":1e999}"#).is_err());
}

#[test]
fn data_are_written_as_deep_as_they_can_be_read() {
    for levels in [MAX_DATA_DEPTH - 1, MAX_DATA_DEPTH] {
        let draft = Draft {
            data: nested(levels).into(),
            ..draft()
        };
        assert_eq!(read(&written(&draft)).unwrap().json(), Ok(draft.data));
    }
    let deeper = Draft {
        data: nested(MAX_DATA_DEPTH + 1).into(),
        ..draft()
    };
    assert_eq!(Envelope::write(&deeper, 0, 0), Err(EnvelopeError::TooDeep));
    let text = Bytes::from(
        nested(MAX_DATA_DEPTH + 1)
            .to_string()
            .replacen('[', "{\"a\":[", 1),
    );
    assert!(Envelope::read(&text, true).is_ok_and(|envelope| envelope.json().is_err()));
}

#[test]
fn values_past_the_limits_are_not_written() {
    let long: Arc<str> = "ä".repeat(MAX_FIELD_BYTES / 2 + 1).into();
    let bytes = long.len();
    let id = Some(long.clone());
    for (field, draft) in [
        (
            "id",
            Draft {
                id: id.clone(),
                ..draft()
            },
        ),
        (
            "type",
            Draft {
                event_type: id.clone(),
                ..draft()
            },
        ),
        (
            "tenant",
            Draft {
                tenant_id: id,
                ..draft()
            },
        ),
        (
            "channel",
            Draft {
                channel: long,
                ..draft()
            },
        ),
    ] {
        assert_eq!(
            Envelope::write(&draft, 0, 0),
            Err(EnvelopeError::FieldTooLong { field, bytes })
        );
    }
    let nameless = Draft {
        channel: "".into(),
        ..draft()
    };
    assert_eq!(
        Envelope::write(&nameless, 0, 0),
        Err(EnvelopeError::NoChannel)
    );
}

#[test]
fn bytes_that_are_not_an_envelope_are_refused_with_the_reason() {
    let with = |at: usize, byte: u8| {
        let mut bytes = written(&draft()).to_vec();
        bytes[at] = byte;
        Bytes::from(bytes)
    };
    // Byte 4 is the length of the id, byte 5 is its first character.
    for (bytes, error) in [
        (Bytes::new(), EnvelopeError::TooShort { bytes: 0 }),
        (
            Bytes::from_static(&[1, 0, 0]),
            EnvelopeError::TooShort { bytes: 3 },
        ),
        (with(0, 0), EnvelopeError::NoVersion { byte: 0 }),
        (
            Bytes::from_static(b"hello"),
            EnvelopeError::NoVersion { byte: b'h' },
        ),
        (
            Bytes::from_static(b"[1]"),
            EnvelopeError::NoVersion { byte: b'[' },
        ),
        (Bytes::from_static(b"{}"), EnvelopeError::Raw),
        (with(0, 2), EnvelopeError::Newer { version: 2 }),
        (with(1, 1), EnvelopeError::Reserved { what: "compressed" }),
        (with(1, 2), EnvelopeError::Reserved { what: "signed" }),
        (
            with(1, 0x48),
            EnvelopeError::Flags {
                flags: 0x48,
                unused: 0x48,
            },
        ),
        (
            with(3, 9),
            EnvelopeError::HeadTooLong {
                head: 9 * 256 + 36,
                rest: 50,
            },
        ),
        (with(5, 0xC3), EnvelopeError::NotUtf8 { field: "id" }),
        (
            Bytes::from_static(&[
                1, 0, 16, 0, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'1',
            ]),
            EnvelopeError::NoChannel,
        ),
        (
            Bytes::from_static(&[
                1, 0, 16, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'1',
            ]),
            EnvelopeError::NoChannel,
        ),
    ] {
        assert_eq!(read(&bytes).map(|_| ()), Err(error), "{bytes:?}");
    }
}

#[test]
fn extensions_are_skipped() {
    let trailing = with_trailing(&[0x41, 3, 0, 1, 2, 3, 0x00, 2, 0, 1, 9, 0x42, 0, 0]).into();
    let envelope = read(&trailing).unwrap();
    assert_eq!(envelope.node, 7);
    assert_eq!(envelope.json(), Ok(json!({"total": 12.5}).into()));

    let twice = with_trailing(&[0x41, 0, 0, 0x41, 1, 0, 7]).into();
    assert_eq!(read(&twice), Err(EnvelopeError::Duplicate { key: 0x41 }));
    for cut in [&[0x41][..], &[0x41, 0], &[0x41, 2, 0, 1]] {
        assert_eq!(
            read(&with_trailing(cut).into()),
            Err(EnvelopeError::Truncated { field: "extension" })
        );
    }
}

#[test]
fn a_newer_version_is_read_where_its_writer_says_that_it_can_be() {
    let newer = |added: &[u8]| {
        let mut bytes = with_trailing(added);
        bytes[0] = 2;
        // A flag that only that version defines.
        bytes[1] = 0x80;
        Bytes::from(bytes)
    };
    let for_this = newer(&[0x00, 1, 0, 1, 0x50, 1, 0, 5]);
    assert_eq!(read(&for_this).unwrap().id, Some("o-1"));
    for added in [&[][..], &[0x00, 1, 0, 2], &[0x00, 0, 0], &[0x00, 9]] {
        assert_eq!(
            read(&newer(added)),
            Err(EnvelopeError::Newer { version: 2 })
        );
    }
}

/// Returns an envelope with these bytes as its trace context.
fn traced(context: &[u8]) -> Bytes {
    let mut bytes = with_trailing(context);
    bytes[1] = 4;
    bytes.into()
}

#[test]
fn a_trace_context_is_read() {
    let bytes = traced(&[&[7; 25][..], &[3], b"a=b"].concat());
    let envelope = read(&bytes).unwrap();
    let trace = envelope.trace.as_ref().unwrap();
    assert_eq!(
        trace.traceparent(),
        format!("00-{}-{}-07", "07".repeat(16), "07".repeat(8))
    );
    assert_eq!(trace.state.as_deref(), Some("a=b"));
    assert_eq!(envelope.json(), Ok(json!({"total": 12.5}).into()));
    assert_eq!(
        read(&traced(&[7; 24])).map(|_| ()),
        Err(EnvelopeError::Truncated {
            field: "trace_flags"
        })
    );
}

#[test]
fn a_malformed_trace_context_does_not_cost_the_event() {
    let no_trace = [&[0; 16][..], &[7; 9], &[ABSENT]].concat();
    let no_span = [&[7; 16][..], &[0; 8], &[1, ABSENT]].concat();
    for context in [no_trace, no_span] {
        let bytes = traced(&context);
        let envelope = read(&bytes).unwrap();
        assert_eq!((envelope.id, envelope.trace), (Some("o-1"), None));
    }
    let bytes = traced(&[&[7; 25][..], &[2, 0xC3, 0x28]].concat());
    let trace = read(&bytes).unwrap().trace.unwrap();
    assert_eq!(trace.state, None);
}

#[test]
fn bare_json_is_data_where_it_is_accepted() {
    let bytes = Bytes::from_static(br#"{"id": 1}"#);
    let envelope = Envelope::read(&bytes, true).unwrap();
    assert_eq!(
        (
            envelope.id,
            envelope.event_type,
            envelope.tenant,
            envelope.channel
        ),
        (None, None, None, None)
    );
    assert_eq!(envelope.json(), Ok(json!({"id": 1}).into()));
    assert_eq!(envelope.data(), bytes);
}

/// Returns the bytes of a block of the document: two hexadecimal digits each, and a comment after
/// two spaces.
fn block(document: &str, heading: &str) -> Bytes {
    let (_, section) = document.split_once(heading).expect(heading);
    let (_, text) = section.split_once("```text\n").expect("a block");
    let (text, _) = text.split_once("```").expect("the end of the block");
    let bytes = text.lines().flat_map(|line| {
        let digits = line.split_once("  ").map_or(line, |(digits, _)| digits);
        digits
            .split_whitespace()
            .map(|byte| u8::from_str_radix(byte, 16).unwrap())
    });
    bytes.collect()
}

#[test]
fn the_example_of_the_document_is_read_and_written() {
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let bytes = block(&document, "## An example");
    let envelope = read(&bytes).unwrap();
    let example = Draft {
        channel: "orders.42".into(),
        event_type: Some("order_paid".into()),
        tenant_id: None,
        id: Some("pay-7".into()),
        data: json!({"id": 42, "total": 12.5}).into(),
        trace: None,
    };
    assert_eq!(envelope.id, example.id.as_deref());
    assert_eq!(envelope.event_type, example.event_type.as_deref());
    assert_eq!(envelope.tenant, None);
    assert_eq!(envelope.channel, Some("orders.42"));
    assert_eq!(envelope.published_at, 1_764_158_400_000);
    assert_eq!(envelope.node, 0);
    assert_eq!(envelope.json().unwrap(), example.data);
    assert_eq!(Envelope::write(&example, 1_764_158_400_000, 0), Ok(bytes));
}
