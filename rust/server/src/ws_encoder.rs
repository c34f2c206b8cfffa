//! Encodes the outbox as WebSocket frames (RFC 6455, section 5), compressed if the client has agreed.

use bytes::{Buf, BufMut};
use protocol::{Close, FramedMessage};
use runtime::{Outbox, Outgoing};

use crate::deflate::Deflate;
use crate::gather::Gathered;
use crate::ws_frame::{MAX_CONTROL_BYTES, OpCode, write_compressed_header, write_header};

/// Bytes that one turn passes to the socket. Further data stays in the outbox, where it is counted
/// and the slow-consumer policy applies.
const WRITE_BATCH_BYTES: usize = 64 * 1024;

/// Longest header of an unmasked frame (bytes).
const MAX_HEADER_BYTES: usize = 10;

/// Writes the frames of the pending messages; returns how many of them the client has to answer.
pub(crate) fn encode(outbox: &Outbox, deflate: Option<&Deflate>, frames: &mut Gathered) -> u64 {
    let mut pings = 0;
    // Bytes that compression has saved count as well: what is compressed in one turn is bounded.
    let mut saved = 0;
    while frames.remaining() + saved < WRITE_BATCH_BYTES {
        let Some(outgoing) = outbox.pop() else { break };
        match outgoing {
            Outgoing::Text(message) => saved += encode_text(&message, deflate, frames),
            Outgoing::Ping => {
                pings += 1;
                encode_ping(frames);
            }
            Outgoing::Pong(payload) => encode_control(OpCode::Pong, &payload, frames),
            Outgoing::Close(close) => encode_close(&close, frames),
            // Only HTTP responses have a head.
            Outgoing::Head(_) => {}
        }
    }
    pings
}

/// Writes a text message; returns the bytes that compression has saved.
fn encode_text(message: &FramedMessage, deflate: Option<&Deflate>, frames: &mut Gathered) -> usize {
    let Some(deflated) = deflate.and_then(|deflate| deflate.compress(message)) else {
        frames.reserve(MAX_HEADER_BYTES + message.len());
        frames.write(|bytes| write_header(OpCode::Text, message.len(), bytes));
        frames.push(message);
        return 0;
    };
    frames.reserve(MAX_HEADER_BYTES + deflated.len());
    frames.write(|bytes| {
        write_compressed_header(deflated.len(), bytes);
        deflated.write_before(bytes);
    });
    frames.push_piece(deflated.response());
    frames.write(|bytes| deflated.write_after(bytes));
    message.len() - deflated.len()
}

/// Writes a ping.
pub(crate) fn encode_ping(frames: &mut Gathered) {
    encode_control(OpCode::Ping, &[], frames);
}

/// Writes a close with its code and reason (section 5.5.1).
fn encode_close(close: &Close, frames: &mut Gathered) {
    let mut payload = close.code.to_be_bytes().to_vec();
    payload.extend_from_slice(close.reason.as_bytes());
    encode_control(OpCode::Close, &payload, frames);
}

fn encode_control(opcode: OpCode, payload: &[u8], frames: &mut Gathered) {
    debug_assert!(payload.len() as u64 <= MAX_CONTROL_BYTES);
    frames.write(|bytes| {
        write_header(opcode, payload.len(), bytes);
        bytes.put_slice(payload);
    });
}
