//! Encodes the outbox as WebSocket frames (RFC 6455, section 5).

use bytes::{Buf, BufMut};
use protocol::Close;
use runtime::{Outbox, Outgoing};

use crate::gather::Gathered;
use crate::ws_frame::{MAX_CONTROL_BYTES, OpCode, write_header};

/// Bytes that one turn passes to the socket. Further data stays in the outbox, where it is counted
/// and the slow-consumer policy applies.
const WRITE_BATCH_BYTES: usize = 64 * 1024;

/// Longest header of an unmasked frame (bytes).
const MAX_HEADER_BYTES: usize = 10;

/// Writes the frames of the pending messages; returns how many of them the client has to answer.
pub(crate) fn encode(outbox: &Outbox, frames: &mut Gathered) -> u64 {
    let mut pings = 0;
    while frames.remaining() < WRITE_BATCH_BYTES {
        let Some(outgoing) = outbox.pop() else { break };
        match outgoing {
            Outgoing::Text(message) => {
                frames.reserve(MAX_HEADER_BYTES + message.len());
                frames.write(|bytes| write_header(OpCode::Text, message.len(), bytes));
                frames.push(&message);
            }
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
