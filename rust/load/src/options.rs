//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use serde::Serialize;

use crate::template::TemplateError;

/// What happens while the load runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Every event goes to every subscription; the next is published when all have the last
    FanOut,
    /// Every event goes to every subscription; published at a fixed rate
    Rate,
    /// Each event goes to the one subscription whose number is its key
    Selective,
    /// Nothing is published: measures the memory of a connection, and CPU time while all are idle
    Idle,
    /// As rate, with some clients that never read; the others must lose nothing
    Slow,
    /// As rate, with some clients that disconnect and reconnect; the others must lose nothing
    Churn,
    /// Fan-out, selective, slow and churn together, for a long time
    Mixed,
    /// All connect and subscribe at once, until each has a first result; as rate for --live others
    Storm,
}

/// Loads a GraphQL server that speaks graphql-transport-ws, and checks what it delivers.
///
/// Connects, subscribes, publishes events through a control socket or HTTP, and measures until each
/// has arrived. Results are recognised by their fields `sequence` and `sentAt`.
#[derive(Debug, Clone, Parser, Serialize)]
#[command(version, max_term_width = 100)]
pub struct Options {
    /// What happens while the load runs
    #[arg(value_enum)]
    pub mode: Mode,
    /// The server
    #[arg(long, default_value = "ws://127.0.0.1:8000/graphql")]
    pub url: String,
    /// Connections
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub connections: u32,
    /// Subscriptions of each connection
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub subscriptions: u32,
    /// The subscription, which selects `sequence` and, for latencies, `sentAt`
    #[arg(long)]
    pub query: String,
    /// Its variables: JSON with {connection}, {subscription} (of all), {index} (in its connection)
    #[arg(long, default_value = "{}")]
    pub variables: String,
    /// mixed: variables of the subscriptions that get every event
    #[arg(long, default_value = "{}")]
    pub broadcast_variables: String,
    /// Payload of `connection_init`: JSON
    #[arg(long)]
    pub init_payload: Option<String>,
    /// Where events are published: tcp://HOST:PORT for lines, http://HOST:PORT/PATH for a POST each
    #[arg(long)]
    pub publish: Option<String>,
    /// Channel of the events
    #[arg(long, default_value = "feed")]
    pub channel: String,
    /// Data of an event: JSON with {sequence}, {now} (microseconds), {key}
    #[arg(
        long,
        default_value = r#"{"sequence": {sequence}, "sentAt": {now}, "key": {key}}"#
    )]
    pub data: String,
    /// fan-out, selective: events to publish
    #[arg(long, default_value_t = 100)]
    pub events: u32,
    /// fan-out, selective: events in flight at once
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub pending: u32,
    /// Events a second; 100 for rate, slow, churn and mixed; with selective instead of --events
    #[arg(long)]
    pub rate: Option<f64>,
    /// Seconds to publish at that rate, or to stay idle
    #[arg(long, default_value_t = 10.0)]
    pub duration: f64,
    /// Events before measuring; however few, every subscription has received one
    #[arg(long, default_value_t = 10)]
    pub warm_up: u32,
    /// slow, mixed: share of the connections that never read
    #[arg(long, default_value_t = 0.1)]
    pub slow_share: f64,
    /// churn, mixed: share of the connections that disconnect and reconnect
    #[arg(long, default_value_t = 0.2)]
    pub churn_share: f64,
    /// churn, mixed: connections that disconnect and reconnect in a second
    #[arg(long, default_value_t = 10.0)]
    pub churn_rate: f64,
    /// Seconds without any delivery after which missing deliveries count as lost
    #[arg(long, default_value_t = 10.0)]
    pub patience: f64,
    /// Connections that are being opened at the same time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub connecting: u32,
    /// Client addresses, in turn; on loopback one from 127.0.0.2 on for every 14000 connections
    #[arg(long, value_delimiter = ',')]
    pub source: Vec<IpAddr>,
    /// Offers permessage-deflate without context takeover, and reads compressed results
    #[arg(long)]
    pub compression: bool,
    /// wss: file with the authorities that are trusted, in PEM; by default those of the system
    #[arg(long, conflicts_with = "insecure")]
    pub ca: Option<PathBuf>,
    /// wss: trusts any certificate
    #[arg(long)]
    pub insecure: bool,
    /// wss: resumes sessions of TLS; storm: those of connections that were open before
    #[arg(long)]
    pub resume: bool,
    /// storm: connections besides, which are open before it begins and receive events
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub live: u32,
    /// storm: the subscription of those that connect, whose first result comes at once; it selects
    /// `sequence`
    #[arg(long)]
    pub storm_query: Option<String>,
    /// storm: its variables
    #[arg(long, default_value = "{}")]
    pub storm_variables: String,
    /// Processes of the server, for CPU time and memory
    #[arg(long, value_delimiter = ',')]
    pub pid: Vec<u32>,
    /// Seconds between samples of CPU time and memory
    #[arg(long, default_value_t = 1.0)]
    pub sample_interval: f64,
    /// Where the result is written as JSON; - for standard output, instead of the table
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// Invalid options.
#[derive(Debug, thiserror::Error)]
pub enum OptionError {
    /// An invalid address, or an unsupported scheme.
    #[error("`{option} {value}`: {problem}")]
    Address {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// The problem and the remedy.
        problem: String,
    },
    /// An invalid text with placeholders.
    #[error("`{option}`: {source}")]
    Template {
        /// The option.
        option: &'static str,
        /// The problem of the template.
        source: TemplateError,
    },
    /// Any other problem.
    #[error("`{option}` {problem}")]
    Value {
        /// The option.
        option: &'static str,
        /// The problem and the remedy.
        problem: String,
    },
}
