//! Scans the bytes of an HTTP/1.1 connection: finds the end of each head and body, and input that
//! no client may send.
//!
//! actix-http parses the messages; it accepts lines without a carriage return, and does not bound
//! chunk extensions and trailers: ADR 0053. Source: RFC 9112, sections 2.2, 6 and 7.

/// Bytes of a line that are kept. Fields that frame a body are shorter.
const LINE_BYTES: usize = 128;

/// The fault of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFault {
    /// It has too many bytes on the wire.
    TooLarge,
    /// Its lines are ambiguous.
    Malformed,
}

/// The fault of the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The head is ambiguous, from this byte of the read on.
    Head(usize),
    /// The body of a request.
    Body {
        /// Number of the request, counted from 1.
        request: u64,
        fault: BodyFault,
        /// The first byte of the read that must not be passed on.
        at: usize,
    },
    /// Bytes after a request with `Connection: close`, from this byte of the read on.
    AfterClose(usize),
}

/// Scans the messages of one connection.
#[derive(Debug)]
pub(crate) struct Scanner {
    state: ScanState,
    line: Line,
    framing: Framing,
    max_body: u64,
    /// Received bytes of the chunked body.
    body: u64,
    /// Received heads (count).
    heads: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ScanState {
    /// Before the first line of a head.
    Start,
    Head,
    /// Bytes of a body that are not received yet.
    Body(u64),
    ChunkSize,
    /// Bytes of a chunk that are not received yet, including the end of its line.
    Chunk(u64),
    Trailers,
    /// After the last request of the connection.
    Closed,
    /// No further message is scanned: another protocol follows, or the parser has refused the
    /// message.
    Off,
}

/// The fields of a head that say where its body ends, and what follows.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a field of the head that is set or not"
)]
struct Framing {
    length: u64,
    is_chunked: bool,
    is_upgrade: bool,
    is_connect: bool,
    is_http_1_0: bool,
    is_close: bool,
    is_kept: bool,
}

impl Framing {
    /// Whether no request follows (RFC 9112, sections 9.3 and 9.6).
    fn is_last(&self) -> bool {
        self.is_close || self.is_http_1_0 && !self.is_kept
    }
}

/// The beginning of a line.
#[derive(Debug, Default)]
struct Line {
    bytes: Vec<u8>,
    length: usize,
    /// Its last 16 bytes, the last in the lowest place.
    tail: u128,
}

impl Line {
    fn push(&mut self, byte: u8) {
        if self.bytes.len() < LINE_BYTES {
            self.bytes.push(byte);
        }
        self.length += 1;
        self.tail = self.tail << 8 | u128::from(byte);
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.length = 0;
        self.tail = 0;
    }

    /// Whether the line ends so; `end` has at most 16 bytes.
    fn ends_with(&self, end: &[u8]) -> bool {
        self.tail.to_be_bytes().ends_with(end)
    }

    /// Whether the whole line was kept.
    fn is_whole(&self) -> bool {
        self.length == self.bytes.len()
    }

    /// Returns the line without its end.
    fn text(&self) -> &[u8] {
        self.bytes.strip_suffix(b"\r").unwrap_or(&self.bytes)
    }
}

impl Scanner {
    /// Creates a scanner; chunked bodies may have `max_body` bytes on the wire.
    pub(crate) fn new(max_body: usize) -> Self {
        Self {
            state: ScanState::Start,
            line: Line::default(),
            framing: Framing::default(),
            max_body: max_body as u64,
            body: 0,
            heads: 0,
        }
    }

