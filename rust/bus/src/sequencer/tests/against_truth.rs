//! Random faults in a model of an engine that records what was published. A subscriber receives these
//! events in order and once, or [`Output::Missed`] in place of those that it does not receive.

use std::collections::{HashSet, VecDeque};

use proptest::prelude::*;

use super::*;
use Numbering::{Dense, Linked, Sparse};

/// Events of a page, so that pages often end before the head (count).
const PAGE: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    Publish {
        gap: u64,
    },
    Arrive,
    Lose,
    Duplicate {
        later: usize,
    },
    Swap {
        place: usize,
    },
    Doubt,
    /// The link is lost, and all messages on it. `ready` follows with `PushReady`.
    Cut,
    PushReady,
    BeginRead {
        is_answered_at_once: bool,
    },
    Answer,
    FailRead,
    AskForHead,
    Audit,
    Trim {
        keep: usize,
    },
    /// The engine starts again without its newest events.
    Failover {
        lost: usize,
    },
    /// The engine has forgotten the stream, and starts a new epoch. No link is lost.
    Forget,
    /// The engine starts again without its newest events, and in the same epoch.
    UnfencedFailover {
        lost: usize,
    },
    Full {
        outputs: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    use Step::*;
    let step = prop_oneof![
        12 => (1..4_u64).prop_map(|gap| Publish { gap }),
        16 => Just(Arrive),
        3 => Just(Lose),
        2 => (0..4_usize).prop_map(|later| Duplicate { later }),
        2 => (0..3_usize).prop_map(|place| Swap { place }),
        1 => Just(Doubt),
        1 => Just(Cut),
        2 => Just(PushReady),
        6 => any::<bool>().prop_map(|is_answered_at_once| BeginRead { is_answered_at_once }),
        6 => Just(Answer),
        1 => Just(FailRead),
        1 => Just(AskForHead),
        1 => Just(Audit),
        1 => (0..4_usize).prop_map(|keep| Trim { keep }),
        1 => (0..3_usize).prop_map(|lost| Failover { lost }),
        1 => Just(Forget),
        1 => (0..3_usize).prop_map(|lost| UnfencedFailover { lost }),
        1 => (1..4_usize).prop_map(|outputs| Full { outputs }),
    ];
    prop::collection::vec(step, 1..150)
}

#[derive(Debug, Clone, Copy)]
struct Published {
    at: Position,
    before: Offset,
    /// Numbers all events of the stream, across epochs.
    id: u64,
}

#[derive(Debug, Clone, Copy)]
enum Message {
    Event(Published),
    Doubt,
    /// The head, and the newest event at that time.
    Ready(Position, u64),
    /// The answer to an audit without a history. It arrives after the events that were published before
    /// it.
    Head(Position),
}

type Answer = Result<(Vec<Published>, Position), ReadError>;

/// The engine.
struct Engine {
    numbering: Numbering,
    epoch: Epoch,
    head: Offset,
    kept: VecDeque<Published>,
    /// Events up to this offset are not kept.
    trimmed: Offset,
    newest: u64,
}

impl Engine {
    fn head(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.head,
        }
    }

    fn publish(&mut self, gap: u64) -> Published {
        let before = self
            .kept
            .back()
            .map_or(Offset::default(), |last| last.at.offset);
        let gap = if self.numbering == Dense { 1 } else { gap };
        self.head = Offset::new(self.head.major + gap);
        self.newest += 1;
        let event = Published {
            at: self.head(),
            before,
            id: self.newest,
        };
        self.kept.push_back(event);
        event
    }

    fn read(&self, after: Position) -> Answer {
        let head = self.head();
        if after.epoch != self.epoch {
            return Err(ReadError::OtherEpoch { head });
        }
        if after.offset < self.trimmed {
            return Err(ReadError::TooLate { head });
        }
        let kept = self
            .kept
            .iter()
            .filter(|event| event.at.offset > after.offset);
        Ok((kept.take(PAGE).copied().collect(), head))
    }

    fn trim(&mut self, keep: usize) {
        while self.kept.len() > keep {
            if let Some(event) = self.kept.pop_front() {
                self.trimmed = event.at.offset;
            }
        }
    }

    /// Loses the newest events that it keeps. Returns their ids.
    fn lose(&mut self, count: usize) -> Vec<u64> {
        let lost = self.kept.split_off(self.kept.len().saturating_sub(count));
        self.head = self.kept.back().map_or(self.trimmed, |last| last.at.offset);
        lost.iter().map(|event| event.id).collect()
    }

    fn begin_epoch(&mut self) {
        self.epoch = Epoch(self.epoch.0 + 1);
        self.head = Offset::default();
        self.trimmed = Offset::default();
        self.kept.clear();
    }
}

