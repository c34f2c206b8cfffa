//! Compressed messages: the rules of RFC 7692 for frames, and bounds.

use flate2::{Compress, Compression, FlushCompress};

use super::tests::frame;
use super::*;

const LIMIT: usize = 200_000;

/// First bytes of frames with RSV1.
const TEXT: u8 = 0xc1;
const TEXT_BEGIN: u8 = 0x41;
const BINARY: u8 = 0xc2;

fn deflated(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 1_000);
    Compress::new(Compression::new(6), false)
        .compress_vec(text, &mut out, FlushCompress::Sync)
        .unwrap();
    out.truncate(out.len() - 4);
    out
}

/// Decodes the bytes at once and byte by byte.
fn decode(bytes: &[u8]) -> Vec<Incoming> {
    let messages = decode_chunks(bytes, bytes.len());
    assert_eq!(decode_chunks(bytes, 1_000), messages);
    messages
}

fn decode_chunks(bytes: &[u8], size: usize) -> Vec<Incoming> {
    let inflater = Some(Rc::default());
    let mut decoder = MessageDecoder::new(LIMIT, Rc::new(Allowance::new()), inflater);
    let mut messages = Vec::new();
    for chunk in bytes.chunks(size) {
        decoder.feed(chunk);
        messages.extend(std::iter::from_fn(|| decoder.decode()));
    }
    messages
}

fn closed_with(bytes: &[u8]) -> Close {
    match &decode(bytes)[..] {
        [Incoming::Violation(close), ..] => close.clone(),
        messages => panic!("{messages:?}"),
    }
}

#[test]
fn compressed_and_plain_messages_alternate() {
    let payload = deflated(b"hello");
    let (begin, end) = payload.split_at(2);
    let bytes = [
        frame(TEXT, &payload),
        frame(0x81, b"plain"),
        frame(TEXT_BEGIN, begin),
        frame(0x89, b"p"),
        frame(0x00, b""),
        frame(0x80, end),
        frame(BINARY, &payload),
        frame(TEXT, b"\x00"),
    ]
    .concat();
    let text = |text: &'static str| Incoming::Text(text.into());
    let expected = [
        text("hello"),
        text("plain"),
        Incoming::Ping("p".into()),
        text("hello"),
        Incoming::Binary,
        text(""),
    ];
    assert_eq!(decode(&bytes), expected);
}

#[test]
fn reserved_bits_are_checked() {
    for bytes in [
        frame(0xa1, b"a"),
        frame(0xd1, b"a"),
        frame(0xc9, b""),
        frame(0xca, b""),
        frame(0xc8, b""),
        [frame(TEXT_BEGIN, b"a"), frame(0xc0, b"a")].concat(),
        [frame(0x01, b"a"), frame(0xc0, b"a")].concat(),
    ] {
        assert_eq!(closed_with(&bytes).code, 1002, "{bytes:x?}");
    }
}

#[test]
fn broken_streams_and_texts_are_violations_1007() {
    assert_eq!(
        closed_with(&frame(TEXT, b"\xff\xff")),
        Close::invalid_compression()
    );
    let broken = deflated(b"\xff\xfe");
    assert_eq!(closed_with(&frame(TEXT, &broken)), Close::invalid_text());
}

#[test]
fn a_bomb_is_a_violation_1009_also_in_fragments() {
    let bomb = deflated(&vec![b'a'; LIMIT + 1]);
    assert!(bomb.len() < 1_000);
    let too_big = Close::message_too_big(LIMIT);
    assert_eq!(closed_with(&frame(TEXT, &bomb)), too_big);
    let (begin, end) = bomb.split_at(100);
    let bytes = [frame(TEXT_BEGIN, begin), frame(0x80, end)].concat();
    assert_eq!(closed_with(&bytes), too_big);
    let largest = deflated("a".repeat(LIMIT).as_bytes());
    assert!(
        matches!(&decode(&frame(TEXT, &largest))[..], [Incoming::Text(text)] if text.len() == LIMIT)
    );
}

#[test]
fn much_out_of_few_bytes_is_taken_from_the_allowance() {
    let bomb = frame(TEXT, &deflated("a".repeat(LIMIT).as_bytes()));
    let messages = decode_chunks(&bomb.repeat(500), usize::MAX);
    let end = messages
        .iter()
        .position(|one| matches!(one, Incoming::Violation(_)));
    let violation = Incoming::Violation(Close::too_much_inflated());
    assert_eq!(messages.get(end.unwrap()), Some(&violation));
    // The allowance grows with time, so a slow machine takes some more.
    assert!(end.unwrap() >= 50, "{end:?}");
    assert_eq!(messages.len(), end.unwrap() + 1);
}

#[test]
fn usual_messages_are_not_taken_from_the_allowance() {
    let order = |n: u32| {
        format!(
            r#"{{"id":{},"status":"PAID","total":{}}},"#,
            n * 7919,
            n % 977
        )
    };
    let orders: String = (0..4_000).map(order).collect();
    let message = frame(TEXT, &deflated(orders.as_bytes()));
    assert_eq!(decode(&message.repeat(300)).len(), 300);
}
