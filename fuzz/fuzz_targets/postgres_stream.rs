//! Any bytes of a server of PostgreSQL: the messages of its log do not depend on the pieces in which they
//! arrive.

#![no_main]

use brokers::postgres::fuzzing::read_stream;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [limit, size, stream @ ..] = input else {
        return;
    };
    let (limit, size) = (usize::from(*limit) * 4, usize::from(*size) + 1);
    let at_once = read_stream([stream], limit);
    assert_eq!(read_stream(stream.chunks(size), limit), at_once);
});
