//! Measures the cost of permessage-deflate (RFC 7692):
//! `cargo bench --package protocol --bench deflate`. Its numbers are in
//! `docs/decisions/0019-no-permessage-deflate.md`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use flate2::{Compress, Compression, FlushCompress};

/// Number of compressors kept alive to measure the memory of one.
const KEPT: usize = 1000;

/// Results of a subscription, each of about `size` bytes and different from the others.
fn messages(size: usize) -> Vec<Vec<u8>> {
    let mut state = 1_u64;
    let mut random = move || {
        // A linear congruential generator: the values of real events do not repeat either.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state >> 33
    };
    let message = |_| {
        let mut text = r#"{"id":"3f1c","type":"next","payload":{"data":{"orders":["#.to_owned();
        while text.len() < size - 60 {
            let (id, user, total) = (random(), random() % 10_000, random() % 100_000);
            let status = ["NEW", "PAID", "SHIPPED"][(random() % 3) as usize];
            let order = r#"{"__typename":"Order","id":"#;
            write!(
                text,
                "{order}{id},\"status\":\"{status}\",\"userId\":{user},\"total\":{total}}},"
            )
            .unwrap();
        }
        text.push_str("null]}}}");
        text.into_bytes()
    };
    (0..256).map(message).collect()
}

/// Returns the microseconds for a message, and the compressed size as a share of the original.
fn measure(messages: &[Vec<u8>], level: u32, takeover: bool) -> (f64, f64) {
    let mut deflate = Compress::new_with_window_bits(Compression::new(level), false, 15);
    let mut out = Vec::with_capacity(64 * 1024);
    let (mut count, mut taken, mut left) = (0_u32, 0, 0);
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(500) {
        for message in messages {
            out.clear();
            if !takeover {
                deflate.reset();
            }
            let flush = FlushCompress::Sync;
            deflate.compress_vec(message, &mut out, flush).unwrap();
            count += 1;
            taken += message.len();
            left += black_box(&out).len() - 4; // RFC 7692 removes the last four bytes.
        }
    }
    let spent = start.elapsed().as_secs_f64() * 1e6;
    (spent / f64::from(count), left as f64 / taken as f64)
}

fn resident_kib() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4
}

fn main() {
    for size in [200, 2048, 20_480] {
        let messages = messages(size);
        let bytes = messages[0].len();
        for level in [1, 6] {
            for takeover in [false, true] {
                let (us, left) = measure(&messages, level, takeover);
                let context = if takeover { "takeover" } else { "none" };
                let percent = left * 100.0;
                let line = format!("{bytes:6} B  level {level}  context {context:8}");
                println!("{line}  {us:8.2} us  {percent:5.1} % left");
            }
        }
    }
    let message = &messages(2048)[0];
    for bits in [9, 15] {
        let before = resident_kib();
        let mut kept = Vec::with_capacity(KEPT);
        for _ in 0..KEPT {
            let mut deflate = Compress::new_with_window_bits(Compression::new(6), false, bits);
            let mut buffer = Vec::with_capacity(4096);
            deflate
                .compress_vec(message, &mut buffer, FlushCompress::Sync)
                .unwrap();
            kept.push(deflate);
        }
        let each = (resident_kib() - before) / KEPT;
        println!("window of {bits} bits: {each} KiB for a connection");
        drop(kept);
    }
}
