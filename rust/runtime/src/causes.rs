//! Log texts for errors that libraries and the system report.

use std::error::Error;
use std::io;

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

/// Returns the text for a request of this process that was not answered, or not to its end.
pub(crate) fn of_request(error: &reqwest::Error) -> &'static str {
    if error.is_builder() {
        return "the URL cannot be used";
    }
    if error.is_redirect() {
        return "the answer leads elsewhere, too often or without TLS";
    }
    if error.is_timeout() {
        return "it took too long";
    }
    // The types of `hyper-util` are private.
    let texts: Vec<_> = causes(error).map(ToString::to_string).collect();
    for (begin, told) in [
        ("dns error", "the name of its host is not known"),
        (
            "tunnel error: proxy authorization",
            "the proxy asks for a name and a password",
        ),
        (
            "tunnel error: unsuccessful",
            "the proxy refuses to connect to it",
        ),
        (
            "tunnel error: failed to create",
            "the proxy cannot be connected to",
        ),
    ] {
        if texts.iter().any(|text| text.starts_with(begin)) {
            return told;
        }
    }
    if let Some(error) = causes(error).find_map(|cause| cause.downcast_ref()) {
        return of_tls(error);
    }
    match causes(error).find_map(|cause| cause.downcast_ref()) {
        Some(error) => of_system(error),
        None if error.is_connect() => "it could not be connected to",
        None if error.is_body() || error.is_decode() => "the answer is incomplete",
        None => "the answer is malformed",
    }
}

/// Returns the errors behind an error, the one behind an error of the system included.
fn causes<'e>(error: &'e reqwest::Error) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    fn next<'e>(cause: &&'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
        let cause: &'e (dyn Error + 'static) = *cause;
        match cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner),
            None => cause.source(),
        }
    }
    std::iter::successors(error.source(), next)
}

fn of_tls(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(_) => {
            "its certificate is not of an authority that this system trusts, or not valid"
        }
        _ => "TLS could not be begun",
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
