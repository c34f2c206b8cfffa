//! What the two servers of this crate have in common: their command line, and what is published.
//!
//! Not here: how they serve.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::Deserialize;

/// Connections that may wait to be accepted (count): all clients of a scenario connect at once.
pub const BACKLOG: u32 = 16_384;

/// Where to listen, and with how many threads.
#[derive(Debug)]
pub struct Options {
    /// For clients.
    pub address: SocketAddr,
    /// For who publishes: each line is a [`Published`]. `None`: events come over Redis.
    pub control: Option<SocketAddr>,
    /// The Redis over which events come.
    pub redis: Option<SocketAddr>,
    /// Threads that host connections; none given: what the server does by itself.
    pub workers: Option<usize>,
    /// Whether another thread than the one that writes receives the events.
    pub hand_over: bool,
}

impl Options {
    /// Reads `--port N [--control N] [--bus redis://ADDRESS:N] [--workers N] [--hand-over]`.
    ///
    /// # Errors
    ///
    /// What is missing or unknown, as text for who typed it.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut port, mut control, mut redis, mut workers) = (None, None, None, None);
        let mut hand_over = false;
        while let Some(name) = arguments.next() {
            let slot = match name.as_str() {
                "--bus" => {
                    let value = arguments.next().ok_or("`--bus` needs a URL")?;
                    let address = value.trim_start_matches("redis://").parse();
                    redis = Some(address.map_err(|e| format!("`--bus {value}`: {e}"))?);
                    continue;
                }
                "--hand-over" => {
                    hand_over = true;
                    continue;
                }
                "--port" => &mut port,
                "--control" => &mut control,
                "--workers" => &mut workers,
                _ => return Err(format!("unknown option `{name}`")),
            };
            let value = arguments.next().ok_or(format!("`{name}` needs a number"))?;
            *slot = Some(
                value
                    .parse::<u16>()
                    .map_err(|e| format!("`{name} {value}`: {e}"))?,
            );
        }
        let local = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Ok(Self {
            address: local(port.ok_or("`--port` is missing")?),
            control: control.map(local),
            redis,
            workers: workers.map(usize::from),
            hand_over,
        })
    }
}

/// One line of the control port. The channel is not read: there is one.
#[derive(Debug, Deserialize)]
pub struct Published<T> {
    /// The event's data.
    pub data: T,
}
