//! What the log says of errors that libraries and the system find: in our words, in one place.

use std::io;

use awc::error::{ConnectError, PayloadError, SendRequestError};

/// Why the system refused something.
#[must_use]
pub fn of_system(error: &io::Error) -> &'static str {
    // `EMFILE` and `ENFILE` have no kind of their own.
    if matches!(error.raw_os_error(), Some(23 | 24)) {
        return "no file descriptor is left";
    }
    match error.kind() {
        io::ErrorKind::AddrInUse => "the address is in use",
        io::ErrorKind::AddrNotAvailable => "the address is not one of this machine",
        io::ErrorKind::PermissionDenied => "the system does not permit it",
        io::ErrorKind::NotFound => "there is no such file",
        io::ErrorKind::OutOfMemory => "no memory is left",
        io::ErrorKind::WouldBlock => "the system has no thread left",
        io::ErrorKind::StorageFull => "no space is left on the device",
        io::ErrorKind::ConnectionRefused => "nothing listens there",
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => "the other side has ended the connection",
        io::ErrorKind::TimedOut => "it took too long",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "the network does not reach it"
        }
        io::ErrorKind::InvalidData => "what was sent is malformed",
        _ => "the system refused it",
    }
}

/// Why a request of ours was not answered.
pub(crate) fn of_request(error: &SendRequestError) -> &'static str {
    match error {
        SendRequestError::Url(_) => "the URL cannot be used",
        SendRequestError::Connect(error) => of_connect(error),
        SendRequestError::Send(error) => of_system(error),
        SendRequestError::Timeout => "it took too long",
        SendRequestError::Response(_) | SendRequestError::H2(_) => "the answer is malformed",
        _ => "the request could not be sent",
    }
}

fn of_connect(error: &ConnectError) -> &'static str {
    match error {
        ConnectError::SslIsNotSupported => "TLS could not be begun",
        ConnectError::Resolver(_) | ConnectError::NoRecords | ConnectError::Unresolved => {
            "the name of its host is not known"
        }
        ConnectError::Timeout => "connecting took too long",
        ConnectError::Io(error) => of_system(error),
        _ => "it could not be connected to",
    }
}

/// Why the body of an answer could not be read.
pub(crate) fn of_body(error: &PayloadError) -> &'static str {
    match error {
        PayloadError::Overflow => "the answer is too large",
        PayloadError::EncodingCorrupted => "the encoding of the answer is malformed",
        _ => "the answer is incomplete",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_without_the_words_of_the_system() {
        for code in 1..134 {
            let error = io::Error::from_raw_os_error(code);
            let cause = of_system(&error);
            assert!(
                !cause.contains("os error") && !cause.is_empty(),
                "{code}: {cause}"
            );
        }
        let full = io::Error::from_raw_os_error(28);
        assert_eq!(of_system(&full), "no space is left on the device");
        let files = io::Error::from_raw_os_error(24);
        assert_eq!(of_system(&files), "no file descriptor is left");
    }
}
