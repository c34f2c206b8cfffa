//! Each event has one outcome, and outcomes are taken in the order of the events, for any
//! interleaving of host, actor and clock.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use bus::{Draft, Stream, Streams};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::subscription::shard::tests::dense;

const LIMIT: Duration = Duration::from_secs(10);

/// A lane, and the state that the test expects of it.
struct World {
    state: LaneState,
    stream: Arc<Stream>,
    now: Instant,
    published: u64,
    /// Calls that the host has invoked and not settled, with their offsets.
    invoked: Vec<(CallId, u64)>,
    /// How often the host was scheduled and has not started a call (count).
    scheduled: usize,
    /// Offsets in the order in which their outcomes were taken.
    left: Vec<u64>,
    /// Offsets whose calls have timed out.
    expired: Vec<u64>,
    timer: Option<Instant>,
}

impl World {
    fn new(concurrency: usize, policy: SlowConsumer) -> Self {
        Self {
            state: LaneState::new(None, concurrency, Some(LIMIT), policy),
            stream: Streams::new([1; 16], false).of("orders", None),
            now: Instant::now(),
            published: 0,
            invoked: Vec::new(),
            scheduled: 0,
            left: Vec::new(),
            expired: Vec::new(),
            timer: None,
        }
    }

    fn event(&mut self) -> Arc<Event> {
        self.published += 1;
        Arc::new(Event::new(
            draft(),
            self.stream.clone(),
            dense(self.published),
        ))
    }

    fn push(&mut self) -> PushedEvent {
        let event = self.event();
        let pushed = self.state.push(event, || outcome("too slow"));
        self.scheduled += usize::from(pushed.schedule);
        pushed
    }

    fn push_gap(&mut self) {
        self.published += 1;
        let at = dense(self.published);
        let pushed = self.state.push_gap(at, false, || outcome("too slow"));
        self.scheduled += usize::from(pushed.schedule);
    }

    /// The host starts a call, if it was scheduled.
    fn start(&mut self) {
        if self.scheduled == 0 {
            return;
        }
        self.scheduled -= 1;
        let Started { call, reschedule } = self.state.start(self.now);
        self.scheduled += usize::from(reschedule);
        if let Some((id, CallInput::Event(event))) = call {
            self.invoked.push((id, event.at.sequence));
        }
    }

    /// The host settles one of the running calls.
    fn settle(&mut self, which: prop::sample::Index) {
        if !self.invoked.is_empty() {
            self.settle_at(which.index(self.invoked.len()));
        }
    }

    fn settle_at(&mut self, index: usize) {
        let (id, offset) = self.invoked.remove(index);
        let settled = self.state.settle(id, outcome(&offset.to_string()));
        assert_eq!(settled.is_wanted, !self.expired.contains(&offset));
        self.scheduled += usize::from(settled.reschedule);
    }

    /// The actor takes the next item, if there is one.
    fn take(&mut self) {
        assert_eq!(self.state.has_news(), {
            let taken = self.state.take(self.now);
            let has_taken = taken.is_some();
            match taken.map(|taken| (taken.item, taken.schedule)) {
                Some((LaneItem::Outcome(_, at) | LaneItem::Initial(_, at), schedule)) => {
                    self.left.extend(at.map(|at| at.sequence));
                    self.scheduled += usize::from(schedule);
                }
                Some((LaneItem::Gap(at), schedule)) => {
                    self.left.push(at.sequence);
                    self.scheduled += usize::from(schedule);
                }
                Some((LaneItem::Start(limit), _)) => {
                    assert_eq!(self.timer, None, "one timer at a time");
                    self.timer = Some(self.now + limit);
                }
                Some((LaneItem::Settle(_), _)) | None => {}
            }
            has_taken
        });
    }

    /// The worker passes the next response on without the actor, which takes what is none.
    fn pass(&mut self) {
        let Some((outcome, at, schedule)) = self.state.take_response() else {
            let first = self.state.running.front();
            let is_response =
                |call: &ActiveCall| call.kind != CallKind::Gap && call.outcome.is_some();
            assert!(!first.is_some_and(is_response), "every response passes");
            return;
        };
        assert!(matches!(outcome, Outcome::Response(_) | Outcome::Failed(_)));
        self.left.extend(at.map(|at| at.sequence));
        self.scheduled += usize::from(schedule);
    }

