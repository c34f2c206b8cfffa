//! Reads the address of a server in the URL of an engine: a name or an IP address, and a port.
//!
//! Not here: what else is in such a URL, which differs between engines.

/// Returns the host and the port. `default_port`: that of an address without one.
///
/// # Errors
///
/// What is wrong and what to write. The text never contains a secret.
pub(crate) fn host_and_port(text: &str, default_port: u16) -> Result<(String, u16), String> {
    let wrong = || {
        format!(
            "a host of the bus is wrong: write name, name:{default_port} or [::1]:{default_port}, and encode \
             '/', '?', '#', '@' and ':' of a password as %2F, %3F, %23, %40 and %3A"
        )
    };
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(wrong)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
            let port = match port {
                "" => None,
                port => Some(port.strip_prefix(':').ok_or_else(wrong)?),
            };
            (host, port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_name) {
        return Err(wrong());
    }
    let port = match port {
        // A sign is no part of a port.
        Some(port) => Some(port)
            .filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|port| port.parse().ok())
            .filter(|port| *port > 0)
            .ok_or_else(wrong)?,
        None => default_port,
    };
    Ok((host.to_owned(), port))
}
