//! Any bytes as requests of HTTP/1.1: no panic, and the same fault however the bytes are cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use server::fuzzing::{RefusedAt, scan_messages};

const MAX_BODY: usize = 100;

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let scanned = scan_messages([bytes], MAX_BODY);
    let cut = scan_messages(bytes.chunks(usize::from(size).max(1)), MAX_BODY);
    assert_eq!(cut, scanned);
    if let Err(RefusedAt::Head(at)) = scanned {
        assert_eq!(bytes[at], b'\n');
    }
});
