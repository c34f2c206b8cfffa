//! The output of a sequencer, and its counters.

use crate::Position;

/// The next item of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output<E> {
    /// The event at this position.
    Deliver(Position, E),
    /// Events are missing, or may be. The stream continues after this position, which may be of another
    /// epoch, or before the last delivered event.
    Missed(Position),
}

/// Receives the output of a sequencer.
pub trait Sink<E> {
    /// Accepts an output. Returns false when there is no room for it. The sequencer then reads the
    /// event again later, or repeats [`Output::Missed`] before any other output.
    fn take(&mut self, output: Output<E>) -> bool;
}

impl<E, F: FnMut(Output<E>) -> bool> Sink<E> for F {
    fn take(&mut self, output: Output<E>) -> bool {
        self(output)
    }
}

/// The counters of a sequencer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SequencerCounters {
    /// Events that were dropped because they had been delivered before.
    pub duplicates: u64,
    /// How often a gap was found, or could have occurred.
    pub gaps: u64,
    /// Events that were delivered from history.
    pub gap_events: u64,
    /// Reads that were started.
    pub reads: u64,
    /// How often [`Output::Missed`] was output.
    pub missed: u64,
    /// Events that were dropped because they are of a past epoch.
    pub stale: u64,
    /// The largest number of events that were held at once.
    pub most_held: usize,
    /// The largest size of the events that were held at once (bytes).
    pub most_held_bytes: usize,
}
