//! Any bytes as frames of a WebSocket, with and without compression: no panic, nothing but the end after a violation, and the same
//! messages however the bytes are cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use server::fuzzing::{Decoded, decode_frames};

const LIMIT: usize = 200;

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    // One bit says whether compression was agreed, the others how the bytes are cut.
    let (agreed, size) = (size & 0x80 != 0, size & 0x7f);
    let decoded = decode_frames([bytes], LIMIT, agreed);
    let cut = decode_frames(bytes.chunks(usize::from(size).max(1)), LIMIT, agreed);
    assert_eq!(cut, decoded);
    let violation = |one: &Decoded| matches!(one, Decoded::Violation(..));
    if let Some(at) = decoded.iter().position(violation) {
        assert!(decoded[at + 1..].iter().all(|one| *one == Decoded::Close));
    }
    for one in decoded {
        match one {
            Decoded::Text(text) => assert!(text.len() <= LIMIT),
            Decoded::Violation(_, reason) => assert!(reason.len() <= 123),
            Decoded::Other | Decoded::Close => {}
        }
    }
});
