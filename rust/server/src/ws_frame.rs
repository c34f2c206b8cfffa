//! WebSocket frames (RFC 6455, section 5.2): reads and writes headers, unmasks payloads.
//!
//! Not here: the order of frames (`ws_decoder`), messages to send (`ws_encoder`).

use bytes::{BufMut, BytesMut};

/// Longest payload of a close, ping or pong (bytes): section 5.5.
pub(crate) const MAX_CONTROL_BYTES: u64 = 125;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const COMPRESSED: u8 = 0x40;
const MASKED: u8 = 0x80;
const LENGTH_IN_2: u8 = 126;
const LENGTH_IN_8: u8 = 127;

/// The opcode of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpCode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl OpCode {
    /// Parses an opcode; `None`: it is reserved.
    fn read(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }

    /// Whether it is a close, ping or pong.
    pub(crate) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Whether the frame ends its message.
    pub(crate) is_final: bool,
    /// The bits RSV1 to RSV3, as the value of three bits. They belong to extensions.
    pub(crate) reserved: u8,
    /// `None`: a reserved opcode.
    pub(crate) opcode: Option<OpCode>,
    /// The mask of the payload; `None`: unmasked.
    pub(crate) mask: Option<[u8; 4]>,
    /// The length that the first two bytes tell: 126 and 127 say that another one follows.
    short_length: u8,
    /// Length of the payload (bytes), as far as it was received: before that [`Self::short_length`].
    pub(crate) length: u64,
    /// Length of the header itself (bytes).
    pub(crate) size: usize,
}

/// The received part of a frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadHeader {
    /// Too few bytes to read any field.
    Nothing,
    /// The first two bytes. The length is that of a short frame, or 126 or 127, which announce a
    /// longer one; the mask is unknown.
    Begun(FrameHeader),
    /// The header is complete except for the mask.
    Measured(FrameHeader),
    /// The complete header.
    Whole(FrameHeader),
}

impl FrameHeader {
    /// The value of `reserved` for a compressed message (RFC 7692, section 6): RSV1.
    pub(crate) const COMPRESSED: u8 = COMPRESSED >> 4;

    /// Parses the header of the frame at the beginning of `bytes`.
    pub(crate) fn read(bytes: &[u8]) -> ReadHeader {
        let [first, second, rest @ ..] = bytes else {
            return ReadHeader::Nothing;
        };
        let (is_masked, mark) = (second & MASKED != 0, second & !MASKED);
        let length_bytes = match mark {
            LENGTH_IN_2 => 2,
            LENGTH_IN_8 => 8,
            _ => 0,
        };
        let mut header = Self {
            is_final: first & FIN != 0,
            reserved: (first & RESERVED) >> 4,
            opcode: OpCode::read(first & 0x0f),
            mask: is_masked.then_some([0; 4]),
            short_length: mark,
            length: u64::from(mark),
            size: 2 + length_bytes + if is_masked { 4 } else { 0 },
        };
        let Some((length, rest)) = rest.split_at_checked(length_bytes) else {
            return ReadHeader::Begun(header);
        };
        if !length.is_empty() {
            let join = |length, byte: &u8| length << 8 | u64::from(*byte);
            header.length = length.iter().fold(0, join);
        }
        match (&mut header.mask, rest.first_chunk()) {
            (Some(_), None) => return ReadHeader::Measured(header),
            (Some(mask), Some(read)) => *mask = *read,
            (None, _) => {}
        }
        ReadHeader::Whole(header)
    }

    /// Whether its first two bytes announce what a control frame may have (section 5.5).
    pub(crate) fn may_be_control(&self) -> bool {
        u64::from(self.short_length) <= MAX_CONTROL_BYTES
    }

