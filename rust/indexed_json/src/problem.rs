//! Why a text cannot be read.

/// Why a text cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct Unreadable {
    /// The place of the fault (bytes from the beginning).
    pub at: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// There is nothing but white space.
    #[error("it is empty: pass one JSON value, such as null")]
    Empty,
    /// It begins with U+FEFF.
    #[error("it begins with a byte order mark, which JSON does not have: leave it out")]
    ByteOrderMark,
    /// It is not JSON.
    #[error("it is not JSON: {0}")]
    Syntax(String),
    /// A value is followed by something.
    #[error("it is more than one JSON value: pass one, without what follows it")]
    Trailing,
    /// An escape is not a character.
    #[error("a text with a lone surrogate cannot be sent: it has no UTF-8")]
    Surrogate,
    /// A number is too large for a float.
    #[error("a number is out of the range of a double: send it as a string")]
    Number,
    /// An integer is not exact as a float.
    #[error("an integer past 64 bits would lose digits on the way: send it as a string")]
    Digits,
    /// It is nested too deeply.
    #[error("nested deeper than {} levels", crate::MAX_DEPTH)]
    Depth,
    /// It is too long.
    #[error("it has more than {} bytes", crate::MAX_TEXT_BYTES)]
    Length,
}