    /// Time passes; the timer fires if it is due.
    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        if self.timer.is_none_or(|due| due > self.now) {
            return;
        }
        let expired = self
            .state
            .expire(self.now, LIMIT, || Bytes::from_static(b"timed out"));
        for id in &expired.ids {
            let call = self.invoked.iter().find(|(call, _)| call == id);
            self.expired.push(call.unwrap().1);
        }
        self.scheduled += usize::from(expired.schedule);
        self.timer = expired.next.map(|left| self.now + left);
    }
}

fn draft() -> Draft {
    Draft {
        channel: "orders".into(),
        event_type: None,
        tenant_id: None,
        id: None,
        data: json!({}).into(),
        trace: None,
    }
}

fn outcome(text: &str) -> Outcome {
    Outcome::Response(Bytes::copy_from_slice(text.as_bytes()))
}

#[derive(Debug, Clone)]
enum Step {
    Push,
    Gap,
    Start,
    Settle(prop::sample::Index),
    Take,
    Pass,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Push),
        1 => Just(Step::Gap),
        3 => Just(Step::Start),
        3 => any::<prop::sample::Index>().prop_map(Step::Settle),
        4 => Just(Step::Take),
        4 => Just(Step::Pass),
        1 => (0..12u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_event_leaves_once_and_in_order(
        concurrency in 1..5usize,
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut world = World::new(concurrency, SlowConsumer::Disconnect);
        for step in steps {
            match step {
                Step::Push => {
                    prop_assert!(!world.push().is_too_slow);
                }
                Step::Gap => world.push_gap(),
                Step::Start => world.start(),
                Step::Settle(which) => world.settle(which),
                Step::Take => world.take(),
                Step::Pass => world.pass(),
                Step::Wait(seconds) => world.wait(seconds),
            }
            let running = world.invoked.iter().filter(|(_, offset)| !world.expired.contains(offset));
            prop_assert!(running.count() <= concurrency);
            prop_assert!(world.scheduled <= 1, "the host is told once");
            prop_assert!(world.scheduled == 1 || !world.state.can_start(), "the host is told");
        }
        for _ in 0..world.published * 4 {
            world.start();
            if !world.invoked.is_empty() {
                world.settle_at(0);
            }
            world.take();
        }
        prop_assert_eq!(&world.left, &(1..=world.published).collect::<Vec<_>>());
        prop_assert!(world.state.is_idle());
        prop_assert_eq!(world.state.last(), 0);
        prop_assert!(world.state.is_past(world.published));
    }
}

#[test]
fn only_responses_to_events_pass_without_the_actor() {
    let ending = || Outcome::Refused(Bytes::from_static(b"[]"));
    for (outcome, passes) in [
        (outcome("1"), true),
        (Outcome::Failed(Bytes::new()), true),
        (Outcome::Skip, true),
        (Outcome::End, false),
        (Outcome::Retry(Bytes::new()), false),
        (ending(), false),
    ] {
        let mut world = World::new(1, SlowConsumer::Disconnect);
        world.push();
        world.start();
        let (id, _) = world.invoked[0];
        let _ = world.state.settle(id, outcome.clone());
        let taken = world.state.take_response();
        assert_eq!(taken.is_some(), passes, "{outcome:?}");
        // What does not pass is still there.
        assert_eq!(world.state.has_outcome(), !passes, "{outcome:?}");
    }
    let first = Some(CallInput::Initial);
    let mut state = LaneState::new(first, 1, None, SlowConsumer::Disconnect);
    let (initial, _) = state.start(Instant::now()).call.unwrap();
    let _ = state.settle(initial, outcome("initial"));
    assert_eq!(state.take_response(), None);
    // An end that follows from the queue goes before responses.
    let mut world = World::new(1, SlowConsumer::Disconnect);
    world.push();
    world.start();
    let (id, _) = world.invoked[0];
    world.state.refuse(ending());
    let _ = world.state.settle(id, outcome("1"));
    assert_eq!(world.state.take_response(), None);
}

