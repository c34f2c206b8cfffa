//! Finds what ends the part of a text that is written in JSON as it is.

/// Bytes that are looked at together (count).
const BLOCK: usize = 16;

fn is_special(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

/// Returns the number of bytes before the first quote, backslash or control character; all bytes if
/// there is none.
pub(crate) fn plain(bytes: &[u8]) -> usize {
    let mut blocks = bytes.chunks_exact(BLOCK);
    let mut passed = 0;
    for block in blocks.by_ref() {
        // Without a branch for each byte, so that the compiler compares them at once.
        if block
            .iter()
            .fold(false, |any, byte| any | is_special(*byte))
        {
            break;
        }
        passed += BLOCK;
    }
    let rest = bytes[passed..].iter();
    let special = rest.take(BLOCK).position(|byte| is_special(*byte));
    special.map_or_else(|| bytes.len().min(passed + BLOCK), |place| passed + place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_special_byte_is_found_at_every_place() {
        for length in 0..70 {
            let bytes = vec![b'x'; length];
            assert_eq!(plain(&bytes), length);
            for place in 0..length {
                for special in [b'"', b'\\', 0, 0x1f] {
                    let mut bytes = bytes.clone();
                    bytes[place] = special;
                    bytes[length - 1] = bytes[length - 1].min(b'"');
                    assert_eq!(plain(&bytes), place, "{length} {special}");
                }
            }
        }
    }
}
