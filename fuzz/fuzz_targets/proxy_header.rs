//! Any bytes as the header of a proxy: no panic, and the same result however the bytes are cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use server::fuzzing::read_proxy_header;

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let read = read_proxy_header([bytes]);
    let cut = read_proxy_header(bytes.chunks(usize::from(size).max(1)));
    assert_eq!(cut, read);
    if let Ok(Some((_, length))) = read {
        // The header is whole with its last byte, and does not depend on what follows.
        assert_eq!(read_proxy_header([&bytes[..length]]), read);
        assert_eq!(read_proxy_header([&bytes[..length - 1]]), Ok(None));
    }
});