    /// Whether its length is written as section 5.2 wants it: with as few bytes as it takes, and
    /// with 63 bits at most. Of a header whose length was received.
    pub(crate) fn is_length_minimal(&self) -> bool {
        match self.short_length {
            LENGTH_IN_2 => self.length > MAX_CONTROL_BYTES,
            LENGTH_IN_8 => self.length > u64::from(u16::MAX) && self.length >> 63 == 0,
            _ => true,
        }
    }
}

/// Writes the unmasked header of a complete message or a control frame of the server.
pub(crate) fn write_header(opcode: OpCode, length: usize, out: &mut BytesMut) {
    write(FIN | opcode.bits(), length, out);
}

/// Writes the unmasked header of a complete text message that is compressed.
pub(crate) fn write_compressed_header(length: usize, out: &mut BytesMut) {
    write(FIN | COMPRESSED | OpCode::Text.bits(), length, out);
}

fn write(first: u8, length: usize, out: &mut BytesMut) {
    out.put_u8(first);
    match u8::try_from(length) {
        Ok(short) if short < LENGTH_IN_2 => out.put_u8(short),
        _ => match u16::try_from(length) {
            Ok(length) => {
                out.put_u8(LENGTH_IN_2);
                out.put_u16(length);
            }
            Err(_) => {
                out.put_u8(LENGTH_IN_8);
                out.put_u64(length as u64);
            }
        },
    }
}

/// Masks or unmasks a payload: section 5.3.
pub(crate) fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let word = u64::from_ne_bytes([
        mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3],
    ]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
    // The rest has up to seven bytes, and the mask four.
    for (byte, mask) in rest.iter_mut().skip(4).zip(mask) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        for length in [0, 1, 125, 126, 127, 0xffff, 0x1_0000, 1 << 20] {
            for opcode in [OpCode::Text, OpCode::Binary, OpCode::Ping] {
                let mut bytes = BytesMut::new();
                write_header(opcode, length, &mut bytes);
                let header = FrameHeader {
                    is_final: true,
                    reserved: 0,
                    opcode: Some(opcode),
                    mask: None,
                    short_length: bytes[1],
                    length: length as u64,
                    size: bytes.len(),
                };
                assert_eq!(FrameHeader::read(&bytes), ReadHeader::Whole(header));
                for cut in 0..bytes.len() {
                    let read = FrameHeader::read(&bytes[..cut]);
                    assert!(!matches!(read, ReadHeader::Whole(..)), "{read:?}");
                }
            }
        }
    }

    #[test]
    fn every_bit_of_a_masked_header_is_read() {
        let bytes = [0x51, 0xfe, 1, 0, 1, 2, 3, 4, 9];
        let header = FrameHeader {
            is_final: false,
            reserved: 0b101,
            opcode: Some(OpCode::Text),
            mask: Some([1, 2, 3, 4]),
            short_length: LENGTH_IN_2,
            length: 256,
            size: 8,
        };
        assert_eq!(FrameHeader::read(&bytes), ReadHeader::Whole(header));
        let unknown = FrameHeader {
            mask: Some([0; 4]),
            ..header
        };
        assert_eq!(
            FrameHeader::read(&bytes[..7]),
            ReadHeader::Measured(unknown)
        );
        let begun = FrameHeader {
            length: 126,
            ..unknown
        };
        assert_eq!(FrameHeader::read(&bytes[..3]), ReadHeader::Begun(begun));
    }

    #[test]
    fn a_mask_is_put_on_and_removed() {
        for length in 0..40 {
            let payload: Vec<u8> = (0..length).collect();
            let mut masked = payload.clone();
            unmask(&mut masked, [1, 2, 3, 4]);
            let one_by_one = payload.iter().zip([1, 2, 3, 4].iter().cycle());
            assert!(
                masked.iter().eq(one_by_one
                    .map(|(byte, mask)| byte ^ mask)
                    .collect::<Vec<_>>()
                    .iter())
            );
            unmask(&mut masked, [1, 2, 3, 4]);
            assert_eq!(masked, payload);
        }
    }
}