/// Receives the output of the sequencer, and checks it.
#[derive(Debug, Default)]
struct Subscriber {
    /// The newest event that it has received or was told to have missed; `None` before the first
    /// `ready`.
    last: Option<u64>,
    has_missed: bool,
    /// Events that the engine lost before they were delivered, and cannot report as lost.
    lost_silently: HashSet<u64>,
    /// Outputs that it refuses (count).
    refuses: usize,
}

impl Subscriber {
    fn take(&mut self, output: Output<Published>) -> bool {
        if self.refuses > 0 {
            self.refuses -= 1;
            return false;
        }
        match output {
            Output::Missed(_) => self.has_missed = true,
            Output::Deliver(at, event) => {
                let last = self.last.expect("nothing comes before ready");
                assert_eq!(at, event.at);
                // A head that is older looks like lost events: events may come again, but only after
                // `Missed`.
                let is_in_order = self.has_missed || event.id > last;
                assert!(is_in_order, "{} after {last}", event.id);
                assert!(
                    self.has_missed || self.lacks(event.id - 1).is_none(),
                    "{} after {last}: events are missing without `Missed`",
                    event.id,
                );
                self.has_missed = false;
                self.last = Some(event.id);
            }
        }
        true
    }

    /// Returns an event up to `newest` that was neither received nor reported as missed.
    fn lacks(&self, newest: u64) -> Option<u64> {
        let last = self.last.expect("it is ready");
        (last + 1..=newest).find(|id| !self.lost_silently.contains(id))
    }
}

struct World {
    engine: Engine,
    has_history: bool,
    sequencer: Sequencer<Published>,
    subscriber: Subscriber,
    wire: VecDeque<Message>,
    /// The head of the next `ready`.
    ready: Option<(Position, u64)>,
    /// The position after which a read reads, and its answer if that was made at once.
    read: Option<(Position, Option<Answer>)>,
    /// The answer to an audit that has started.
    audit: Option<Position>,
    is_audit_asked: bool,
    has_silent_loss: bool,
}

impl World {
    fn new(numbering: Numbering, has_history: bool) -> Self {
        let limits = HeldLimits {
            events: 4,
            bytes: 100,
        };
        let mut world = Self {
            engine: Engine {
                numbering,
                epoch: Epoch(1),
                head: Offset::default(),
                kept: VecDeque::new(),
                trimmed: Offset::default(),
                newest: 0,
            },
            has_history,
            sequencer: Sequencer::new(numbering, has_history, limits),
            subscriber: Subscriber::default(),
            wire: VecDeque::new(),
            ready: None,
            read: None,
            audit: None,
            is_audit_asked: false,
            has_silent_loss: false,
        };
        world.ask_for_ready();
        world
    }

    fn ask_for_ready(&mut self) {
        self.ready = Some((self.engine.head(), self.engine.newest));
    }