#[test]
fn no_policy_drops_a_gap() {
    let mut world = World::new(1, SlowConsumer::DropOldest);
    world.push_gap();
    for _ in 0..2 * MAX_PENDING_EVENTS {
        world.push();
    }
    world.start();
    let taken = world.state.take(world.now).unwrap();
    assert_eq!(taken.item, LaneItem::Gap(dense(1)));
}

#[test]
fn the_initial_value_is_made_again_after_a_gap() {
    let mut world = World::new(2, SlowConsumer::Disconnect);
    world.push();
    let at = dense(2);
    world.state.push_gap(at, true, || outcome("too slow"));
    let Started { call, reschedule } = world.state.start(world.now);
    let Some((id, CallInput::Event(_))) = call else {
        panic!("{call:?}");
    };
    assert!(reschedule);
    let Started { call, .. } = world.state.start(world.now);
    let Some((initial, CallInput::Initial)) = call else {
        panic!("{call:?}");
    };
    // The outcomes of earlier events are taken before the gap.
    let _ = world.state.settle(initial, outcome("initial"));
    assert!(!world.state.has_outcome());
    let _ = world.state.settle(id, outcome("1"));
    let mut items = Vec::new();
    while let Some(taken) = world.state.take(world.now) {
        items.push(taken.item);
    }
    let gap = items.iter().position(|item| *item == LaneItem::Gap(at));
    let value = |item: &LaneItem| matches!(item, LaneItem::Initial(found, _) if *found == outcome("initial"));
    let value = items.iter().position(value);
    assert!(gap.is_some() && gap < value, "{items:?}");
}

#[test]
fn a_resolver_that_is_too_slow_ends_its_subscription_once() {
    let mut world = World::new(1, SlowConsumer::Disconnect);
    for _ in 0..MAX_PENDING_EVENTS {
        assert_eq!(world.push().dropped, 0);
    }
    let pushed = world.push();
    assert_eq!(
        (pushed.dropped, pushed.is_too_slow),
        (MAX_PENDING_EVENTS + 1, true)
    );
    assert_eq!(world.push(), PushedEvent::default());
    let taken = world.state.take(world.now).unwrap();
    assert_eq!(taken.item, LaneItem::Outcome(outcome("too slow"), None));
}

#[test]
fn a_policy_that_drops_keeps_the_newest_events() {
    for (policy, first) in [
        (SlowConsumer::DropOldest, 3),
        (SlowConsumer::Latest, MAX_PENDING_EVENTS as u64 + 2),
    ] {
        let mut world = World::new(1, policy);
        let mut dropped = 0;
        for _ in 0..MAX_PENDING_EVENTS + 2 {
            dropped += world.push().dropped;
        }
        world.start();
        let skipped = if policy == SlowConsumer::Latest { 1 } else { 0 };
        assert_eq!(world.invoked[0].1, first - skipped);
        assert_eq!(dropped as u64, first - skipped - 1);
    }
}

#[test]
fn events_that_an_initial_value_contains_do_not_follow_it() {
    let mut world = World::new(2, SlowConsumer::Disconnect);
    world.state.restart(dense(0));
    for _ in 0..3 {
        world.push();
    }
    let Started { call, reschedule } = world.state.start(world.now);
    let Some((id, CallInput::Initial)) = call else {
        panic!("{call:?}");
    };
    assert!(!reschedule, "no event starts before it has ended");
    world.state.initial_begins(dense(2));
    assert_eq!(world.state.last(), 3);
    assert!(world.state.settle(id, outcome("initial")).reschedule);
    let Started { call, .. } = world.state.start(world.now);
    assert!(matches!(call, Some((_, CallInput::Event(event))) if event.at.sequence == 3));
    let taken = world.state.take(world.now).unwrap();
    assert_eq!(
        taken.item,
        LaneItem::Initial(outcome("initial"), Some(dense(2)))
    );
}

