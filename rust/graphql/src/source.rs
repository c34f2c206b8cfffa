//! The text of a document, and locations in it.

use crate::error::Location;

/// A text in which locations are found in logarithmic time.
#[derive(Debug)]
pub(crate) struct Source {
    /// Byte offset of each line's first character.
    line_starts: Vec<usize>,
    /// For each character outside ASCII: the offset after it, and the number of UTF-8 bytes minus
    /// the number of UTF-16 units up to there.
    surpluses: Vec<(usize, usize)>,
}

impl Source {
    pub(crate) fn new(text: &str) -> Self {
        let mut line_starts = vec![0];
        let mut surpluses = Vec::new();
        let mut surplus = 0;
        let mut characters = text.char_indices().peekable();
        while let Some((offset, character)) = characters.next() {
            let after = offset + character.len_utf8();
            let is_line_end = match character {
                '\n' => true,
                '\r' => !matches!(characters.peek(), Some((_, '\n'))),
                _ => false,
            };
            if is_line_end {
                line_starts.push(after);
            }
            if !character.is_ascii() {
                surplus += character.len_utf8() - character.len_utf16();
                surpluses.push((after, surplus));
            }
        }
        Self {
            line_starts,
            surpluses,
        }
    }

    /// Returns its memory on the heap (bytes).
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(self.line_starts.as_slice()) + size_of_val(self.surpluses.as_slice())
    }

    /// Returns the location of a byte.
    pub(crate) fn locate(&self, offset: usize) -> Location {
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let line_start = self
            .line_starts
            .get(line.wrapping_sub(1))
            .copied()
            .unwrap_or(0);
        let surplus = self.surplus(offset) - self.surplus(line_start);
        Location {
            line,
            column: offset - line_start - surplus + 1,
        }
    }

    fn surplus(&self, offset: usize) -> usize {
        let characters = self
            .surpluses
            .partition_point(|(after, _)| *after <= offset);
        let last = characters
            .checked_sub(1)
            .and_then(|last| self.surpluses.get(last));
        last.map_or(0, |(_, surplus)| *surplus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str, what: &str) -> (usize, usize) {
        let Location { line, column } = Source::new(text).locate(text.find(what).unwrap());
        (line, column)
    }

    #[test]
    fn all_line_ends_of_the_specification_count_once() {
        assert_eq!(place("x", "x"), (1, 1));
        assert_eq!(place("a\nb\r\nc\rd x", "x"), (4, 3));
        assert_eq!(place("a\n\n  x", "x"), (3, 3));
    }

    #[test]
    fn columns_count_utf_16_units() {
        assert_eq!(place("# é\n# 😀é x", "x"), (2, 7));
    }
}