    fn step(&mut self, step: Step) {
        let numbering = self.engine.numbering;
        match step {
            Step::Publish { gap } => {
                let event = self.engine.publish(gap);
                self.wire.push_back(Message::Event(event));
            }
            Step::Arrive => self.arrive(),
            Step::Lose => self.lose(),
            Step::Duplicate { later } => {
                let is_head =
                    |message: &Message| matches!(message, Message::Ready(..) | Message::Head(_));
                let end = self.wire.iter().position(is_head);
                let end = end.unwrap_or(self.wire.len());
                // A copy of a lost event that arrives after a later event would break the order.
                let later = if numbering == Sparse { 0 } else { later };
                if let Some(&message @ Message::Event(_)) = self.wire.front() {
                    self.wire.insert(end.min(1 + later), message);
                }
            }
            Step::Swap { place } if numbering != Sparse => {
                let pair = (self.wire.get(place), self.wire.get(place + 1));
                if let (Some(Message::Event(a)), Some(Message::Event(b))) = pair
                    && a.before.min(b.before) > Offset::default()
                {
                    self.wire.swap(place, place + 1);
                }
            }
            Step::Swap { .. } => {}
            Step::Doubt => {
                self.wire.push_back(Message::Doubt);
                if self.ready.is_some() {
                    self.ask_for_ready();
                }
            }
            Step::Cut => self.cut(),
            Step::PushReady => {
                if let Some((head, newest)) = self.ready.take() {
                    self.wire.push_back(Message::Ready(head, newest));
                }
            }
            Step::BeginRead {
                is_answered_at_once,
            } => {
                if let Some(after) = self.sequencer.begin_read() {
                    assert!(self.read.is_none(), "one read at a time");
                    let answer = is_answered_at_once.then(|| self.engine.read(after));
                    self.read = Some((after, answer));
                }
            }
            Step::Answer => {
                if let Some((after, answer)) = self.read.take() {
                    let answer = answer.unwrap_or_else(|| self.engine.read(after));
                    self.answer(answer);
                }
            }
            Step::FailRead => {
                if self.read.take().is_some() {
                    self.answer(Err(unavailable()));
                }
            }
            Step::AskForHead if self.is_audit_asked => {}
            Step::AskForHead => {
                self.is_audit_asked = true;
                self.sequencer.begin_audit();
                let head = self.engine.head();
                if self.has_history {
                    self.audit = Some(head);
                } else {
                    self.wire.push_back(Message::Head(head));
                }
            }
            Step::Audit => {
                if let Some(head) = self.audit.take() {
                    self.is_audit_asked = false;
                    self.audited(head);
                }
            }
            Step::Trim { keep } => {
                self.engine.trim(keep);
                if self.engine.kept.is_empty() && self.has_silent_loss {
                    // The next event cannot show that an earlier one is missing.
                    self.step(Step::Doubt);
                }
            }
            Step::Failover { lost } => {
                self.engine.lose(lost);
                self.engine.begin_epoch();
                if self.ready.is_some() {
                    self.ask_for_ready();
                }
            }
            Step::Forget => self.engine.begin_epoch(),
            Step::UnfencedFailover { lost } => {
                let lost = self.engine.lose(lost);
                self.audit = None;
                self.is_audit_asked = false;
                let last = self.subscriber.last.unwrap_or(u64::MAX);
                self.subscriber
                    .lost_silently
                    .extend(lost.into_iter().filter(|&id| id > last));
                if self.read.take().is_some() {
                    self.answer(Err(unavailable()));
                }
                self.cut();
                self.step(Step::PushReady);
                self.arrive();
            }
            Step::Full { outputs } => self.subscriber.refuses += outputs,
        }
    }

    fn cut(&mut self) {
        let is_head = |message: &Message| matches!(message, Message::Head(_));
        self.is_audit_asked &= !self.wire.iter().any(is_head);
        self.wire.clear();
        self.wire.push_back(Message::Doubt);
        self.arrive();
        self.ask_for_ready();
    }

    fn lose(&mut self) {
        let Some(&Message::Event(lost)) = self.wire.front() else {
            return;
        };
        let is_shown = match self.engine.numbering {
            Dense => true,
            Sparse => false,
            Linked => !self.wire.iter().any(|message| {
                matches!(message, Message::Event(event) if event.before == Offset::default())
            }) && !self.engine.kept.is_empty(),
        };
        self.wire.pop_front();
        self.has_silent_loss |= is_shown;
        if !is_shown {
            // A head that is under way is older than the doubt: another one is requested.
            let messages = self.wire.len();
            self.wire
                .retain(|message| !matches!(message, Message::Ready(..)));
            if self.ready.is_some() || self.wire.len() < messages {
                self.ask_for_ready();
            }
            // The doubt is about its place in the order: events that it has overtaken come before.
            let is_earlier =
                |message: &Message| matches!(message, Message::Event(event) if event.id < lost.id);
            let place = self.wire.iter().rposition(is_earlier);
            self.wire
                .insert(place.map_or(0, |place| place + 1), Message::Doubt);
        }
    }

