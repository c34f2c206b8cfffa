//! The initial value of a lane: when it is made, and which events it contains.
//!
//! Without a snapshot the value contains the events that were published before its function was called.
//! With one it contains the transactions that the snapshot says, whenever their events arrive. Where
//! events may be delivered before others see their effects, its function is called when those before the
//! subscription are settled.
//! Not here: calls and outcomes (`state`).

use std::time::Instant;

use bus::{LocalPosition, Snapshot};

use super::{ActiveCall, CallKind, LaneState, PendingItem, Settling};
use crate::subscription::call::CallInput;

impl LaneState {
    /// Whether the subscription does not receive an item: it is from before its begin, or in its initial
    /// value.
    pub(super) fn is_known(&self, item: &PendingItem) -> bool {
        let transaction = match item {
            PendingItem::Event(event) => event.transaction,
            PendingItem::Gap(_) => None,
        };
        let is_contained = |transaction| {
            let contained = self.contained.as_ref();
            contained.is_some_and(|contained| contained.contains(transaction))
        };
        item.sequence() <= self.begin.sequence.max(self.seen)
            || transaction.is_some_and(is_contained)
    }

    /// Ignores events up to this sequence that are pushed later.
    pub(in super::super) fn begin_after(&mut self, sequence: u64) {
        self.begin.sequence = sequence;
    }

    /// Notes the position after which the subscription receives events.
    pub(in super::super) fn begin_at(&mut self, begin: LocalPosition) {
        self.begin = begin;
    }

    /// Whether each initial value has to wait until what was delivered is settled.
    pub(in super::super) fn settling(mut self, settles: bool) -> Self {
        self.settles = settles;
        if matches!(self.first, Some(CallInput::Initial)) {
            self.begin_initial();
        }
        self
    }

    /// Makes the initial value before anything else.
    pub(super) fn begin_initial(&mut self) {
        self.first = Some(CallInput::Initial);
        if self.settles {
            self.settling = Settling::Due;
        }
    }

    /// The initial value may be made. Returns whether the host has to be scheduled.
    pub(in super::super) fn settled(&mut self) -> bool {
        self.settling = Settling::No;
        self.schedule()
    }

    /// Does not make the initial value.
    pub(in super::super) fn skip_initial(&mut self) {
        self.first = None;
        self.settling = Settling::No;
    }

    /// Makes the initial value again, which has to contain what is before `begin`. Returns whether the
    /// host has to be scheduled.
    pub(in super::super) fn restart(&mut self, begin: LocalPosition) -> bool {
        self.begin = begin;
        self.begin_initial();
        self.schedule()
    }

    /// As [`Self::restart`], after the initial value has failed. Does nothing if it is being made already,
    /// after a gap.
    pub(in super::super) fn retry(&mut self, begin: LocalPosition) -> bool {
        let is_due = matches!(self.first, Some(CallInput::Initial));
        let mut calls = self.running.iter();
        if self.closed || is_due || calls.any(|call| call.kind == CallKind::Initial) {
            return false;
        }
        self.restart(begin)
    }

    /// Notes the newest event when the function for the initial value is called. The value contains the
    /// events up to it, unless it comes with a snapshot.
    pub(in super::super) fn initial_begins(&mut self, seen: LocalPosition) {
        self.begun = Some(seen);
        self.contained = None;
    }

    /// Notes which transactions the initial value contains, and drops their events.
    pub(in super::super) fn initial_contains(&mut self, snapshot: Snapshot) {
        self.contained = Some(snapshot);
        self.begun = None;
        self.drop_known(self.begin);
    }

    /// Drops the events that are in the initial value. `seen`: the last one that is.
    fn drop_known(&mut self, seen: LocalPosition) {
        let mut seen = seen;
        while let Some(item) = self.events.front().filter(|item| self.is_known(item)) {
            if let PendingItem::Event(event) = item
                && event.at.sequence > seen.sequence
            {
                seen = event.at;
            }
            self.events.pop();
        }
        // Others may be behind events that are not contained.
        let mut kept = self.events.take_all();
        kept.retain(|item| !self.is_known(item));
        for item in kept {
            self.events.add(item);
        }
        if let Some(call) = self.initial_call() {
            call.at = Some(seen);
        }
    }

    /// The call for the initial value, while it runs.
    fn initial_call(&mut self) -> Option<&mut ActiveCall> {
        let id = self.initial?;
        self.running.iter_mut().find(|call| call.id == id)
    }

    /// Notes that the call for the initial value has ended.
    pub(super) fn initial_ends(&mut self) {
        if let Some(seen) = self.begun.take() {
            self.seen = seen.sequence;
            self.drop_known(seen);
        }
        self.initial = None;
    }

    /// Restarts the time limit of the call for the initial value. The call may produce several
    /// values; each has the full limit.
    pub(super) fn restart_time_of_initial(&mut self, now: Instant) {
        if let Some(call) = self.initial_call() {
            call.since = now;
        }
    }
}
