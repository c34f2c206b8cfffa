//! Puts the events of one stream into order.
//!
//! A [`Sequencer`] receives what an engine delivers for a stream. Events may arrive twice, late, or not
//! at all. It outputs each event once and in order. Where events are missing it requests a read of the
//! engine's history, and delivers the events of the answer. If they cannot be read, it outputs
//! [`Output::Missed`] in their place.
//!
//! It is a pure state machine: the caller has the clock, the lock and the link. The caller
//! - calls [`Sequencer::ready`], [`Sequencer::event`] and [`Sequencer::doubt`] in the order in which
//!   the engine learned of them, and `doubt` also when it has dropped an arrival itself;
//! - checks [`Sequencer::wants_read`] after each call. It starts the read whenever it likes
//!   ([`Sequencer::begin_read`]), and passes the answer to [`Sequencer::page`] or
//!   [`Sequencer::read_failed`]. A pause before the read is harmless: a late event may fill the gap in
//!   that time;
//! - pauses longer after each of [`Sequencer::fruitless_reads`];
//! - calls [`Sequencer::begin_audit`] and [`Sequencer::audited`] periodically: only an audit finds the
//!   loss of the last event of a stream.
//!
//! It requires of an engine: the head and the events that a read returns are not older than any event
//! that arrived before the read started; the head of `ready` was read after the newest doubt; with
//! [`Numbering::Sparse`] events arrive in order, and a doubt or a `ready` at a later head follows each
//! loss. Without a history, an
//! event that was published before the head of an audit was read arrives before that head, or is lost.
//!
//! Not here: which streams are wanted, how many reads run at once, and the format of positions.

mod epochs;
mod held;
mod order;
mod output;

pub use held::HeldLimits;
pub use output::{Output, SequencerCounters, Sink};

use std::mem;

use crate::engine::{Numbering, ReadError};
use crate::{Offset, Position};
use epochs::PastEpochs;
use held::{Held, HeldEvent};
use order::before;

/// Orders the events of one stream. `E` is the event as the caller stores it, decoded or as bytes.
#[derive(Debug)]
pub struct Sequencer<E> {
    numbering: Numbering,
    has_history: bool,
    is_ready: bool,
    /// Every event up to this position was delivered or reported as missed. Meaningless before
    /// `is_ready`.
    last: Position,
    held: Held<E>,
    doubt: Doubt,
    reading: Reading,
    /// The value of `last` at the newest doubt since `ready`: the engine had reached this offset before
    /// the link was lost.
    floor: Option<Offset>,
    past: PastEpochs,
    /// [`Output::Missed`] must be output before anything else.
    owes_missed: bool,
    /// An audit has started, and no later `ready`, doubt or epoch has made its answer obsolete.
    is_audited: bool,
    reads_begun: u64,
    failed_reads: u32,
    futile_reads: u32,
    counters: SequencerCounters,
}

/// Whether events after `last` may be missing, in addition to the gaps before held events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Doubt {
    None,
    /// Perhaps. The next `ready` decides it.
    Suspected,
    /// Certainly: a read is needed.
    Certain,
}

/// The read in progress; there is one at most.
#[derive(Debug, Clone, Copy)]
enum Reading {
    No,
    Yes {
        after: Offset,
        /// The doubt that the read resolves.
        doubt: Doubt,
    },
    /// Its answer will be ignored.
    Obsolete,
}

impl<E> Sequencer<E> {
    /// Creates the sequencer of a wanted stream that is not ready yet.
    #[must_use]
    pub fn new(numbering: Numbering, has_history: bool, limits: HeldLimits) -> Self {
        Self {
            numbering,
            has_history,
            is_ready: false,
            last: Position::default(),
            held: Held::new(limits),
            doubt: Doubt::None,
            reading: Reading::No,
            floor: None,
            past: PastEpochs::default(),
            owes_missed: false,
            is_audited: false,
            reads_begun: 0,
            failed_reads: 0,
            futile_reads: 0,
            counters: SequencerCounters::default(),
        }
    }

