//! Publishes events: as lines on a control socket, or as POSTs on a connection that is kept alive.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::plan::Target;

/// Bytes that may wait for the control socket. Past it no event is published until some are
/// written.
const MAX_WAITING_BYTES: usize = 1024 * 1024;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why events cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// No server listens, or the connection broke.
    #[error("events cannot be published to {address}: {source}")]
    Io {
        /// Address to which events are published.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The other side closed the control socket.
    #[error("the server closed the control socket {0}, no further event can be published")]
    Closed(SocketAddr),
    /// A response whose status is not 2xx.
    #[error("publishing an event was answered with status {status}: {body}")]
    Refused {
        /// The status.
        status: u16,
        /// The beginning of the body.
        body: String,
    },
    /// A response that is not HTTP.
    #[error("publishing an event was answered with something that is not HTTP")]
    NotHttp,
}

/// One connection for publishing.
pub(crate) struct Publisher {
    target: Target,
    registry: Registry,
    token: Token,
    socket: TcpStream,
    waiting: Vec<u8>,
    /// HTTP: the received part of the response to the current event.
    answer: Option<Vec<u8>>,
    /// HTTP: the server has closed the connection, as it may between two requests.
    closed: bool,
}

impl Publisher {
    pub(crate) fn connect(
        target: Target,
        registry: Registry,
        token: Token,
    ) -> Result<Self, PublishError> {
        let socket = connect(&target, &registry, token)?;
        Ok(Self {
            target,
            registry,
            token,
            socket,
            waiting: Vec::new(),
            answer: None,
            closed: false,
        })
    }

    /// Whether an event can be published now.
    pub(crate) fn is_ready(&self) -> bool {
        match self.target {
            Target::Lines(_) => self.waiting.len() < MAX_WAITING_BYTES,
            Target::Http(..) => self.answer.is_none(),
        }
    }

    /// Queues an event, which the next `flush` sends.
    pub(crate) fn publish(&mut self, event: &[u8]) {
        match &self.target {
            Target::Lines(_) => {
                self.waiting.extend_from_slice(event);
                self.waiting.push(b'\n');
            }
            Target::Http(_, head) => {
                self.waiting.extend_from_slice(head.as_bytes());
                let length = format!("{}\r\n\r\n", event.len());
                self.waiting.extend_from_slice(length.as_bytes());
                self.waiting.extend_from_slice(event);
                self.answer = Some(Vec::new());
            }
        }
    }

    /// Sends queued bytes, as many as the socket accepts.
    pub(crate) fn flush(&mut self) -> Result<(), PublishError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        if self.closed {
            self.socket = connect(&self.target, &self.registry, self.token)?;
            self.closed = false;
        }
        let mut sent = 0;
        while sent < self.waiting.len() {
            match self.socket.write(&self.waiting[sent..]) {
                Ok(length) => sent += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(broken(&self.target, source)),
            }
        }
        self.waiting.drain(..sent);
        Ok(())
    }

    /// Reads responses, or the end of the connection.
    pub(crate) fn read(&mut self) -> Result<(), PublishError> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return self.end(),
                Ok(length) => {
                    // Answers of a control socket are ignored.
                    if let Some(answer) = &mut self.answer {
                        answer.extend_from_slice(&buffer[..length]);
                        if is_whole(answer, false)? {
                            self.answer = None;
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(broken(&self.target, source)),
            }
        }
    }

    fn end(&mut self) -> Result<(), PublishError> {
        if let Target::Lines(address) = self.target {
            return Err(PublishError::Closed(address));
        }
        self.closed = true;
        if let Some(answer) = &self.answer {
            if !is_whole(answer, true)? {
                return Err(broken(&self.target, io::ErrorKind::UnexpectedEof.into()));
            }
            self.answer = None;
        }
        Ok(())
    }
}

fn broken(target: &Target, source: io::Error) -> PublishError {
    let (Target::Lines(address) | Target::Http(address, _)) = *target;
    PublishError::Io { address, source }
}

fn connect(target: &Target, registry: &Registry, token: Token) -> Result<TcpStream, PublishError> {
    let (Target::Lines(address) | Target::Http(address, _)) = target;
    let open = || {
        let socket = std::net::TcpStream::connect_timeout(address, CONNECT_TIMEOUT)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let mut socket = TcpStream::from_std(socket);
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(socket)
    };
    open().map_err(|source| broken(target, source))
}

/// Whether `answer` is a complete 2xx response; `ended` if no more bytes follow.
fn is_whole(answer: &[u8], ended: bool) -> Result<bool, PublishError> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(answer);
    let httparse::Status::Complete(start) = parsed.map_err(|_| PublishError::NotHttp)? else {
        return Ok(false);
    };
    let status = response.code.unwrap_or(0);
    let body = &answer[start..];
    let header = |name: &str| {
        let mut all = response.headers.iter();
        let header = all.find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()
    };
    let whole = if status == 204 {
        true
    } else if header("transfer-encoding").is_some() {
        body.ends_with(b"0\r\n\r\n")
    } else if let Some(length) = header("content-length") {
        body.len() >= length.trim().parse().map_err(|_| PublishError::NotHttp)?
    } else {
        ended
    };
    if whole && !(200..300).contains(&status) {
        let body = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        return Err(PublishError::Refused { status, body });
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_last_byte() {
        for answer in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"[..],
            b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\n\r\n",
        ] {
            assert!(is_whole(answer, false).unwrap());
            assert!(!is_whole(&answer[..answer.len() - 1], false).unwrap());
        }
    }

    #[test]
    fn an_answer_without_a_length_ends_with_the_connection() {
        let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok";
        assert!(!is_whole(answer, false).unwrap());
        assert!(is_whole(answer, true).unwrap());
    }

    #[test]
    fn a_refusal_is_an_error_that_says_why() {
        let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 8\r\n\r\nno route";
        let error = is_whole(answer, false).unwrap_err().to_string();
        assert!(error.contains("404: no route"), "{error}");
        assert!(matches!(
            is_whole(b"no\r\n\r\n", false),
            Err(PublishError::NotHttp)
        ));
    }
}