    fn arrive(&mut self) {
        let Some(message) = self.wire.pop_front() else {
            return;
        };
        let Self {
            sequencer,
            subscriber,
            ..
        } = self;
        if let Message::Ready(_, newest) = message {
            subscriber.last.get_or_insert(newest);
        }
        let mut sink = |output| subscriber.take(output);
        match message {
            Message::Event(event) => {
                sequencer.event(event.at, Some(event.before), 1, event, &mut sink);
            }
            Message::Doubt => sequencer.doubt(&mut sink),
            Message::Ready(head, _) => sequencer.ready(head, &mut sink),
            Message::Head(head) => self.audit = Some(head),
        }
    }

    fn answer(&mut self, answer: Answer) {
        let mut sink = |output| self.subscriber.take(output);
        match answer {
            Ok((events, head)) => {
                let events = events.into_iter().map(|event| (event.at, event));
                self.sequencer.page(events, head, &mut sink);
            }
            Err(error) => self.sequencer.read_failed(&error, &mut sink),
        }
    }

    fn audited(&mut self, head: Position) {
        let mut sink = |output| self.subscriber.take(output);
        self.sequencer.audited(head, &mut sink);
    }

    /// Delivers and reads everything, without further faults.
    fn settle(&mut self) {
        self.subscriber.refuses = 0;
        self.step(Step::PushReady);
        while !self.wire.is_empty() {
            self.arrive();
        }
        self.read_all();
        self.sequencer.begin_audit();
        self.audited(self.engine.head());
        self.read_all();
    }

    fn read_all(&mut self) {
        for _ in 0..1000 {
            self.step(Step::Answer);
            if !self.sequencer.wants_read() {
                return;
            }
            self.step(Step::BeginRead {
                is_answered_at_once: true,
            });
        }
        panic!("it reads for ever");
    }

    fn check(&mut self) {
        // Without a history, it stays unknown whether events are missing before an event whose
        // predecessor is not kept.
        let may_doubt = self.engine.numbering == Linked && !self.has_history;
        assert!(self.sequencer.is_live() || may_doubt);
        let subscriber = &self.subscriber;
        let lacks = subscriber.lacks(self.engine.newest);
        assert!(
            subscriber.has_missed || lacks.is_none(),
            "{lacks:?} is missing without `Missed`"
        );
        // The stream still works.
        for _ in 0..2 {
            self.step(Step::Publish { gap: 1 });
            self.arrive();
            assert_eq!(self.subscriber.last, Some(self.engine.newest));
        }
    }
}

fn holds(numbering: Numbering, has_history: bool, steps: Vec<Step>) {
    let mut world = World::new(numbering, has_history);
    for step in steps {
        world.step(step);
    }
    world.settle();
    world.check();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn dense_offsets_with_history(steps in steps()) {
        holds(Dense, true, steps);
    }

    #[test]
    fn linked_offsets_with_history(steps in steps()) {
        holds(Linked, true, steps);
    }

    #[test]
    fn sparse_offsets_with_history(steps in steps()) {
        holds(Sparse, true, steps);
    }

    #[test]
    fn dense_offsets_without_history(steps in steps()) {
        holds(Dense, false, steps);
    }

    #[test]
    fn linked_offsets_without_history(steps in steps()) {
        holds(Linked, false, steps);
    }

    #[test]
    fn sparse_offsets_without_history(steps in steps()) {
        holds(Sparse, false, steps);
    }
}

#[test]
fn an_event_that_is_lost_after_it_has_overtaken_another_is_told() {
    use Step::*;
    let steps = vec![
        Publish { gap: 1 },
        Cut,
        PushReady,
        Publish { gap: 1 },
        Publish { gap: 1 },
        Trim { keep: 0 },
        Arrive,
        Swap { place: 0 },
        Lose,
        Publish { gap: 1 },
    ];
    holds(Linked, false, steps);
}
