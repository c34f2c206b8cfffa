//! Entry points for the targets of `fuzz/`: the parsers of bytes from clients. No other code uses
//! this module.

use std::net::SocketAddr;
use std::rc::Rc;

use crate::allowance::Allowance;
use crate::inflate::Inflater;
use crate::proxy_header::HeaderReader;
use crate::scan::{BodyFault, Fault, Scanner};
use crate::ws_decoder::{Incoming, MessageDecoder};

pub use crate::proxy_header::HeaderFault;

/// The result of decoding WebSocket frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// A text message.
    Text(String),
    /// A binary message, a ping or a pong.
    Other,
    /// The client closes, or the frames cannot be decoded any more.
    Close,
    /// The client broke a rule: the code and reason of the close.
    Violation(u16, String),
}

/// Decodes frames that arrive in pieces; messages may have `limit_bytes`, and may be compressed if
/// that was `agreed`.
pub fn decode_frames<'b>(
    pieces: impl IntoIterator<Item = &'b [u8]>,
    limit_bytes: usize,
    agreed: bool,
) -> Vec<Decoded> {
    let inflater = agreed.then(|| Rc::new(Inflater::default()));
    let mut decoder = MessageDecoder::new(limit_bytes, Rc::new(Allowance::new()), inflater);
    let mut decoded = Vec::new();
    for piece in pieces {
        decoder.feed(piece);
        decoded.extend(
            std::iter::from_fn(|| decoder.decode()).map(|incoming| match incoming {
                Incoming::Text(text) => Decoded::Text(text.to_string()),
                Incoming::Binary | Incoming::Ping(_) | Incoming::Pong => Decoded::Other,
                Incoming::Close => Decoded::Close,
                Incoming::Violation(close) => Decoded::Violation(close.code, close.reason),
            }),
        );
    }
    decoded
}

/// The fault in HTTP/1.1 messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedAt {
    /// In the head, from this byte on.
    Head(usize),
    /// In the body of this request, counted from 1: its size, or its lines.
    Body {
        /// Number of the request.
        request: u64,
        /// Whether the body is too large.
        is_too_large: bool,
    },
    /// After the last request of the connection, from this byte on.
    AfterClose(usize),
}

/// Scans HTTP/1.1 messages that arrive in pieces; chunked bodies may have `max_body` bytes.
///
/// # Errors
///
/// The first fault.
pub fn scan_messages<'b>(
    pieces: impl IntoIterator<Item = &'b [u8]>,
    max_body: usize,
) -> Result<(), RefusedAt> {
    let mut scanner = Scanner::new(max_body);
    let mut begin = 0;
    for piece in pieces {
        scanner.read(piece).map_err(|fault| match fault {
            Fault::Head(at) => RefusedAt::Head(begin + at),
            Fault::Body { request, fault, .. } => RefusedAt::Body {
                request,
                is_too_large: fault == BodyFault::TooLarge,
            },
            Fault::AfterClose(at) => RefusedAt::AfterClose(begin + at),
        })?;
        begin += piece.len();
    }
    Ok(())
}

/// Reads a header of the PROXY protocol that arrives in pieces. Returns what it tells, and its length
/// (bytes); `None`: it goes on.
///
/// # Errors
///
/// The fault.
pub fn read_proxy_header<'b>(
    pieces: impl IntoIterator<Item = &'b [u8]>,
) -> Result<Option<(Option<SocketAddr>, usize)>, HeaderFault> {
    let mut reader = HeaderReader::default();
    let mut read = 0;
    for piece in pieces {
        read += piece.len();
        if let Some(header) = reader.read(piece)? {
            return Ok(Some((header.client, read - header.rest)));
        }
    }
    Ok(None)
}