#[test]
fn a_lane_whose_events_the_initial_value_contains_is_idle_after_it() {
    let mut world = World::new(1, SlowConsumer::Disconnect);
    world.state.restart(dense(0));
    world.push();
    let Started { call, .. } = world.state.start(world.now);
    let (late, event) = (world.event(), call.unwrap());
    world.state.initial_begins(dense(2));
    // The event was published before the initial value began, and is pushed after it.
    let pushed = world.state.push(late, || outcome("too slow"));
    assert_eq!(pushed, PushedEvent::default());
    assert!(!world.state.settle(event.0, outcome("initial")).reschedule);
    assert!(world.state.take(world.now).is_some());
    assert!(world.state.is_idle());
}

#[test]
fn the_events_of_transactions_that_a_snapshot_contains_do_not_follow() {
    let mut world = World::new(1, SlowConsumer::Disconnect);
    world.state.restart(dense(0));
    let push = |world: &mut World, transaction: u64| {
        world.published += 1;
        let draft = draft();
        let event = Event::new(draft, world.stream.clone(), dense(world.published));
        let event = Arc::new(event.in_transaction(Some(transaction)));
        let _ = world.state.push(event, || outcome("too slow"));
    };
    for transaction in [10, 13, 12, 11, 15] {
        push(&mut world, transaction);
    }
    let (id, _) = world.state.start(world.now).call.unwrap();
    // The function is called after the first three events have arrived.
    world.state.initial_begins(dense(3));
    world.state.initial_contains("10:15:12,13".parse().unwrap());
    for transaction in [14, 13, 16] {
        push(&mut world, transaction);
    }
    let _ = world.state.settle(id, outcome("initial"));
    let taken = world.state.take(world.now).unwrap();
    assert_eq!(
        taken.item,
        LaneItem::Initial(outcome("initial"), Some(dense(1)))
    );
    let mut followed = Vec::new();
    while let Some((id, CallInput::Event(event))) = world.state.start(world.now).call {
        followed.push(event.at.sequence);
        let _ = world.state.settle(id, outcome("event"));
        world.take();
    }
    assert_eq!(followed, [2, 3, 5, 7, 8]);
    assert!(world.state.is_idle());
}

#[test]
fn the_initial_value_waits_until_what_was_delivered_is_settled() {
    let first = Some(CallInput::Initial);
    let mut state = LaneState::new(first, 1, None, SlowConsumer::Disconnect).settling(true);
    state.begin_at(dense(4));
    state.open();
    let now = Instant::now();
    assert!(state.start(now).call.is_none());
    let taken = state.take(now).map(|taken| taken.item);
    assert_eq!(taken, Some(LaneItem::Settle(dense(4))));
    assert!(!state.has_news() && state.start(now).call.is_none());
    assert!(state.settled());
    assert!(matches!(
        state.start(now).call,
        Some((_, CallInput::Initial))
    ));
}

#[test]
fn a_call_of_an_event_before_a_gap_does_not_end_the_initial_value() {
    let mut world = World::new(3, SlowConsumer::Disconnect);
    world.push();
    let _ = world.state.push_gap(dense(2), true, || outcome("too slow"));
    world.published = 2;
    let (event, _) = world.state.start(world.now).call.unwrap();
    let Some((initial, CallInput::Initial)) = world.state.start(world.now).call else {
        panic!("the initial value is made again");
    };
    world.state.initial_begins(dense(2));
    world.push();
    assert!(!world.state.settle(event, outcome("1")).reschedule);
    assert!(world.state.start(world.now).call.is_none());
    assert!(world.state.settle(initial, outcome("initial")).reschedule);
}

#[test]
fn items_of_an_initial_value_follow_the_events_before_it() {
    let mut world = World::new(2, SlowConsumer::Disconnect);
    world.push();
    let _ = world.state.push_gap(dense(2), true, || outcome("too slow"));
    let (event, _) = world.state.start(world.now).call.unwrap();
    let (initial, _) = world.state.start(world.now).call.unwrap();
    world.state.item(outcome("item"), world.now);
    let _ = world.state.settle(initial, Outcome::Skip);
    assert!(!world.state.has_outcome());
    let _ = world.state.settle(event, outcome("1"));
    let items: Vec<_> = std::iter::from_fn(|| world.state.take_outcome()).collect();
    let expected = [
        LaneItem::Outcome(outcome("1"), Some(dense(1))),
        LaneItem::Gap(dense(2)),
        LaneItem::Outcome(outcome("item"), None),
        LaneItem::Initial(Outcome::Skip, None),
    ];
    assert_eq!(items, expected);
}

