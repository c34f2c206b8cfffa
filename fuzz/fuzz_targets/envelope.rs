//! Any bytes as an envelope: no panic, and what is read is within the bytes.

#![no_main]

use bus::Envelope;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((options, bytes)) = input.split_first() else {
        return;
    };
    let bytes = Bytes::copy_from_slice(bytes);
    let Ok(envelope) = Envelope::read(&bytes, options & 1 == 1) else {
        return;
    };
    assert!(bytes.ends_with(&envelope.data()));
    assert_ne!(envelope.channel, Some(""));
    if let Ok(data) = envelope.json() {
        let text = data.to_string();
        assert_eq!(data, serde_json::from_str::<serde_json::Value>(&text).unwrap());
    }
});
