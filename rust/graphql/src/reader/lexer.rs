//! Tokens of a document.

/// Past so many bytes a number is left to the compiler, which knows how far numbers may go.
const MAX_NUMBER_BYTES: usize = 15;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// One of `! $ ( ) : = @ [ ] { } |` and `&`.
    Punctuation(u8),
    /// `...`
    Spread,
    Name,
    Int,
    Float,
    /// With its quotes; it has no escapes.
    String,
    End,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) start: usize,
    pub(super) end: usize,
}

pub(super) struct Lexer<'t> {
    bytes: &'t [u8],
    position: usize,
    /// Tokens so far, those without a meaning included, as the compiler counts them.
    pub(super) all: usize,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            bytes: text.as_bytes(),
            position: 0,
            all: 0,
        }
    }

    fn at(&self, position: usize) -> u8 {
        self.bytes.get(position).copied().unwrap_or(0)
    }

    fn skip(&mut self, is_part: impl Fn(u8) -> bool) {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let length = rest.iter().position(|byte| !is_part(*byte));
        self.position += length.unwrap_or(rest.len());
    }

    /// Skips white space, commas and comments.
    fn ignored(&mut self) {
        loop {
            match self.at(self.position) {
                b' ' | b'\t' | b'\n' | b'\r' => {
                    self.skip(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
                }
                b',' => self.position += 1,
                b'#' => self.skip(|byte| !matches!(byte, b'\n' | b'\r')),
                _ => return,
            }
            self.all += 1;
        }
    }

    /// Returns the next token; `None`: the compiler has to decide.
    pub(super) fn next(&mut self) -> Option<Token> {
        self.ignored();
        self.all += 1;
        let start = self.position;
        let kind = match self.at(start) {
            _ if start >= self.bytes.len() => TokenKind::End,
            byte @ (b'!' | b'$' | b'&' | b'(' | b')' | b':' | b'=' | b'@' | b'[' | b']' | b'{'
            | b'|' | b'}') => {
                self.position += 1;
                TokenKind::Punctuation(byte)
            }
            b'.' if self.at(start + 1) == b'.' && self.at(start + 2) == b'.' => {
                self.position += 3;
                TokenKind::Spread
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                self.skip(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                TokenKind::Name
            }
            b'-' | b'0'..=b'9' => self.number()?,
            b'"' => self.string()?,
            _ => return None,
        };
        Some(Token {
            kind,
            start,
            end: self.position,
        })
    }

    /// A number without an exponent.
    fn number(&mut self) -> Option<TokenKind> {
        let start = self.position;
        if self.at(start) == b'-' {
            self.position += 1;
        }
        let digits = self.position;
        self.skip(|byte| byte.is_ascii_digit());
        let is_int = match self.position - digits {
            0 => false,
            1 => true,
            _ => self.at(digits) != b'0',
        };
        if !is_int {
            return None;
        }
        let mut kind = TokenKind::Int;
        if self.at(self.position) == b'.' {
            kind = TokenKind::Float;
            self.position += 1;
            let fraction = self.position;
            self.skip(|byte| byte.is_ascii_digit());
            if self.position == fraction {
                return None;
            }
        }
        let next = self.at(self.position);
        let is_whole = !(next.is_ascii_alphanumeric() || matches!(next, b'_' | b'.' | b'-'));
        (is_whole && self.position - start <= MAX_NUMBER_BYTES).then_some(kind)
    }

    /// A string of one line without escapes.
    fn string(&mut self) -> Option<TokenKind> {
        self.position += 1;
        self.skip(|byte| !matches!(byte, b'"' | b'\\' | 0..b' ' | 0x7F));
        if self.at(self.position) != b'"' {
            return None;
        }
        self.position += 1;
        // Three quotes begin a block string.
        (self.at(self.position) != b'"').then_some(TokenKind::String)
    }
}
