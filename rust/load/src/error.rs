//! Why a load could not be run.

use std::io;
use std::net::SocketAddr;

use crate::options::OptionError;
use crate::processes::NoProcess;
use crate::publisher::PublishError;

/// Why a load could not be run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Invalid options.
    #[error(transparent)]
    Options(#[from] OptionError),
    /// More connections than files that this process may open.
    #[error(
        "{connections} connections need {needed} open files, and this process may have {limit} \
        (`ulimit -Hn`): raise the limit, or run several load generators with fewer connections each"
    )]
    Files {
        /// Connections asked for.
        connections: u32,
        /// Files they need.
        needed: u64,
        /// Files there may be.
        limit: u64,
    },
    /// A connection that cannot be opened.
    #[error("connection {number} to {server} cannot be made: {reason}")]
    Connect {
        /// Number of the connection.
        number: u32,
        /// Address of the server.
        server: SocketAddr,
        /// The cause.
        reason: String,
    },
    /// Not every connection could be set up.
    #[error("only {ready} of {connections} connections could be set up: {reason}")]
    SetUp {
        /// Connections that were set up.
        ready: u32,
        /// Requested connections.
        connections: u32,
        /// The first cause.
        reason: String,
    },
    /// Some subscriptions received nothing before the measurement.
    #[error(
        "{missing} of {subscriptions} subscriptions received no event before measuring: {reason}"
    )]
    NotLive {
        /// Subscriptions that received no event.
        missing: usize,
        /// All subscriptions.
        subscriptions: u64,
        /// The first cause.
        reason: String,
    },
    /// No subscriber is left.
    #[error("the server ended every connection: {0}")]
    Alone(String),
    /// Events cannot be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The processes of the server cannot be read.
    #[error(transparent)]
    Process(#[from] NoProcess),
    /// The result cannot be written.
    #[error("the result cannot be written to {place}: {source}")]
    Output {
        /// Path of the file, or `standard output`.
        place: String,
        /// The cause.
        source: io::Error,
    },
    /// The system refused something it never refuses.
    #[error("the system refuses: {0}")]
    System(#[source] io::Error),
    /// The load was interrupted before the measurement.
    #[error("stopped before anything was measured")]
    Interrupted,
}
