//! What a sequencer puts out, and what it counts.

use crate::Position;

/// What happens next in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output<E> {
    /// The event at this position.
    Deliver(Position, E),
    /// Events are missing, or may be, before what follows. The stream goes on after this position,
    /// which may be of another epoch or before the last one delivered.
    Missed(Position),
}

/// Takes what comes out of a sequencer.
pub trait Sink<E> {
    /// Takes an output. Returns false when there is no room for it: an event is read again then,
    /// and [`Output::Missed`] is put out again before anything else.
    fn take(&mut self, output: Output<E>) -> bool;
}

impl<E, F: FnMut(Output<E>) -> bool> Sink<E> for F {
    fn take(&mut self, output: Output<E>) -> bool {
        self(output)
    }
}

/// What a sequencer has seen (counts).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SequencerCounters {
    /// Events that were dropped because they had been delivered already.
    pub doubles: u64,
    /// Times at which delivery stopped, or could have to: a gap was seen, or doubt arose.
    pub gaps: u64,
    /// Events that were delivered from history.
    pub gap_events: u64,
    /// Reads that were begun.
    pub reads: u64,
    /// [`Output::Missed`].
    pub missed: u64,
    /// Events that were dropped because they are of an epoch that is over.
    pub stale: u64,
    /// The most events that were held at one time.
    pub most_held: usize,
    /// The most bytes that were held at one time.
    pub most_held_bytes: usize,
}
