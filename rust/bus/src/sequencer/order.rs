//! Decides which events a sequencer delivers, holds, drops or reports as missed.
//!
//! Not here: the interface of the sequencer (`sequencer`).

use std::mem;

use super::held::{HeldEvent, Holding};
use super::{Doubt, Output, Reading, Sequencer, Sink};
use crate::engine::Numbering;
use crate::{Offset, Position};

/// Reads in a row that may be answered without the missing events before these are reported as missed
/// (count). More than one, because an answer may come from a replica of the history that is behind.
const MAX_FUTILE_READS: u32 = 5;

impl<E> Sequencer<E> {
    /// Handles the first `ready`. Events that arrived earlier belong to the stream if they are after
    /// `head`.
    pub(super) fn begin(&mut self, head: Position, sink: &mut impl Sink<E>) {
        self.is_ready = true;
        self.last = head;
        let mut is_incomplete = false;
        if !self.has_history {
            is_incomplete = mem::replace(&mut self.doubt, Doubt::None) > Doubt::None;
        }
        for (at, event) in self.held.take() {
            if at.epoch == head.epoch {
                if at.offset > head.offset {
                    self.arrive(at, event, sink);
                }
            } else if self.has_history {
                // It may be of an epoch newer than that of `head`: a read decides.
                self.hold(at, event);
            } else {
                self.past.add(at.epoch);
                self.counters.stale += 1;
                is_incomplete = true;
            }
        }
        if is_incomplete {
            self.miss(sink);
        }
    }

    /// Handles a later `ready` in the current epoch, when there is a history to read.
    pub(super) fn compare(&mut self, head: Position, has_dropped: bool) {
        if matches!(self.reading, Reading::Yes { .. }) {
            // The answer may describe an earlier history of the engine.
            self.reading = Reading::Obsolete;
            self.doubt = Doubt::Certain;
        }
        if has_dropped || head.offset > self.last.offset {
            self.doubt = Doubt::Certain;
        }
        if self.doubt == Doubt::Suspected {
            self.doubt = Doubt::None;
        }
    }

    /// Delivers an event, holds it, or drops it.
    pub(super) fn arrive(&mut self, at: Position, event: HeldEvent<E>, sink: &mut impl Sink<E>) {
        if at.epoch != self.last.epoch {
            self.arrive_of_other_epoch(at, event, sink);
        } else if at.offset <= self.last.offset {
            self.counters.duplicates += 1;
        } else if self.follows(at.offset, event.before, self.is_sure()) {
            if self.deliver(at, event.event, sink) {
                self.drain(false, sink);
            }
            if !self.has_history {
                self.doubt = Doubt::None;
            }
        } else if self.has_history {
            self.hold(at, event);
        } else {
            self.doubt = Doubt::None;
            self.pass_over(event.before.unwrap_or_else(|| before(at.offset)), sink);
            self.deliver(at, event.event, sink);
        }
    }

    pub(super) fn arrive_of_other_epoch(
        &mut self,
        at: Position,
        event: HeldEvent<E>,
        sink: &mut impl Sink<E>,
    ) {
        if self.past.contains(at.epoch) {
            self.counters.stale += 1;
        } else if self.has_history {
            // A read decides which of the two epochs is current.
            self.hold(at, event);
        } else {
            let offset = before(at.offset);
            self.doubt = Doubt::None;
            self.go_on_from(Position { offset, ..at }, sink);
            self.deliver(at, event.event, sink);
        }
    }

    /// Whether no event is missing between the last event and this one, which is after it. `is_sure`:
    /// no loss is known or suspected.
    pub(super) fn follows(&self, at: Offset, before: Option<Offset>, is_sure: bool) -> bool {
        match self.numbering {
            Numbering::Dense => at == self.last.offset.next(),
            Numbering::Linked => {
                let before = before.unwrap_or_default();
                before <= self.last.offset && (is_sure || before > Offset::default())
            }
            Numbering::Sparse => is_sure,
        }
    }

    pub(super) fn hold(&mut self, at: Position, event: HeldEvent<E>) {
        match self.held.insert(at, event) {
            Holding::Held => {
                let counters = &mut self.counters;
                counters.most_held = counters.most_held.max(self.held.len());
                counters.most_held_bytes = counters.most_held_bytes.max(self.held.bytes());
            }
            Holding::Duplicate => self.counters.duplicates += 1,
            // A further read is needed: the one in progress may be answered without this event.
            Holding::Full => self.doubt = Doubt::Certain,
        }
    }

    /// Delivers held events up to the first gap.
    pub(super) fn drain(&mut self, is_sure: bool, sink: &mut impl Sink<E>) {
        while let Some((offset, event)) = self.held.first(self.last.epoch) {
            let is_duplicate = offset <= self.last.offset;
            if !is_duplicate && !self.follows(offset, event.before, is_sure) {
                return;
            }
            let at = Position {
                offset,
                ..self.last
            };
            let Some(event) = self.held.remove(at) else {
                return;
            };
            if is_duplicate {
                self.counters.duplicates += 1;
            } else if !self.deliver(at, event.event, sink) {
                return;
            }
        }
    }

    /// Returns false when the sink had no room for the event.
    pub(super) fn deliver(&mut self, at: Position, event: E, sink: &mut impl Sink<E>) -> bool {
        let is_taken = self.settle(sink) && sink.take(Output::Deliver(at, event));
        if is_taken {
            self.last = at;
        } else if self.has_history {
            self.doubt = Doubt::Certain;
        } else {
            self.last = at;
            self.owes_missed = true;
        }
        is_taken
    }