    /// Scans the bytes that were read; after an error it scans no more.
    pub(crate) fn read(&mut self, read: &[u8]) -> Result<(), Fault> {
        let mut at = 0;
        while at < read.len() {
            let rest = read.len() - at;
            match &mut self.state {
                ScanState::Off => return Ok(()),
                ScanState::Closed => return Err(Fault::AfterClose(at)),
                ScanState::Body(left) | ScanState::Chunk(left) => {
                    let taken = rest.min(usize::try_from(*left).unwrap_or(rest));
                    *left -= taken as u64;
                    let is_over = *left == 0;
                    at += taken;
                    if let ScanState::Chunk(_) = self.state {
                        self.count(taken, at - taken)?;
                        if is_over {
                            self.state = ScanState::ChunkSize;
                        }
                    } else if is_over {
                        self.state = self.end_message();
                    }
                }
                ScanState::Start | ScanState::Head | ScanState::ChunkSize | ScanState::Trailers => {
                    let byte = read[at];
                    if byte == b'\n' {
                        self.end_line(at)?;
                    } else {
                        self.line.push(byte);
                    }
                    if matches!(self.state, ScanState::ChunkSize | ScanState::Trailers) {
                        self.count(1, at)?;
                    }
                    at += 1;
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, bytes: usize, at: usize) -> Result<(), Fault> {
        self.body += bytes as u64;
        if self.body > self.max_body {
            return Err(self.body_fault(BodyFault::TooLarge, at));
        }
        Ok(())
    }

    fn body_fault(&mut self, fault: BodyFault, at: usize) -> Fault {
        self.state = ScanState::Off;
        Fault::Body {
            request: self.heads,
            fault,
            at,
        }
    }

    fn end_line(&mut self, at: usize) -> Result<(), Fault> {
        let is_head = matches!(self.state, ScanState::Start | ScanState::Head);
        let is_ended = self.line.ends_with(b"\r") && self.is_known();
        if !is_ended && is_head {
            self.state = ScanState::Off;
            return Err(Fault::Head(at));
        }
        if !is_ended {
            return Err(self.body_fault(BodyFault::Malformed, at));
        }
        let is_empty = self.line.text().is_empty();
        self.state = match self.state {
            // An empty line before a request is skipped (RFC 9112, section 2.2).
            ScanState::Start if is_empty => ScanState::Start,
            ScanState::Start => {
                let is_connect = self.line.text().starts_with(b"CONNECT ");
                self.framing = Framing {
                    is_connect,
                    is_http_1_0: self.line.ends_with(b" HTTP/1.0\r"),
                    ..Framing::default()
                };
                ScanState::Head
            }
            ScanState::Head if is_empty => self.end_head(),
            ScanState::Head => {
                self.read_field();
                ScanState::Head
            }
            ScanState::ChunkSize => match chunk_size(self.line.text()) {
                Some(0) => ScanState::Trailers,
                // Includes the end of the chunk's line.
                Some(size) => ScanState::Chunk(size.saturating_add(2)),
                None => ScanState::Off,
            },
            ScanState::Trailers if is_empty => self.end_message(),
            state => state,
        };
        self.line.clear();
        Ok(())
    }

    /// Whether enough of the ended line was kept to interpret it.
    fn is_known(&self) -> bool {
        if self.line.is_whole() {
            return true;
        }
        match self.state {
            ScanState::Head => {
                let (name, _) = field(self.line.text());
                !FRAMING.iter().any(|known| name.eq_ignore_ascii_case(known))
            }
            // Cut off digits would be another size.
            ScanState::ChunkSize => !self.line.text().iter().all(u8::is_ascii_hexdigit),
            _ => true,
        }
    }

    /// Interprets a field like actix-http. For a field that actix-http refuses, the result does not
    /// matter.
    fn read_field(&mut self) {
        let (name, value) = field(self.line.text());
        if name.eq_ignore_ascii_case(CONTENT_LENGTH) {
            let length = std::str::from_utf8(value).ok();
            self.framing.length = length.and_then(|l| l.parse().ok()).unwrap_or(0);
        } else if name.eq_ignore_ascii_case(TRANSFER_ENCODING) {
            self.framing.is_chunked |= value.eq_ignore_ascii_case(b"chunked");
        } else if name.eq_ignore_ascii_case(UPGRADE) {
            self.framing.is_upgrade |= value.eq_ignore_ascii_case(b"websocket");
        } else if name.eq_ignore_ascii_case(CONNECTION) {
            for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                self.framing.is_close |= option.eq_ignore_ascii_case(b"close");
                self.framing.is_kept |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        }
    }

    /// Ends the scan, and releases the kept line of a connection that may last for days.
    fn end(&mut self) -> ScanState {
        self.line = Line::default();
        ScanState::Off
    }

    fn end_message(&self) -> ScanState {
        if self.framing.is_last() {
            ScanState::Closed
        } else {
            ScanState::Start
        }
    }

    fn end_head(&mut self) -> ScanState {
        self.heads += 1;
        self.body = 0;
        let framing = &self.framing;
        match framing.length {
            _ if framing.is_chunked => ScanState::ChunkSize,
            _ if framing.is_upgrade => self.end(),
            0 if framing.is_connect => self.end(),
            0 => self.end_message(),
            length => ScanState::Body(length),
        }
    }
}

const CONNECTION: &[u8] = b"connection";
const CONTENT_LENGTH: &[u8] = b"content-length";
const TRANSFER_ENCODING: &[u8] = b"transfer-encoding";
const UPGRADE: &[u8] = b"upgrade";

/// Fields that determine the end of a body.
const FRAMING: [&[u8]; 3] = [CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE];

/// Returns the name and the value of a field.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let colon = line.iter().position(|byte| *byte == b':');
    let (name, value) = line.split_at(colon.unwrap_or(line.len()));
    (name, value.get(1..).unwrap_or_default().trim_ascii())
}

/// Returns the size at the beginning of a line, before white space and extensions.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit());
    let digits = std::str::from_utf8(&line[..end.unwrap_or(line.len())]).ok()?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

    fn scan(parts: &[&str], max_body: usize) -> Result<(u64, ScanState), Fault> {
        let mut scanner = Scanner::new(max_body);
        for part in parts {
            scanner.read(part.as_bytes())?;
        }
        Ok((scanner.heads, scanner.state))
    }

    #[test]
    fn messages_are_followed_however_they_are_cut() {
        let text = [
            "\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:  5 \r\n\r\n\nGE\n\n",
            HEAD,
            "3;a=b\r\n\n\n\n\r\n0A \r\n0123456789\r\n0\r\nX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nCookie: ",
            &"x".repeat(1_000),
            "\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n",
            "\n\n\x00 anything",
        ]
        .concat();
        for size in [1, 2, 3, 7, text.len()] {
            let chunks: Vec<_> = text.as_bytes().chunks(size).collect();
            let mut scanner = Scanner::new(100);
            for chunk in chunks {
                scanner.read(chunk).unwrap();
            }
            assert_eq!(
                (scanner.heads, scanner.state),
                (5, ScanState::Off),
                "{size}"
            );
        }
    }

    #[test]
    fn a_line_of_a_head_that_ends_without_a_return_is_a_fault() {
        for (text, at) in [
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", 14),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", 23),
            ("GET / HTTP/1.1\r\nHost: a\r\n\n", 25),
            ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 0),
        ] {
            assert_eq!(scan(&[text], 10), Err(Fault::Head(at)), "{text:?}");
        }
    }

    #[test]
    fn no_request_follows_one_that_closes() {
        let close = "Connection: keep-alive ,\tClose\r\n\r\n";
        for (first, cut) in [
            (format!("GET / HTTP/1.1\r\nHost: a\r\n{close}"), 5),
            (
                format!("POST / HTTP/1.1\r\nContent-Length: 3\r\n{close}abc"),
                60,
            ),
            (format!("GET /{} HTTP/1.0\r\n\r\n", "a".repeat(200)), 5),
            (
                format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n{close}0\r\n\r\n"),
                80,
            ),
        ] {
            let mut scanner = Scanner::new(100);
            assert_eq!(scanner.read(first.as_bytes()), Ok(()), "{first:?}");
            assert_eq!(scanner.read(b"GET"), Err(Fault::AfterClose(0)), "{first:?}");
            assert_eq!(scanner.read(b"GET"), Err(Fault::AfterClose(0)), "{first:?}");
            let mut scanner = Scanner::new(100);
            let text = format!("{first}GET / HTTP/1.1\r\n");
            let (before, after) = text.as_bytes().split_at(cut);
            assert_eq!(scanner.read(before), Ok(()));
            assert_eq!(
                scanner.read(after),
                Err(Fault::AfterClose(first.len() - cut))
            );
        }
        assert_eq!(
            scan(&["GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"; 2], 10),
            Ok((2, ScanState::Start))
        );
        assert_eq!(
            scan(
                &["GET / HTTP/1.1\r\nConnection: closed\r\nX: close\r\n\r\n"; 2],
                10
            ),
            Ok((2, ScanState::Start))
        );
    }

    #[test]
    fn a_framing_field_past_what_is_looked_at_is_a_fault() {
        for name in ["Content-Length", "transfer-encoding", "Upgrade"] {
            let text = format!("GET / HTTP/1.1\r\n{name}:{}5\r\n", " ".repeat(LINE_BYTES));
            assert!(matches!(scan(&[&text], 10), Err(Fault::Head(_))), "{name}");
        }
    }

    fn body_fault(text: &[&str], max_body: usize) -> Option<BodyFault> {
        match scan(text, max_body) {
            Err(Fault::Body {
                request: 1, fault, ..
            }) => Some(fault),
            _ => None,
        }
    }

    #[test]
    fn all_bytes_of_a_chunked_body_count() {
        let fault = Some(BodyFault::TooLarge);
        assert_eq!(
            scan(&[HEAD, "5\r\nabcde\r\n0\r\n\r\n"], 15),
            Ok((1, ScanState::Start))
        );
        assert_eq!(body_fault(&[HEAD, "5\r\nabcde\r\n0\r\n\r\n"], 13), fault);
        for endless in [
            "1;",
            "0\r\nX: ",
            "5   ",
            "0\r\na:b\r\na:b\r\n",
            "ffffffff\r\n",
        ] {
            let filler = "y".repeat(1_000);
            assert_eq!(
                body_fault(&[HEAD, endless, &filler], 500),
                fault,
                "{endless:?}"
            );
        }
        // The next body begins at 0.
        let twice = [
            HEAD,
            "5\r\nabcde\r\n0\r\n\r\n",
            HEAD,
            "5\r\nabcde\r\n0\r\n\r\n",
        ];
        assert_eq!(scan(&twice, 15), Ok((2, ScanState::Start)));
    }

    #[test]
    fn a_line_of_a_body_that_ends_without_a_return_is_a_fault() {
        let fault = Some(BodyFault::Malformed);
        for body in ["0\n\r\n", "0\r\n\n", "0\r\nX: y\n\nGET /", "1\na"] {
            assert_eq!(body_fault(&[HEAD, body], 100), fault, "{body:?}");
        }
    }
}