#[test]
fn events_go_on_until_a_failed_initial_value_is_made_again_and_those_before_it_do_not_follow() {
    let mut world = World::new(1, SlowConsumer::Disconnect);
    world.state.restart(dense(0));
    let (initial, _) = world.state.start(world.now).call.unwrap();
    world.state.initial_begins(dense(0));
    let _ = world.state.settle(initial, Outcome::Retry(Bytes::new()));
    assert!(matches!(
        world.state.take_outcome(),
        Some(LaneItem::Initial(Outcome::Retry(_), _))
    ));
    world.push();
    let Some((event, CallInput::Event(_))) = world.state.start(world.now).call else {
        panic!("an event has a call");
    };
    world.push();
    assert!(!world.state.retry(dense(2)), "a call runs");
    assert!(world.state.settle(event, outcome("1")).reschedule);
    let Some((initial, CallInput::Initial)) = world.state.start(world.now).call else {
        panic!("the initial value is made again");
    };
    assert!(!world.state.retry(dense(2)), "it is being made");
    world.state.initial_begins(dense(2));
    world.push();
    let _ = world.state.settle(initial, outcome("initial"));
    let items: Vec<_> = std::iter::from_fn(|| world.state.take_outcome()).collect();
    let expected = [
        LaneItem::Outcome(outcome("1"), Some(dense(1))),
        LaneItem::Initial(outcome("initial"), Some(dense(2))),
    ];
    assert_eq!(items, expected);
    let Some((_, CallInput::Event(next))) = world.state.start(world.now).call else {
        panic!("events follow");
    };
    assert_eq!(next.at, dense(3));
}

#[test]
fn an_initial_value_that_times_out_is_made_again() {
    let mut world = World::new(1, SlowConsumer::Disconnect);
    world.state.restart(dense(0));
    let _ = world.state.start(world.now);
    let response = Bytes::from_static(b"timed out");
    let expired = world
        .state
        .expire(world.now + LIMIT, LIMIT, || response.clone());
    assert_eq!(expired.ids.len(), 1);
    let taken = world.state.take_outcome();
    assert_eq!(
        taken,
        Some(LaneItem::Initial(Outcome::Retry(response), None))
    );
}

#[test]
fn a_source_stream_waits_for_room() {
    let mut world = World::new(1, SlowConsumer::Disconnect);
    let now = world.now;
    for _ in 1..STREAM_WINDOW {
        assert_eq!(world.state.item(outcome("item"), now), Some(true));
    }
    assert_eq!(world.state.await_room(), StreamRoom::Now);
    assert_eq!(world.state.item(outcome("item"), now), Some(false));
    assert_eq!(world.state.await_room(), StreamRoom::Later);
    let rooms: Vec<bool> = (0..STREAM_WINDOW)
        .map(|_| world.state.take(now).unwrap().has_room)
        .collect();
    assert_eq!(rooms.iter().filter(|room| **room).count(), 1);
    assert!(!rooms[0], "not before there is room for several");
}

#[test]
fn nothing_starts_in_a_lane_that_is_closed() {
    let mut world = World::new(2, SlowConsumer::Disconnect);
    for _ in 0..4 {
        world.push();
    }
    world.start();
    let [(id, _)] = world.invoked[..] else {
        panic!("{:?}", world.invoked);
    };
    assert_eq!(world.state.close(), [id]);
    assert_eq!(world.state.close(), []);
    assert!(world.state.start(world.now).call.is_none());
    let settled = world.state.settle(id, outcome("late"));
    assert_eq!(settled, SettledCall::default());
    assert_eq!(world.state.item(outcome("late"), world.now), None);
    assert_eq!(world.state.await_room(), StreamRoom::Never);
    assert_eq!(world.push(), PushedEvent::default());
    assert!(world.state.is_idle());
}