    /// Ends the read in progress. Returns `None` if its answer must be ignored.
    pub(super) fn end_read(&mut self, sink: &mut impl Sink<E>) -> Option<(Offset, Doubt)> {
        self.settle(sink);
        match mem::replace(&mut self.reading, Reading::No) {
            Reading::No => None,
            Reading::Yes { after, doubt } => Some((after, doubt)),
            Reading::Obsolete => {
                self.drain(self.doubt == Doubt::None, sink);
                None
            }
        }
    }

    /// Continues after the events that a read returned after `start` were delivered.
    pub(super) fn complete(&mut self, start: Position, head: Position, sink: &mut impl Sink<E>) {
        let is_complete = self.last.offset >= head.offset;
        // The epoch was current when the read started.
        let (epoch, reads) = (self.last.epoch, self.reads_begun);
        let is_answered = |event: &HeldEvent<E>| event.reads < reads;
        let stale = self
            .held
            .retain(|at, event| at.epoch == epoch || !is_answered(event));
        self.counters.stale += stale as u64;
        self.drain(is_complete && self.doubt == Doubt::None, sink);

        let next = self.held.first(epoch);
        let has_gap = next.is_some_and(|(_, event)| is_answered(event));
        let is_futile = self.last == start && (!is_complete || has_gap);
        self.futile_reads = if is_futile { self.futile_reads + 1 } else { 0 };
        let is_given_up = self.futile_reads >= MAX_FUTILE_READS;
        if is_given_up {
            self.futile_reads = 0;
        }
        match next.map(|(offset, event)| event.before.unwrap_or_else(|| before(offset))) {
            _ if !is_complete && is_given_up => self.go_on_from(head, sink),
            _ if !is_complete => self.doubt = Doubt::Certain,
            Some(end_of_gap) if is_given_up => {
                self.pass_over(end_of_gap, sink);
                self.drain(true, sink);
            }
            _ => {}
        }
    }

    /// Continues in another history of the engine, whose newest event is at `head`. If its epoch is new
    /// here, all its events that the engine keeps are read: they were published after the missing ones.
    pub(super) fn go_on_in(&mut self, head: Position, sink: &mut impl Sink<E>) {
        let is_new = head.epoch != self.last.epoch && !self.past.contains(head.epoch);
        if !is_new || !self.has_history {
            return self.go_on_from(head, sink);
        }
        let offset = Offset::default();
        let doubt = self.doubt;
        if offset < head.offset {
            self.doubt = Doubt::Certain;
        }
        self.go_on_from(Position { offset, ..head }, sink);
        if self.numbering == Numbering::Dense && self.last.offset >= head.offset {
            // The events that had arrived are all that could be read.
            self.doubt = doubt;
        }
    }

    /// Continues at `head`: the events between the last one and `head` cannot be read.
    pub(super) fn go_on_from(&mut self, head: Position, sink: &mut impl Sink<E>) {
        if head.epoch != self.last.epoch {
            self.is_audited = false;
            self.past.add(self.last.epoch);
            self.past.remove(head.epoch);
        } else if head.offset < self.last.offset {
            // Offsets are used again, so the history of a held event is unknown.
            if self.held.retain(|at, _| at.epoch != head.epoch) > 0 {
                self.doubt = Doubt::Certain;
            }
        }
        if matches!(self.reading, Reading::Yes { .. }) {
            self.reading = Reading::Obsolete;
        }
        self.futile_reads = 0;
        self.last = head;
        if self.floor.is_some() {
            // The offset that the new epoch had reached when the doubt arose is unknown.
            self.floor = Some(Offset::default());
        }
        self.miss(sink);
        self.held
            .retain(|at, _| at.epoch != head.epoch || at.offset > head.offset);
        let stale = self.held.retain(|at, _| !self.past.contains(at.epoch));
        self.counters.stale += stale as u64;
        let is_sure = self.doubt == Doubt::None && matches!(self.reading, Reading::No);
        self.drain(is_sure, sink);
    }

    /// Reports the events up to this offset as missed: there is no history.
    pub(super) fn pass_over(&mut self, offset: Offset, sink: &mut impl Sink<E>) {
        self.last.offset = self.last.offset.max(offset);
        self.miss(sink);
    }

    pub(super) fn miss(&mut self, sink: &mut impl Sink<E>) {
        self.owes_missed = true;
        self.settle(sink);
    }

    /// Outputs [`Output::Missed`] if it is due. Returns false if the sink had no room.
    pub(super) fn settle(&mut self, sink: &mut impl Sink<E>) -> bool {
        if self.owes_missed && sink.take(Output::Missed(self.last)) {
            self.owes_missed = false;
            self.counters.missed += 1;
        } else if self.owes_missed && self.has_history {
            // A read is requested so that this is called again.
            self.doubt = Doubt::Certain;
        }
        !self.owes_missed
    }

    pub(super) fn suspect(&mut self) {
        self.doubt = self.doubt.max(Doubt::Suspected);
    }

    /// Whether no loss is known or suspected.
    pub(super) fn is_sure(&self) -> bool {
        self.doubt == Doubt::None && self.held.is_empty() && matches!(self.reading, Reading::No)
    }

    pub(super) fn count_gap(&mut self, was_live: bool) {
        self.counters.gaps += u64::from(was_live && !self.is_live());
    }
}

/// Returns an offset directly before this one. Exact where events are numbered one by one.
pub(super) fn before(offset: Offset) -> Offset {
    if offset.minor > 0 {
        Offset {
            minor: offset.minor - 1,
            ..offset
        }
    } else {
        Offset::new(offset.major.saturating_sub(1))
    }
}
