//! What leaves a connection, as frames of a WebSocket (RFC 6455, section 5).

use actix_http::ws::{CloseReason, OpCode, Parser};
use bytes::{Bytes, BytesMut};
use runtime::{Outbox, Outgoing};

/// Bytes that one turn hands to the socket. What is past it stays in the outbox, where it is
/// counted and where the slow-consumer policy can reach it.
const WRITE_BATCH_BYTES: usize = 64 * 1024;

/// Writes the frames of what waits; returns how many of them the client has to answer.
pub(crate) fn encode(outbox: &Outbox, frames: &mut BytesMut) -> u64 {
    let mut pings = 0;
    while frames.len() < WRITE_BATCH_BYTES {
        let Some(outgoing) = outbox.pop() else { break };
        let (opcode, payload) = match outgoing {
            Outgoing::Text(message) => (OpCode::Text, message),
            Outgoing::Ping => {
                pings += 1;
                encode_ping(frames);
                continue;
            }
            Outgoing::Pong(payload) => (OpCode::Pong, payload),
            Outgoing::Close(close) => {
                let reason = CloseReason {
                    code: close.code.into(),
                    description: (!close.reason.is_empty()).then_some(close.reason),
                };
                Parser::write_close(frames, Some(reason), false);
                continue;
            }
            // Only responses have one.
            Outgoing::Head(_) => continue,
        };
        Parser::write_message(frames, payload, opcode, true, false);
    }
    pings
}

/// Writes a ping.
pub(crate) fn encode_ping(frames: &mut BytesMut) {
    Parser::write_message(frames, Bytes::new(), OpCode::Ping, true, false);
}
