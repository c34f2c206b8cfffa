//! Puts the events of one stream into order.
//!
//! A [`Sequencer`] takes what an engine delivers for a stream: events that come twice, late, or not at
//! all. It puts out each event once and in order. Where events are missing it asks for one read of
//! the engine's history, and delivers what was read; where they cannot be read it puts out
//! [`Output::Missed`] in their place.
//!
//! A pure state machine: the caller has the clock, the lock and the link. The caller
//! - calls [`Sequencer::ready`], [`Sequencer::event`] and [`Sequencer::doubt`] in the order in which
//!   the engine learnt of them, and `doubt` as well when it has dropped an arrival itself;
//! - looks at [`Sequencer::wants_read`] after each call. It begins the read when it suits
//!   ([`Sequencer::begin_read`]) and answers with [`Sequencer::page`] or [`Sequencer::read_failed`].
//!   A pause before it costs nothing: late events close gaps by themselves;
//! - pauses longer after each of [`Sequencer::fruitless_reads`];
//! - calls [`Sequencer::begin_audit`] and [`Sequencer::audited`] from time to time: a lost event that was
//!   the last of its stream shows in no other way.
//!
//! What is asked of an engine: the head and the events that a read returns are not older than any
//! event that had arrived before the read began; the head that `ready` tells was read after the
//! newest doubt; under [`Numbering::Sparse`] events arrive in order, and each loss is followed by doubt.
//! Without a history, what was published before the head of an audit was read arrives before that head,
//! or is lost.
//!
//! Not here: which streams are wanted, how many reads run at once, and what a position looks like.

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

/// Orders the events of one stream. `E` is what the caller carries: an event or its bytes.
#[derive(Debug)]
pub struct Sequencer<E> {
    numbering: Numbering,
    has_history: bool,
    is_ready: bool,
    /// All up to here was delivered or missed. Without meaning before `is_ready`.
    last: Position,
    held: Held<E>,
    doubt: Doubt,
    reading: Reading,
    /// What `last` was when the newest doubt arose since `ready`: an offset that the engine had
    /// reached before it lost a link.
    floor: Option<Offset>,
    past: PastEpochs,
    /// [`Output::Missed`] must come before anything else.
    owes_missed: bool,
    /// An audit has begun, and nothing has come since that its answer may be older than.
    is_audited: bool,
    reads_begun: u64,
    failed_reads: u32,
    futile_reads: u32,
    counters: SequencerCounters,
}

/// Whether events after the last one may be missing, beside those that what is held shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Doubt {
    None,
    /// Perhaps: `ready` can tell.
    Suspected,
    /// The sequencer knows it: it must read.
    Certain,
}

/// The one read that may be under way.
#[derive(Debug, Clone, Copy)]
enum Reading {
    No,
    Yes {
        after: Offset,
        /// What the read is to clear.
        doubt: Doubt,
    },
    /// What it answers is not asked any more.
    Obsolete,
}

impl<E> Sequencer<E> {
    /// The sequencer of a stream that is wanted, and not ready yet.
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

    /// The position up to which all was delivered or missed; `None` before the first
    /// [`Self::ready`].
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.is_ready.then_some(self.last)
    }

    /// Whether nothing is known to be missing, and nothing is in doubt.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.is_ready && self.is_sure() && !self.owes_missed
    }

    /// Whether the history should be read. False while a read is under way.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        let is_incomplete = self.doubt > Doubt::None || !self.held.is_empty();
        self.has_history && self.is_ready && is_incomplete && matches!(self.reading, Reading::No)
    }

    /// Reads in a row that have brought nothing: failures, and answers without what is missing. The
    /// caller pauses longer with each.
    #[must_use]
    pub fn fruitless_reads(&self) -> u32 {
        self.failed_reads.saturating_add(self.futile_reads)
    }

    /// What was counted since the last call.
    pub fn take_counters(&mut self) -> SequencerCounters {
        mem::take(&mut self.counters)
    }

    /// All events after `head` will arrive from now on. Those after the first `ready` are delivered.
    /// It comes again after a link was lost, and after the [`Self::doubt`] that this has raised.
    pub fn ready(&mut self, head: Position, sink: &mut impl Sink<E>) {
        self.is_audited = false;
        if !self.is_ready {
            self.begin(head, sink);
            self.count_gap(true);
            return;
        }
        let was_live = self.is_live();
        let floor = self.floor.take().unwrap_or(self.last.offset);
        // What is held arrived over links that may be lost. An engine that has lost its newest events
        // with them uses their offsets again.
        let has_dropped = self.held.retain(|_, _| false) > 0;
        if head.epoch != self.last.epoch || head.offset < floor {
            // In the same epoch, the engine has lost events that it had delivered.
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

    /// An event has arrived. `before`: the offset of the event before it ([`Numbering::Linked`]), 0
    /// where that was not kept any more; `bytes`: what holding it costs.
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

    /// Events may be missing after those that have arrived: a link was lost, a queue was full.
    pub fn doubt(&mut self, sink: &mut impl Sink<E>) {
        self.is_audited = false;
        if !self.is_ready {
            // The head that `ready` tells covers what arrived before.
            self.held.retain(|_, _| false);
            self.doubt = Doubt::None;
            return;
        }
        let was_live = self.is_live();
        self.floor = Some(self.last.offset);
        match self.numbering {
            _ if self.has_history => self.suspect(),
            // The next event shows what is missing; that one whose predecessor is unknown does not.
            Numbering::Dense => {}
            Numbering::Linked => self.suspect(),
            Numbering::Sparse => self.miss(sink),
        }
        self.count_gap(was_live);
    }

    /// The engine is about to be asked for the newest position of the stream: one audit at a time.
    pub fn begin_audit(&mut self) {
        self.is_audited = true;
    }

    /// The engine was asked for the newest position of the stream. Events that were published since
    /// may have arrived before the answer.
    pub fn audited(&mut self, head: Position, sink: &mut impl Sink<E>) {
        self.settle(sink);
        let is_current = mem::take(&mut self.is_audited);
        if !self.is_ready || head == self.last {
            return;
        }
        let was_live = self.is_live();
        if self.has_history {
            // The answer may be older than `last`: a read shows what is true.
            self.suspect();
        } else if !is_current {
            // Nothing tells which of two epochs is the newer one. The next audit can.
        } else if head.epoch != self.last.epoch {
            // The stream was in its epoch before the head was read: so that of the head is newer.
            self.go_on_from(head, sink);
        } else if head.offset > self.last.offset {
            self.pass_over(head.offset, sink);
        }
        self.count_gap(was_live);
    }

    /// Begins the read that [`Self::wants_read`]: the caller reads the events after the position that
    /// is returned, and answers with [`Self::page`] or [`Self::read_failed`].
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

    /// The read was answered: with events in their order, none of them left out, and with the newest
    /// position of the stream. Where events end before `head`, another read is wanted.
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

    /// The read has failed. What to do then depends on why: it is wanted again, or the events cannot
    /// be read any more.
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
                    // What was missing has arrived since, or nothing was.
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
