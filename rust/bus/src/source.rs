//! Sources: what is published elsewhere, and enters the engine through one node of the cluster.
//!
//! A [`Source`] publishes by the engine that all nodes share, so each node receives its events as any
//! others. Which node reads is decided by the source itself. Not here: sources of one kind (`brokers`).

use std::sync::Arc;

use crate::StreamKey;
use crate::engine::{Engine, Pending};

/// Reads events elsewhere, and publishes them. Every node has it; one of them reads.
pub trait Source: Send + Sync {
    /// Runs until the future is dropped, and never ends before. Called once, on the runtime of the
    /// engine's link, after the engine was started.
    fn run(&self, target: SourceTarget) -> Pending<()>;

    /// What is known of it now.
    fn status(&self) -> SourceStatus;
}

/// Where a source publishes.
#[derive(Clone)]
pub struct SourceTarget {
    /// The engine, which recognizes an event that is published again.
    pub engine: Arc<dyn Engine>,
    /// Whether each tenant has its own streams.
    pub by_tenant: bool,
    /// Tells subscribers what was lost.
    pub losses: Arc<dyn Losses>,
}

/// What was lost before it reached the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// Events of any stream.
    Events,
    /// Events of one stream.
    EventsOf(StreamKey),
    /// Nothing that was promised: the source begins now. Those who have subscribed before do not know
    /// since when its events arrive.
    Beginning,
}

/// Tells all subscribers of the cluster that events were lost before they reached the engine.
pub trait Losses: Send + Sync {
    /// Tells it to the subscribers of one stream, or of all. Resolves when what is published later comes
    /// after it, on all nodes that can be reached.
    fn tell(&self, lost: Lost) -> Pending<()>;
}

/// The state of a source on this node. Counters are totals since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceStatus {
    /// Whether it is read: by this node, or by another one that this node knows of.
    pub is_live: bool,
    /// Whether this node reads it.
    pub is_reader: bool,
    /// Events that this node has published from it.
    pub events: u64,
    /// How much of the log is not published yet, or not confirmed (bytes now); 0 where it is not known.
    pub lag_bytes: u64,
    /// Up to where in its log everything is published (bytes since its beginning); 0 where it is not
    /// known.
    pub confirmed: u64,
    /// How many times events were lost, and subscribers told.
    pub losses: u64,
}
