//! What a sequencer does: rule by rule, and against a model of an engine.

mod against_truth;
mod history;
mod live;
mod starts;
mod without_history;

use super::{HeldLimits, Output, Sequencer, SequencerCounters};
use crate::engine::{Numbering, ReadError};
use crate::{Epoch, Offset, Position};

/// A sequencer whose events are their own offsets, and its output.
struct Stream {
    sequencer: Sequencer<u64>,
    out: Vec<Output<u64>>,
    /// How many outputs it accepts before it is full.
    room: usize,
}

fn at(epoch: u64, offset: u64) -> Position {
    Position::new(Epoch(epoch), offset)
}

fn deliver(epoch: u64, offsets: impl IntoIterator<Item = u64>) -> Vec<Output<u64>> {
    let offsets = offsets.into_iter();
    offsets
        .map(|offset| Output::Deliver(at(epoch, offset), offset))
        .collect()
}

fn missed(epoch: u64, offset: u64) -> Vec<Output<u64>> {
    vec![Output::Missed(at(epoch, offset))]
}

impl Stream {
    fn new(numbering: Numbering, has_history: bool) -> Self {
        let limits = HeldLimits {
            events: 8,
            bytes: 100,
        };
        Self {
            sequencer: Sequencer::new(numbering, has_history, limits),
            out: Vec::new(),
            room: usize::MAX,
        }
    }

    /// A stream that is ready at an offset of epoch 1.
    fn ready_at(numbering: Numbering, has_history: bool, offset: u64) -> Self {
        let mut stream = Self::new(numbering, has_history);
        stream.ready(at(1, offset));
        stream
    }

    /// Returns the output since the last call.
    fn out(&mut self) -> Vec<Output<u64>> {
        std::mem::take(&mut self.out)
    }

    fn on<T>(
        &mut self,
        call: impl FnOnce(&mut Sequencer<u64>, &mut dyn FnMut(Output<u64>) -> bool) -> T,
    ) -> T {
        let (out, room) = (&mut self.out, &mut self.room);
        call(&mut self.sequencer, &mut |output| {
            let is_taken = *room > 0;
            if is_taken {
                *room -= 1;
                out.push(output);
            }
            is_taken
        })
    }

    fn ready(&mut self, head: Position) {
        self.on(|sequencer, mut sink| sequencer.ready(head, &mut sink));
    }

    /// An event of 1 byte.
    fn event(&mut self, at: Position) {
        self.large_event(at, 1);
    }

    fn large_event(&mut self, at: Position, bytes: usize) {
        let event = at.offset.major;
        self.on(|sequencer, mut sink| sequencer.event(at, None, bytes, event, &mut sink));
    }

    fn events(&mut self, epoch: u64, offsets: impl IntoIterator<Item = u64>) {
        for offset in offsets {
            self.event(at(epoch, offset));
        }
    }

    fn linked(&mut self, position: Position, before: u64) {
        let (event, before) = (position.offset.major, Some(Offset::new(before)));
        self.on(|sequencer, mut sink| sequencer.event(position, before, 1, event, &mut sink));
    }

    fn doubt(&mut self) {
        self.on(|sequencer, mut sink| sequencer.doubt(&mut sink));
    }

    /// An audit during which nothing arrives.
    fn audited(&mut self, head: Position) {
        self.sequencer.begin_audit();
        self.answer_audit(head);
    }

    fn answer_audit(&mut self, head: Position) {
        self.on(|sequencer, mut sink| sequencer.audited(head, &mut sink));
    }

    /// Starts the read, which must be wanted. Returns the offset after which it reads.
    fn begin_read(&mut self) -> u64 {
        let after = self.sequencer.begin_read().expect("a read is wanted");
        after.offset.major
    }

    fn page(&mut self, epoch: u64, offsets: impl IntoIterator<Item = u64>, head: u64) {
        let offsets = offsets.into_iter();
        let events: Vec<_> = offsets.map(|offset| (at(epoch, offset), offset)).collect();
        self.on(|sequencer, mut sink| sequencer.page(events, at(epoch, head), &mut sink));
    }

    fn read_failed(&mut self, error: ReadError) {
        self.on(|sequencer, mut sink| sequencer.read_failed(&error, &mut sink));
    }

    fn counters(&mut self) -> SequencerCounters {
        self.sequencer.take_counters()
    }

    fn position(&self) -> Position {
        self.sequencer.position().expect("it is ready")
    }

    fn is_live(&self) -> bool {
        self.sequencer.is_live()
    }

    fn wants_read(&self) -> bool {
        self.sequencer.wants_read()
    }
}

fn unavailable() -> ReadError {
    ReadError::Unavailable("no link".to_owned())
}
