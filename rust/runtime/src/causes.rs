//! Log texts for errors that libraries and the system report.

use std::io;

use awc::error::{ConnectError, PayloadError, SendRequestError};

/// Returns the text for an error of the system.
#[must_use]
pub fn of_system(error: &io::Error) -> &'static str {
    // `EMFILE` and `ENFILE` have no `ErrorKind`.
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

/// Returns the text for a request of this process that was not answered.
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

/// Returns the text for a response body that could not be read.
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
    fn errors_of_the_system_are_told_in_our_words() {
        for (code, expected) in [
            (2, "there is no such file"),
            (11, "the system has no thread left"),
            (12, "no memory is left"),
            (13, "the system does not permit it"),
            (23, "no file descriptor is left"),
            (24, "no file descriptor is left"),
            (28, "no space is left on the device"),
            (32, "the other side has ended the connection"),
            (98, "the address is in use"),
            (99, "the address is not one of this machine"),
            (104, "the other side has ended the connection"),
            (110, "it took too long"),
            (111, "nothing listens there"),
            (113, "the network does not reach it"),
            (5, "the system refused it"),
        ] {
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(of_system(&error), expected, "{error}");
        }
    }
}