    /// The position up to which every event was delivered or reported as missed; `None` before the
    /// first [`Self::ready`].
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.is_ready.then_some(self.last)
    }

    /// Whether no event is known or suspected to be missing.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.is_ready && self.is_sure() && !self.owes_missed
    }

    /// Whether the history should be read. False while a read is in progress.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        let is_incomplete = self.doubt > Doubt::None || !self.held.is_empty();
        self.has_history && self.is_ready && is_incomplete && matches!(self.reading, Reading::No)
    }

    /// How many reads in a row have failed, or have not returned the missing events. The caller pauses
    /// longer with each.
    #[must_use]
    pub fn fruitless_reads(&self) -> u32 {
        self.failed_reads.saturating_add(self.futile_reads)
    }

    /// Returns the counts since the last call.
    pub fn take_counters(&mut self) -> SequencerCounters {
        mem::take(&mut self.counters)
    }

    /// Handles the promise that every event after `head` arrives from now on. After the first `ready`
    /// events are delivered. It is called again after a link was lost, but only after the
    /// [`Self::doubt`] for that loss; with [`Numbering::Sparse`] and without a history a `head` after
    /// all that was delivered says the same.
    pub fn ready(&mut self, head: Position, sink: &mut impl Sink<E>) {
        self.is_audited = false;
        if !self.is_ready {
            self.begin(head, sink);
            self.count_gap(true);
            return;
        }
        let was_live = self.is_live();
        let floor = self.floor.take().unwrap_or(self.last.offset);
        // Held events arrived over links that may be lost. An engine that has lost its newest events at
        // the same time uses their offsets again.
        let has_dropped = self.held.retain(|_, _| false) > 0;
        if head.epoch != self.last.epoch || head.offset < floor {
            // If the epoch is the same, the engine has lost events that it had delivered.
            self.doubt = Doubt::None;
            self.go_on_in(head, sink);
            if has_dropped {
                self.doubt = Doubt::Certain;
            }
        } else if self.has_history {
            self.compare(head, has_dropped);
        } else if head.offset > self.last.offset {
            self.pass_over(head.offset, sink);
        } else {
            self.doubt = Doubt::None;
        }
        self.count_gap(was_live);
    }

    /// Handles an event that has arrived. `before`: the offset of the previous event
    /// ([`Numbering::Linked`]), 0 if the engine no longer keeps that event; `bytes`: its size while it
    /// is held.
    pub fn event(
        &mut self,
        at: Position,
        before: Option<Offset>,
        bytes: usize,
        event: E,
        sink: &mut impl Sink<E>,
    ) {
        let event = HeldEvent {
            before,
            bytes,
            reads: self.reads_begun,
            event,
        };
        if !self.is_ready {
            self.hold(at, event);
            return;
        }
        let was_live = self.is_live();
        self.arrive(at, event, sink);
        self.count_gap(was_live);
    }

    /// Notes that events after those that have arrived may be missing: a link was lost, or a queue was
    /// full.
    pub fn doubt(&mut self, sink: &mut impl Sink<E>) {
        self.is_audited = false;
        if !self.is_ready {
            // The head of `ready` covers the events that arrived before it.
            self.held.retain(|_, _| false);
            self.doubt = Doubt::None;
            return;
        }
        let was_live = self.is_live();
        self.floor = Some(self.last.offset);
        match self.numbering {
            _ if self.has_history => self.suspect(),
            // Dense: the next event shows a gap by its offset. Linked: an event whose predecessor is
            // unknown shows none.
            Numbering::Dense => {}
            Numbering::Linked => self.suspect(),
            Numbering::Sparse => self.miss(sink),
        }
        self.count_gap(was_live);
    }

    /// Starts an audit: the caller is about to ask the engine for the newest position of the stream. At
    /// most one audit is in progress.
    pub fn begin_audit(&mut self) {
        self.is_audited = true;
    }

    /// Handles the answer to an audit. Events that were published after the engine read its answer may
    /// have arrived before the answer.
    pub fn audited(&mut self, head: Position, sink: &mut impl Sink<E>) {
        self.settle(sink);
        let is_current = mem::take(&mut self.is_audited);
        if !self.is_ready || head == self.last {
            return;
        }
        let was_live = self.is_live();
        if self.has_history {
            // The answer may be older than `last`: only a read can decide.
            self.suspect();
        } else if !is_current {
            // It is unknown which of the two epochs is newer. The next audit can decide.
        } else if head.epoch != self.last.epoch {
            // `last` was in its epoch before the head was read, so the epoch of the head is newer.
            self.go_on_from(head, sink);
        } else if head.offset > self.last.offset {
            self.pass_over(head.offset, sink);
        }
        self.count_gap(was_live);
    }

    /// Starts the read that [`Self::wants_read`] requests. The caller reads the events after the
    /// returned position, and passes the answer to [`Self::page`] or [`Self::read_failed`].
    pub fn begin_read(&mut self) -> Option<Position> {
        if !self.wants_read() {
            return None;
        }
        self.reads_begun += 1;
        self.counters.reads += 1;
        self.reading = Reading::Yes {
            after: self.last.offset,
            doubt: mem::replace(&mut self.doubt, Doubt::None),
        };
        Some(self.last)
    }

    /// Handles the answer to a read: events in order and without a gap, and the newest position of the
    /// stream. If the events end before `head`, another read is wanted.
    pub fn page(
        &mut self,
        events: impl IntoIterator<Item = (Position, E)>,
        head: Position,
        sink: &mut impl Sink<E>,
    ) {
        let Some((after, _)) = self.end_read(sink) else {
            return;
        };
        self.failed_reads = 0;
        if head.epoch != self.last.epoch || head.offset < after {
            self.go_on_in(head, sink);
            return;
        }
        let start = self.last;
        for (at, event) in events {
            if at.epoch != self.last.epoch || at.offset <= self.last.offset {
                continue;
            }
            if self.numbering == Numbering::Dense && at.offset != self.last.offset.next() {
                self.pass_over(before(at.offset), sink);
            }
            if !self.deliver(at, event, sink) {
                return;
            }
            self.counters.gap_events += 1;
        }
        self.complete(start, head, sink);
    }

    /// Handles a failed read. By its cause, another read is wanted, or the events are reported as
    /// missed.
    pub fn read_failed(&mut self, error: &ReadError, sink: &mut impl Sink<E>) {
        let Some((after, doubt)) = self.end_read(sink) else {
            return;
        };
        match *error {
            ReadError::Unavailable(_) => {
                self.failed_reads = self.failed_reads.saturating_add(1);
                self.doubt = self.doubt.max(doubt).max(Doubt::Suspected);
            }
            ReadError::TooLate { head } | ReadError::OtherEpoch { head } => {
                self.failed_reads = 0;
                let known = after..=self.last.offset;
                if head.epoch == self.last.epoch && known.contains(&head.offset) {
                    // The missing events have arrived since, or none were missing.
                    self.complete(self.last, head, sink);
                } else if matches!(error, ReadError::OtherEpoch { .. }) {
                    self.go_on_in(head, sink);
                } else {
                    self.go_on_from(head, sink);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
