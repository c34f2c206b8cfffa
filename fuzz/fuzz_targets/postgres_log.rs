//! Any messages of the log of PostgreSQL: no panic, and each event can be read. A message has its length, in two
//! bytes, before it.

#![no_main]

use brokers::postgres::fuzzing::events;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut rest = Bytes::copy_from_slice(input);
    let messages = std::iter::from_fn(|| {
        let length = usize::from(u16::from_be_bytes(*rest.first_chunk()?));
        let _ = rest.split_to(2);
        let length = length.min(rest.len());
        Some(rest.split_to(length))
    });
    events(messages);
});
